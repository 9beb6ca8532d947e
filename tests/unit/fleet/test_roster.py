"""The roster: who serves which queue, by the heartbeats, and who leads."""

from datetime import UTC, datetime
from typing import Any

import pytest

from rota.fleet.heartbeat import Beat, Heartbeat
from rota.fleet.roster import Roster, roster
from rota.wire.envelopes import encode_job
from rota.wire.keys import JOB, QueueKeys
from rota.wire.leader import Leader, Place
from tests.unit.fleet.test_heartbeat import EMAIL, VIDEO, Worker


async def beats(redis: Any, process: str, *queues: QueueKeys, busy: int = 0) -> None:
    await Heartbeat(redis, process, [Worker(keys.queue, running=busy) for keys in queues]).beat()


async def test_each_process_is_listed_for_each_of_its_queues_with_the_one_that_leads(redis: Any) -> None:
    await beats(redis, "two", EMAIL, VIDEO, busy=3)
    await beats(redis, "one", EMAIL)
    epoch, _ = await Place("rota", "two", 30).take(redis)
    found = await roster(redis, ["email", "video"], "rota")
    assert list(found.rows()) == [
        ("email", Beat("one", "running", 10, 0, 0), False),
        ("email", Beat("two", "running", 10, 3, 0), True),
        ("video", Beat("two", "running", 10, 3, 0), True),
    ]
    assert found.leader == Leader("two", epoch)
    assert not found.leads_elsewhere


async def test_a_leader_may_serve_none_of_the_queues(redis: Any) -> None:
    await beats(redis, "one", EMAIL)
    await Place("rota", "other", 30).take(redis)
    assert (await roster(redis, ["email"], "rota")).leads_elsewhere


@pytest.mark.parametrize("value", [None, "garbage"])
async def test_a_process_without_a_heartbeat_is_not_listed(redis: Any, value: str | None) -> None:
    await beats(redis, "one", EMAIL)
    await redis.sadd(EMAIL.workers, "dead", "\xff")
    if value is not None:
        await redis.set(f"{EMAIL.worker}:dead", value)
    found = await roster(redis, ["email"], "rota")
    assert [beat.process for _, beat, _ in found.rows()] == ["one"]


async def test_without_workers_there_is_nobody(redis: Any) -> None:
    await redis.set("rota:leader", "nonsense")
    assert await roster(redis, ["email"], "rota") == Roster({"email": ()}, None)
    assert await roster(redis, [], "rota") == Roster({}, None)


async def test_what_runs_is_told_with_the_process_that_claimed_it(redis: Any) -> None:
    await Heartbeat(redis, "one", [Worker(EMAIL.queue, worker_id="w1", running=1)]).beat()
    ids = [b"by-one", b"by-a-stranger", b"\xff", b"of-arq"]
    await redis.zadd(EMAIL.active, dict.fromkeys(ids, 9e12))
    await redis.hset(
        EMAIL.runs, mapping={b"by-one": "w1:0:1:1 5 2000 0 0", b"by-a-stranger": "w9:0:1:1 5 1000 0 0"}
    )
    await redis.hset(EMAIL.runs, mapping={b"\xff": "-w1", b"of-arq": "nonsense"})
    await redis.set(JOB.encode() + b"by-one", encode_job("send", b"{}", enqueued_ms=1))
    await redis.set(JOB.encode() + b"by-a-stranger", "pickled")
    await redis.hset(EMAIL.progress, "by-one", "12.5 a quarter of a half")
    found = await roster(redis, ["email"], "rota", detailed=True)
    (process,) = found.processes
    started = datetime(1970, 1, 1, 0, 0, 2, tzinfo=UTC)
    (mine,) = process.running
    assert (mine.id, mine.name, mine.started) == ("by-one", "email:send", started)
    assert (mine.percent, mine.message) == (12.5, "a quarter of a half")
    assert [(one.id, one.name, one.percent) for one in found.running] == [
        ("by-a-stranger", "", None),
        ("by-one", "email:send", 12.5),
    ]
    assert (await roster(redis, ["email"], "rota")).running == ()


async def test_how_old_a_heartbeat_is_is_told_by_the_server(redis: Any) -> None:
    await beats(redis, "one", EMAIL)
    await redis.pexpire(f"{EMAIL.worker}:one", 4000)
    (process,) = (await roster(redis, ["email"], "rota", detailed=True)).processes
    assert 12 <= process.latest.age < 14
