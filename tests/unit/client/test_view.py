"""Jobs as the client shows them, odd ones and those that stock workers hold among them."""

import json
from typing import Any

import pytest
from arq.connections import ArqRedis

from rota import Client, State
from rota.client import view
from rota.model.info import JobInfo
from rota.wire.claims import Claim, Settlement, Told
from rota.wire.keys import QueueKeys, queue_key
from rota.wire.queue import QueueScripts, ServiceRules
from rota.wire.results import encode_error

KEYS = QueueKeys.of(queue_key("email"))


@pytest.fixture
def client(redis: ArqRedis) -> Client:
    return Client(redis)


@pytest.fixture
def worker() -> QueueScripts:
    return QueueScripts(KEYS, "w", 30.0, ServiceRules("email"))


async def enqueue(client: Client, count: int, **options: float) -> list[str]:
    handles = [await client.enqueue_by_name("email:send", {"n": n}, **options) for n in range(count)]  # type: ignore[arg-type]
    return [handle.id for handle in handles]


async def claims(worker: QueueScripts, redis: ArqRedis, want: int, seq: int = 1) -> list[Claim]:
    return list((await worker.step(redis, lane=0, seq=seq, want=want)).claims)


def letter(claim: Claim) -> Settlement:
    return Settlement.dead(claim, "failed", Told("dead", "send", 1, encode_error(ValueError())))


async def shown(redis: ArqRedis, job_id: str) -> JobInfo | None:
    (info,) = await view.find(redis, "email", KEYS, [job_id])
    return info


async def test_several_jobs_are_found_in_one_round_trip_in_the_order_asked(
    client: Client, redis: ArqRedis
) -> None:
    first, second = await enqueue(client, 2)
    before = (await redis.info("stats"))["total_reads_processed"]
    found = await view.find(redis, "email", KEYS, [second, "nosuch", first])
    assert (await redis.info("stats"))["total_reads_processed"] - before <= 2
    assert [info and info.id for info in found] == [second, None, first]


async def test_a_claimed_job_is_active_and_listed_neither_as_waiting_nor_as_delayed(
    client: Client, redis: ArqRedis, worker: QueueScripts
) -> None:
    ids = await enqueue(client, 3)
    (later,) = await enqueue(client, 1, delay=60)
    (claim,) = await claims(worker, redis, 1)
    assert [info.id for info in await client.jobs("email", "waiting")] == ids[1:]
    assert [info.id for info in await client.jobs("email", "delayed")] == [later]
    assert [info.id for info in await client.jobs("email", "active")] == [claim.id] == ids[:1]
    assert list((await client.counts("email")).values()) == [2, 1, 1, 0]
    info = await shown(redis, claim.id)
    assert info is not None
    assert (info.state, info.attempts, info.due_at) == (State.ACTIVE, 1, None)
    assert info.started_at is not None


async def test_a_running_attempt_counts_however_its_worker_counts(
    client: Client, redis: ArqRedis, worker: QueueScripts
) -> None:
    (job_id,) = await enqueue(client, 1)
    bare = QueueScripts(KEYS, "bare", 30.0)
    for seq, number in ((1, 1), (2, 2)):
        for scripts in (worker, bare):
            (claim,) = await claims(scripts, redis, 1, seq)
            info = await shown(redis, job_id)
            assert info is not None
            assert (info.state, info.attempts, claim.attempt) == (State.ACTIVE, number, number)
            back = Settlement.again(claim, None, Told(attempt=number), unspent=scripts is worker)
            await scripts.step(redis, lane=0, seq=seq + 10, want=0, settlements=[back])
            info = await shown(redis, job_id)
            assert info is not None
            assert info.attempts == number - (scripts is worker)


