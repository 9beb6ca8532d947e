"""Readings: what the gauges show, against counts made by hand, and what a reading costs."""

import asyncio
import random
import time
from typing import Any

import pytest

from rota import Client, State
from rota.fleet.reading import QueueReading, read
from rota.wire.claims import Claim, Settlement, Told
from rota.wire.keys import IN_PROGRESS, QueueKeys, queue_key
from rota.wire.queue import QueueScripts, ServiceRules

KEYS = QueueKeys.of(queue_key("email"))


@pytest.fixture
def client(redis: Any) -> Client:
    return Client(redis)


def protocol(worker: str = "w", lease: float = 30.0) -> QueueScripts:
    return QueueScripts(KEYS, worker, lease, ServiceRules("email"))


async def claim(redis: Any, want: int, *, seq: int = 1, lease: float = 30.0) -> list[Claim]:
    return list((await protocol(lease=lease).step(redis, lane=0, seq=seq, want=want)).claims)


def seconds_since(ms: float) -> float:
    """Return how long ago `ms` was, by the clock that the server has too."""
    return time.time() - ms / 1000


async def reading(redis: Any) -> QueueReading:
    return (await read(redis, ["email"])).queues["email"]


async def test_a_queue_that_nobody_used_is_all_zeros(redis: Any) -> None:
    found = await reading(redis)
    assert set(found.states.values()) == {0}
    assert (found.latency, found.oldest_active, found.ended, found.beats) == (0.0, 0.0, 0, ())


async def test_jobs_are_counted_by_state(client: Client, redis: Any) -> None:
    for _ in range(7):
        await client.enqueue_by_name("email:send", {})
    for _ in range(3):
        await client.enqueue_by_name("email:send", {}, delay=60)
    one, *_ = await claim(redis, 2)
    letter = Settlement.dead(one, "failed", Told("dead", "send", 1, b"{}"))
    await protocol().step(redis, lane=0, seq=2, want=0, settlements=[letter])
    found = await reading(redis)
    assert found.states == {State.WAITING: 5, State.DELAYED: 3, State.ACTIVE: 1, State.DEAD: 1}
    assert (found.ready, found.ended) == (5, 1)


async def test_latency_is_the_age_of_the_oldest_that_is_ready(redis: Any) -> None:
    now = time.time() * 1000
    await redis.zadd(KEYS.queue, {"a": now - 5000, "b": now - 9000, "c": now + 50_000})
    found = await reading(redis)
    assert 8.999 <= found.latency <= 9.001 + seconds_since(now)


async def test_what_a_stock_worker_runs_is_not_the_oldest_that_waits(redis: Any) -> None:
    now = time.time() * 1000
    await redis.zadd(KEYS.queue, {"held": now - 90_000, "waits": now - 5000})
    await redis.set(f"{IN_PROGRESS}held", "1")
    found = await reading(redis)
    assert 4.999 <= found.latency <= 5.001 + seconds_since(now)


async def test_what_runs_is_no_wait_and_the_longest_is_told(client: Client, redis: Any) -> None:
    await client.enqueue_by_name("email:send", {})
    (one,) = await claim(redis, 1)
    entry = f"{one.token} {one.due_ms} {one.started_ms - 40_000} 0 0"
    await redis.hset(KEYS.runs, one.id, entry)
    found = await reading(redis)
    assert found.latency == 0.0
    assert 39.999 <= found.oldest_active <= 40.001 + seconds_since(one.started_ms)
    assert found.mean_active == found.oldest_active


async def test_what_a_limit_keeps_back_waits_and_is_not_ready(client: Client, redis: Any) -> None:
    terms = "c=rota:limit:x|k|1"
    for job_id in ("a", "b", "c"):
        await redis.set(f"arq:job:{job_id}", "p")
        await redis.zadd(KEYS.queue, {job_id: time.time() * 1000 - 1000})
        await redis.hset(KEYS.terms, job_id, terms)
    assert len(await claim(redis, 3)) == 1
    found = await reading(redis)
    assert found.states[State.WAITING] == 2
    assert found.states[State.DELAYED] == 0
    assert found.ready == 0
    assert found.latency == 0.0


async def test_a_claim_whose_lease_has_ended_is_not_counted_twice(client: Client, redis: Any) -> None:
    for _ in range(3):
        await client.enqueue_by_name("email:send", {})
    await claim(redis, 2)
    past = time.time() * 1000 - 5000
    for job_id in await redis.zrange(KEYS.active, 0, -1):
        await redis.zadd(KEYS.active, {job_id: past})
        await redis.zadd(KEYS.queue, {job_id: past})
    found = await reading(redis)
    assert found.states == {State.WAITING: 1, State.DELAYED: 0, State.ACTIVE: 2, State.DEAD: 0}


