"""Heartbeats: what a process says of itself in Redis, until it ends or dies."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from redis.exceptions import ResponseError

from rota.fleet.heartbeat import DRAINING, EVERY, LIFE, About, Beat, Heartbeat
from rota.fleet.reading import read
from rota.wire.keys import QueueKeys, queue_key
from tests.waiting import until

EMAIL, VIDEO = QueueKeys.of(queue_key("email")), QueueKeys.of(queue_key("video"))


@dataclass
class Worker:
    """A queue's worker, as a heartbeat sees it."""

    queue_name: str
    max_jobs: int = 10
    running: int = 0
    worker_id: str = ""


@contextlib.asynccontextmanager
async def beating(heartbeat: Heartbeat) -> AsyncIterator[None]:
    task = asyncio.create_task(heartbeat.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def beats(redis: Any, queue: str) -> tuple[Beat, ...]:
    return (await read(redis, [queue])).queues[queue].beats


async def shows(redis: Any, *expected: Beat, queue: str = "email") -> None:
    async def shown() -> bool:
        return await beats(redis, queue) == expected

    await until(shown, f"the heartbeats are {expected}")


async def test_it_tells_of_each_queue_of_the_process(redis: Any) -> None:
    workers = [Worker(EMAIL.queue, 10, 3), Worker(VIDEO.queue, 2, 2)]
    await Heartbeat(redis, "p", workers, cap=8).beat()
    assert await beats(redis, "email") == (Beat("p", "running", 10, 3, 8),)
    assert await beats(redis, "video") == (Beat("p", "running", 2, 2, 8),)


async def test_it_tells_the_version_of_the_code_that_runs(redis: Any) -> None:
    await Heartbeat(redis, "old", [Worker(EMAIL.queue)], version="1.4.1").beat()
    await Heartbeat(redis, "new", [Worker(EMAIL.queue)], version="1.4.2").beat()
    await Heartbeat(redis, "unknown", [Worker(EMAIL.queue)]).beat()
    assert {beat.process: beat.version for beat in await beats(redis, "email")} == {
        "old": "1.4.1",
        "new": "1.4.2",
        "unknown": "",
    }


async def test_it_tells_of_the_process_and_by_which_name_it_claims(redis: Any) -> None:
    about = About("a" * 64, 4_194_304, 31_536_000, 16 * 2**30, 12.345)
    worker = Worker(EMAIL.queue, worker_id="host-1-abc")
    await Heartbeat(redis, "p", [worker], cap=8, about=lambda: about).beat()
    await Heartbeat(redis, "q", [worker], version="1.4.2", about=lambda: about).beat()
    told = (Beat("p", "running", 10, 0, 8, "", "host-1-abc", about),)
    assert await beats(redis, "email") == (
        *told,
        Beat("q", "running", 10, 0, 0, "1.4.2", "host-1-abc", about),
    )
    assert await redis.strlen(f"{EMAIL.worker}:q") < 200, (
        "a fleet writes it every five seconds, for each queue"
    )


@pytest.mark.parametrize("word", [b"up=x", b"lag=?", b"up=1 pid="])
def test_words_that_cannot_be_read_are_passed_over(word: bytes) -> None:
    assert Beat.read("p", b"running 1 0 0 v1 host=h word " + word) == Beat("p", "running", 1, 0, 0, "v1")


@pytest.mark.parametrize(
    ("raw", "version"), [(b"running 1 0 0", ""), (b"running 1 0 0 v1 more", "v1"), (b"running 1", None)]
)
def test_a_heartbeat_of_an_earlier_and_of_a_later_version_is_read(raw: bytes, version: str | None) -> None:
    beat = Beat.read("p", raw)
    assert (beat and beat.version) == version


async def test_it_costs_a_command_a_queue_and_one_round_trip(redis: Any) -> None:
    heartbeat = Heartbeat(redis, "p", [Worker(EMAIL.queue), Worker(VIDEO.queue)])
    await heartbeat.beat()
    before = await redis.info("stats")
    await heartbeat.beat()
    after = await redis.info("stats")
    assert after["total_commands_processed"] - before["total_commands_processed"] - 1 == 2
    assert after["total_reads_processed"] - before["total_reads_processed"] - 1 == 1


async def test_a_full_redis_hears_it_too(redis: Any) -> None:
    workers = [Worker(EMAIL.queue, 10, 3), Worker(VIDEO.queue, 2, 2)]
    await redis.config_set("maxmemory", 1)
    try:
        await Heartbeat(redis, "p", workers, cap=8).beat()
    finally:
        await redis.config_set("maxmemory", 0)
    assert await beats(redis, "email") == (Beat("p", "running", 10, 3, 8),)
    assert await beats(redis, "video") == (Beat("p", "running", 2, 2, 8),)
    assert 0 < await redis.pttl(f"{VIDEO.worker}:p") <= LIFE * 1000


async def test_a_change_is_told_at_once(redis: Any) -> None:
    drains = False
    heartbeat = Heartbeat(redis, "p", [Worker(EMAIL.queue)], draining=lambda: drains)
    async with beating(heartbeat):
        await shows(redis, Beat("p", "running", 10, 0, 0))
        drains = True
        began = asyncio.get_running_loop().time()
        heartbeat.look()
        await shows(redis, Beat("p", "draining", 10, 0, 0))
        assert asyncio.get_running_loop().time() - began < EVERY * 0.9


async def test_a_connection_is_named_after_what_the_process_does_once_it_drains(redis: Any) -> None:
    drains = False
    heartbeat = Heartbeat(redis, "p", [Worker(EMAIL.queue)], draining=lambda: drains)

    async def named() -> bool:
        return DRAINING in {client["name"] for client in await redis.client_list()}

    async with beating(heartbeat):
        await shows(redis, Beat("p", "running", 10, 0, 0))
        assert not await named()
        drains = True
        heartbeat.look()
        await until(named, "a connection has the name that Redis' start script looks for")


async def test_who_leaves_takes_everything_back(redis: Any) -> None:
    async with beating(Heartbeat(redis, "p", [Worker(EMAIL.queue)])):
        await shows(redis, Beat("p", "running", 10, 0, 0))
    assert await redis.keys("*") == []


async def test_who_died_is_missed_and_then_forgotten_by_the_next_that_comes(redis: Any) -> None:
    await Heartbeat(redis, "dead", [Worker(EMAIL.queue)]).beat()
    assert LIFE > EVERY * 3
    assert 0 < await redis.pttl(f"{EMAIL.worker}:dead") <= LIFE * 1000
    await redis.delete(f"{EMAIL.worker}:dead")
    assert await beats(redis, "email") == ()
    async with beating(Heartbeat(redis, "p", [Worker(EMAIL.queue)])):
        await shows(redis, Beat("p", "running", 10, 0, 0))
        assert await redis.smembers(EMAIL.workers) == {b"p"}


async def test_who_could_not_be_listed_is_listed_with_the_next_word(redis: Any) -> None:
    heartbeat = Heartbeat(redis, "p", [Worker(EMAIL.queue)])
    await redis.set(EMAIL.workers, "odd")
    with pytest.raises(ResponseError):
        await heartbeat.beat()
    await redis.delete(EMAIL.workers)
    await heartbeat.beat()
    assert await beats(redis, "email") == (Beat("p", "running", 10, 0, 0),)


async def test_a_redis_that_is_away_ends_nothing(redis: Any) -> None:
    await redis.set(EMAIL.workers, "odd")
    async with beating(Heartbeat(redis, "p", [Worker(EMAIL.queue)])):
        await until(lambda: redis.exists(f"{EMAIL.worker}:p"))


async def test_who_was_taken_for_dead_is_back_with_its_next_word(redis: Any) -> None:
    heartbeat = Heartbeat(redis, "p", [Worker(EMAIL.queue)])
    await heartbeat.beat()
    await redis.delete(f"{EMAIL.worker}:p", EMAIL.workers)
    await heartbeat.beat()
    assert await beats(redis, "email") == (Beat("p", "running", 10, 0, 0),)


@pytest.mark.parametrize("odd", [b"", b"running", b"running x 0 0", b"\xff 1 1 1"])
async def test_what_is_no_heartbeat_is_passed_over(redis: Any, odd: bytes) -> None:
    await redis.sadd(EMAIL.workers, "p")
    await redis.set(f"{EMAIL.worker}:p", odd)
    assert await beats(redis, "email") == ()
