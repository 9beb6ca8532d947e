"""The housekeeper: what it finds in Redis, what it says of it, and when it stops."""

import asyncio
import contextlib
import logging
import math
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.exceptions import NoPermissionError

from rota.services import housekeeper
from rota.services.housekeeper import Housekeeper
from rota.services.leadership import Leadership, LeadershipLost
from rota.wire.keys import QueueKeys, queue_key
from tests.servers import RedisServer
from tests.waiting import until

KINDS = ("letters", "workers", "fields", "terms", "payloads", "flows")
EMAIL, FORMER = QueueKeys.of(queue_key("email")), QueueKeys.of(queue_key("former"))


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeper, "PACE", 0.0)


def of(redis: Any, until: float = math.inf) -> Housekeeper:
    @contextlib.asynccontextmanager
    async def connect() -> AsyncIterator[Any]:
        yield redis

    return Housekeeper(Leadership(1, until), connect, [EMAIL.queue], "rota", 1000)


def swept(caplog: pytest.LogCaptureFixture) -> list[dict[str, int]]:
    lines = [vars(record) for record in caplog.records if record.getMessage() == "housekeeper.swept"]
    return [{kind: line[kind] for kind in KINDS if kind in line} for line in lines]


async def test_it_sweeps_every_queue_and_says_how_much(redis: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "rota.leader")
    await redis.hset(EMAIL.terms, mapping={"a": "p1", "b": "p1"})
    await redis.hset(FORMER.attempts, "c", "x")
    await redis.sadd(FORMER.workers, "dead")
    await redis.set("arq:job:b", b"p")
    await of(redis).sweep(redis)
    assert await redis.hkeys(EMAIL.terms) == [b"b"]
    assert await redis.exists(FORMER.attempts, FORMER.workers) == 0
    await of(redis).sweep(redis)
    assert swept(caplog) == [{"terms": 1, "fields": 1, "workers": 1}]


async def test_each_key_is_looked_at_in_the_second_round_and_not_as_its_term_begins(redis: Any) -> None:
    orphan = "rota:unique:email:send:x"
    await redis.set(orphan, "gone")
    service = of(redis)
    await service.sweep(redis)
    assert await redis.exists(orphan) == 1
    await service.sweep(redis)
    assert await redis.exists(orphan) == 0


async def test_the_figure_of_a_limit_is_not_taken_for_slots(
    redis: Any, caplog: pytest.LogCaptureFixture
) -> None:
    await redis.set("rota:slots:email:send", "2")
    await redis.sadd("rota:slots:email:send:ann", "arq:queue:email gone")
    service = of(redis)
    for _ in range(2):
        await service.sweep(redis)
    assert await redis.keys("rota:slots:*") == [b"rota:slots:email:send"]
    assert "housekeeper.refused" not in caplog.text


async def test_two_at_once_strike_nothing_twice_and_nothing_that_lives(
    redis: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "rota.leader")
    await redis.hset(EMAIL.terms, mapping={f"{number}": "p1" for number in range(1000)})
    await redis.zadd(EMAIL.queue, {f"{number}": 1 for number in range(0, 1000, 2)})
    await asyncio.gather(*(of(redis).sweep(redis) for _ in range(2)))
    assert await redis.hlen(EMAIL.terms) == 500
    assert sum(one["terms"] for one in swept(caplog)) == 500


async def test_without_the_right_to_look_it_sweeps_the_queues_of_its_code(
    redis: Any, server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = []

    async def refused(*_: Any, **__: Any) -> None:
        looked.append(1)
        raise NoPermissionError("this user has no permissions to run the 'scan' command")

    await redis.sadd(EMAIL.workers, "dead")
    await redis.sadd(FORMER.workers, "dead")
    monkeypatch.setattr(redis, "scan", refused)
    service = of(redis)
    for _ in range(2):
        await service.sweep(redis)
    assert await redis.exists(EMAIL.workers) == 0
    assert await redis.exists(FORMER.workers) == 1
    assert looked == [1], "each refusal is a line in the server's log"


async def test_a_key_of_another_type_holds_up_no_other(redis: Any) -> None:
    await redis.set(EMAIL.terms, "x")
    await redis.sadd(EMAIL.workers, "dead")
    await of(redis).sweep(redis)
    assert await redis.exists(EMAIL.workers) == 0


async def test_it_strikes_nothing_once_its_term_is_over(redis: Any) -> None:
    await redis.sadd(EMAIL.workers, "dead")
    with pytest.raises(LeadershipLost):
        await of(redis, until=0.0).sweep(redis)
    assert await redis.exists(EMAIL.workers) == 1


async def test_a_redis_that_is_away_is_no_failure_of_it(redis: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    async def away(*_: Any, **__: Any) -> None:
        calls.append(1)
        raise ConnectionError("refused")

    monkeypatch.setattr(housekeeper, "EVERY", 0.0)
    monkeypatch.setattr(redis, "scan", away)
    running = asyncio.create_task(of(redis).run())
    await until(lambda: len(calls) > 3)
    assert not running.done()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