async def test_a_paused_queue_says_so(client: Client, redis: Any) -> None:
    await client.pause("email")
    assert (await reading(redis)).paused


async def test_several_queues_are_read_in_two_round_trips(redis: Any) -> None:
    queues = [f"q{number}" for number in range(20)]
    await read(redis, queues)
    before = (await redis.info("stats"))["total_reads_processed"]
    assert list((await read(redis, queues)).queues) == queues
    assert (await redis.info("stats"))["total_reads_processed"] - before - 1 <= 2


async def test_under_concurrency_no_job_is_missed_or_counted_twice(client: Client, redis: Any) -> None:
    """Jobs are enqueued before, and only ever wait, run or are over: the sum says how many are over, exactly."""
    for _ in range(300):
        await client.enqueue_by_name("email:send", {})
    over, stop = 0, False

    async def work(name: str) -> None:
        nonlocal over
        own, seq, held = protocol(name), 0, list[Claim]()
        while over < 300:
            seq += 1
            done = [Settlement.finished(one, Told("completed", "send")) for one in held]
            reply = await own.step(redis, lane=0, seq=seq, want=random.randrange(1, 6), settlements=done)
            over += len(done)
            held = list(reply.claims)

    async def look() -> None:
        while not stop:
            before = over
            found = await reading(redis)
            states = found.states
            there = states[State.WAITING] + states[State.DELAYED] + states[State.ACTIVE]
            # In one transaction: whatever has ended is counted as ended, and nothing else is.
            assert there + found.ended == 300
            assert found.ended >= before - 15
            assert states[State.DELAYED] == 0

    looking = asyncio.create_task(look())
    await asyncio.gather(*(work(f"w{number}") for number in range(3)))
    stop = True
    await looking
    assert (await reading(redis)).ended == 300


async def test_a_million_waiting_jobs_are_read_within_fifty_milliseconds(redis: Any) -> None:
    script = """
      for from = 1, 20000, 1000 do
        local jobs = {}
        for i = from, from + 999 do
          jobs[#jobs + 1] = ARGV[1] - i
          jobs[#jobs + 1] = ARGV[2] .. 'job-' .. i
        end
        redis.call('ZADD', KEYS[1], unpack(jobs))
      end
      for i = 1, ARGV[2] == '0' and 1000 or 0 do
        redis.call('ZADD', KEYS[1], ARGV[1] + 30000, 'run-' .. i)
        redis.call('ZADD', KEYS[2], ARGV[1] + 30000, 'run-' .. i)
        redis.call('HSET', KEYS[3], 'run-' .. i, 't 1 ' .. ARGV[1] .. ' 0 0')
      end
    """
    keys: list[Any] = [KEYS.queue, KEYS.active, KEYS.runs]
    now = round(time.time() * 1000)
    for part in range(50):
        await redis.eval(script, 3, *keys, now, part)
    for _ in range(15):
        began = time.perf_counter()
        found = await reading(redis)
        took = time.perf_counter() - began
        # One of them: what the others take longer, this machine's other work takes.
        if took <= 0.05:
            break
    assert found.states[State.WAITING] == found.ready == 1_000_000
    assert found.states[State.ACTIVE] == 1000
    assert took <= 0.05


async def test_strays_are_read_beside_the_queues_of_the_fleet(client: Client, redis: Any) -> None:
    await client.enqueue_by_name("email:send", {})
    await client.enqueue_by_name("emial:send", {})
    reading = await read(redis, ["email"], ["emial"])
    assert list(reading.queues) == ["email"]
    assert {name: one.ready for name, one in reading.every_queue.items()} == {"email": 1, "emial": 1}


async def test_what_another_hand_wrote_into_counts_and_entries_is_passed_over_and_said(
    client: Client, redis: Any
) -> None:
    for _ in range(3):
        await client.enqueue_by_name("email:send", {})
    first, second, _ = await claim(redis, 3)
    await redis.hset(KEYS.stats, mapping={"ended": "many", "busy": "5000"})
    await redis.hset(KEYS.runs, mapping={first.id: "t 1 soon 0 0", second.id: ""})
    found = await reading(redis)
    assert (found.ended, found.busy, found.unreadable) == (0, 5.0, "stats")
    assert found.states[State.ACTIVE] == 3