async def test_a_page_reaches_beyond_many_claimed_jobs(
    client: Client, redis: ArqRedis, worker: QueueScripts
) -> None:
    await enqueue(client, 260)
    for seq in (1, 2, 3):
        await claims(worker, redis, 100 if seq < 3 else 50, seq)
    later = await enqueue(client, 3, delay=86_400)
    assert [info.id for info in await client.jobs("email", "delayed", limit=2)] == later[:2]
    assert [info.id for info in await client.jobs("email", "delayed", offset=2, limit=2)] == later[2:]
    assert len(await client.jobs("email", "waiting", limit=100)) == 10


async def test_a_job_that_a_stock_worker_holds_is_active(client: Client, redis: ArqRedis) -> None:
    (job_id,) = await enqueue(client, 1)
    await redis.set(f"arq:in-progress:{job_id}", "1", px=60_000)
    info = await shown(redis, job_id)
    assert info is not None
    assert info.state is State.ACTIVE
    assert info.started_at is None


async def test_dead_letters_come_newest_first(client: Client, redis: ArqRedis, worker: QueueScripts) -> None:
    ids = await enqueue(client, 3)
    claimed = await claims(worker, redis, 3)
    await worker.step(redis, lane=0, seq=2, want=0, settlements=[letter(claim) for claim in claimed])
    await redis.zadd(KEYS.dead, {job_id: died for died, job_id in enumerate(ids)})
    assert [info.id for info in await client.jobs("email", "dead")] == ids[::-1]
    assert [info.id for info in await client.jobs("email", "dead", offset=1, limit=1)] == [ids[1]]


@pytest.mark.parametrize("payload", [b"\x80\x04pickle", b"", b"[]", b'{"f": 3}'], ids=repr)
async def test_a_waiting_job_that_cannot_be_read_is_shown_without_its_contents(
    redis: ArqRedis, payload: bytes
) -> None:
    await redis.set("arq:job:odd", payload)
    await redis.zadd(KEYS.queue, {"odd": 1})
    info = await shown(redis, "odd")
    assert info is not None
    assert (info.state, info.task, info.payload, info.enqueued_at) == (State.WAITING, "", None, None)


async def test_a_job_whose_payload_is_gone_is_shown_too(redis: ArqRedis) -> None:
    await redis.zadd(KEYS.queue, {"expired": 1})
    assert [info.id for info in await view.page(redis, "email", KEYS, State.WAITING, offset=0, limit=9)] == [
        "expired"
    ]


async def test_a_member_that_is_not_text_is_shown_and_found_again(redis: ArqRedis) -> None:
    await redis.zadd(KEYS.queue, {b"\xff\xfe": 1})
    (info,) = await view.page(redis, "email", KEYS, State.WAITING, offset=0, limit=9)
    again = await shown(redis, info.id)
    assert again is not None
    assert again.id == info.id


async def test_a_record_that_cannot_be_read_is_not_shown(redis: ArqRedis) -> None:
    await redis.set("arq:result:odd", b"\x80\x04pickle")
    assert await shown(redis, "odd") is None


async def test_a_record_of_a_stock_worker_is_read(redis: ArqRedis) -> None:
    record = {"t": 1, "f": "send", "a": [], "k": {"n": 1}, "et": 1, "s": True, "r": [1], "st": 2, "ft": 3}
    await redis.set("arq:result:1", json.dumps({**record, "q": "arq:queue:email", "id": "1"}))
    info = await shown(redis, "1")
    assert info is not None
    assert (info.state, info.task, info.result, info.payload) == (State.COMPLETED, "send", [1], {"n": 1})


@pytest.mark.parametrize(
    ("raw", "percent", "message"),
    [
        (b"25 on the way", 25.0, "on the way"),
        (b"12.5 ", 12.5, ""),
        (b"50 \xff", 50.0, "\N{REPLACEMENT CHARACTER}"),
    ],
    ids=repr,
)
async def test_progress_is_shown_as_a_number_and_the_message(
    client: Client, redis: ArqRedis, raw: bytes, percent: float, message: str
) -> None:
    (job_id,) = await enqueue(client, 1)
    await redis.hset(KEYS.progress, mapping={job_id.encode(): raw})  # type: ignore[misc]
    info = await shown(redis, job_id)
    assert info is not None
    assert (info.percent, info.message) == (percent, message)


@pytest.mark.parametrize(
    ("raw", "checkpoint"), [(b'3 {"line":7}', {"line": 7}), (b"3 {", None), (b"\xff", None)], ids=repr
)
async def test_what_a_job_has_saved_is_shown_while_it_lives_and_when_it_is_dead(
    client: Client, redis: ArqRedis, worker: QueueScripts, raw: bytes, checkpoint: object
) -> None:
    (job_id,) = await enqueue(client, 1)
    (claim,) = await claims(worker, redis, 1)
    await redis.hset(KEYS.checkpoint, mapping={job_id.encode(): raw})  # type: ignore[misc]
    info = await shown(redis, job_id)
    assert info is not None
    assert (info.state, info.checkpoint) == (State.ACTIVE, checkpoint)
    await worker.step(redis, lane=0, seq=2, want=0, settlements=[letter(claim)])
    info = await shown(redis, job_id)
    assert info is not None
    assert (info.state, info.checkpoint) == (State.DEAD, checkpoint)


async def test_what_a_former_job_of_the_same_id_has_saved_is_not_shown(
    client: Client, redis: ArqRedis
) -> None:
    (job_id,) = await enqueue(client, 1)
    await redis.hset(KEYS.checkpoint, mapping={job_id.encode(): b"3 7"})  # type: ignore[misc]
    info = await shown(redis, job_id)
    assert info is not None
    assert info.checkpoint is None


@pytest.mark.parametrize("junk", [b"", b"x", b"\xff", b"nan", b"9" * 30])
async def test_a_job_of_which_every_field_was_overwritten_is_shown_as_far_as_it_can_be(
    client: Client, redis: Any, worker: QueueScripts, junk: bytes
) -> None:
    waits, runs, dies = await enqueue(client, 3)
    _, _, dead = await claims(worker, redis, 3)
    await worker.step(redis, lane=0, seq=2, want=0, settlements=[letter(dead)])
    await redis.zrem(KEYS.active, waits)
    await redis.delete(f"arq:in-progress:{waits}")
    await redis.zadd(KEYS.queue, {waits: float("inf")})
    for job_id in (waits, runs):
        await redis.set(f"arq:retry:{job_id}", junk)
        for name in ("runs", "progress", "checkpoint", "snoozes", "terms", "attempts"):
            await redis.hset(f"{KEYS.queue}:{name}", job_id, junk)
    fields = await redis.hkeys(f"{KEYS.dead}:{dies}")
    await redis.hset(f"{KEYS.dead}:{dies}", mapping=dict.fromkeys(fields, junk))
    infos = [await shown(redis, job_id) for job_id in (waits, runs, dies)]
    assert [info and info.state for info in infos] == [State.DELAYED, State.ACTIVE, State.DEAD]
    assert infos[0] is not None
    assert infos[0].due_at is None


async def test_a_dead_letter_that_lost_its_fields_is_shown(client: Client, redis: Any) -> None:
    await redis.hset(f"{KEYS.dead}:odd", "at", "x")
    info = await shown(redis, "odd")
    assert info is not None
    assert (info.state, info.attempts) == (State.DEAD, 0)


async def test_a_record_is_of_the_queue_that_it_names_alone(redis: ArqRedis) -> None:
    record = {"t": 1, "f": "send", "a": [], "k": {}, "et": 1, "s": True, "r": 1, "st": 2, "ft": 3, "id": "1"}
    await redis.set("arq:result:1", json.dumps({**record, "q": "arq:queue:other"}))
    assert await shown(redis, "1") is None
    other = QueueKeys.of(queue_key("other"))
    (info,) = await view.find_among(redis, [("other", other, "1")])
    assert info is not None
    assert (info.queue, info.state) == ("other", State.COMPLETED)
