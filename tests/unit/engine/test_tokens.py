"""Waiting for tokens: the queues of a process wait on one connection, and none misses or keeps what it should not."""

import asyncio
from collections.abc import AsyncIterator
from inspect import CORO_CREATED, getcoroutinestate
from typing import Any

import pytest
from redis.exceptions import ConnectionError as Cut

from rota.engine.tokens import KEPT, LONGEST, OwnTokens, SharedTokens
from rota.server import connections
from rota.server.target import RedisTarget
from tests.servers import RedisServer
from tests.waiting import until

BELL = "arq:bell:test"


class Passed(list[str]):
    """The lists of which tokens were passed on."""

    def on(self, key: str) -> Any:
        async def pass_on() -> None:
            self.append(key)

        return pass_on


@pytest.fixture
def passed() -> Passed:
    return Passed()


@pytest.fixture
async def tokens(redis: Any, server: RedisServer) -> AsyncIterator[SharedTokens]:
    async with connections.async_client(RedisTarget.from_url(server.url), socket_timeout=None) as blocking:
        tokens = SharedTokens(redis, blocking, BELL)
        yield tokens
        await tokens.close()


def waiting(tokens: SharedTokens, passed: Passed, key: str, seconds: float = 10.0) -> asyncio.Task[bool]:
    return asyncio.create_task(tokens.wait(key, seconds, passed.on(key)))


async def blocked(redis: Any) -> list[bytes]:
    """Return the names of the commands that clients wait on."""
    clients = await redis.client_list()
    return [one["cmd"] for one in clients if "b" in one["flags"]]


async def is_called(redis: Any) -> bool:
    return bool(await blocked(redis))


async def test_many_wait_in_one_call_and_each_gets_its_own(
    tokens: SharedTokens, redis: Any, passed: Passed
) -> None:
    waits = {key: waiting(tokens, passed, key) for key in ("a", "b", "c")}
    await until(lambda: is_called(redis))
    for key in ("b", "c", "a"):
        await redis.lpush(key, "1")
        assert await waits[key] is True
        assert len(await blocked(redis)) <= 1
    assert passed == []


async def test_who_comes_later_is_heard_at_once(tokens: SharedTokens, redis: Any, passed: Passed) -> None:
    first = waiting(tokens, passed, "a")
    await until(lambda: is_called(redis))
    later = waiting(tokens, passed, "b")
    await redis.lpush("b", "1")
    async with asyncio.timeout(2.5):
        assert await later is True
    assert not first.done()
    assert await redis.exists(BELL) == 0
    first.cancel()


async def test_without_a_token_the_wait_ends_in_time_and_the_call_goes_on(
    tokens: SharedTokens, redis: Any, passed: Passed
) -> None:
    assert await tokens.wait("a", 0.05, passed.on("a")) is False
    assert await is_called(redis)
    assert await tokens.wait("a", 0.05, passed.on("a")) is False
    ended = (await redis.info("commandstats")).get("cmdstat_blpop", {"calls": 0})["calls"]
    assert ended <= 1, "it is not interrupted"


async def test_a_token_that_comes_while_its_worker_looks_away_is_kept_for_a_moment(
    tokens: SharedTokens, redis: Any, passed: Passed
) -> None:
    assert await tokens.wait("a", 0.05, passed.on("a")) is False
    await redis.lpush("a", "1")
    await until(lambda: tokens._kept)
    assert await tokens.wait("a", 10, passed.on("a")) is True
    await asyncio.sleep(KEPT * 2)  # it would have been passed on by now
    assert passed == []


async def test_and_then_another_worker_has_it_and_all_that_come_until_it_waits_again(
    tokens: SharedTokens, redis: Any, passed: Passed
) -> None:
    assert await tokens.wait("a", 0.05, passed.on("a")) is False
    other = waiting(tokens, passed, "b")
    await redis.lpush("a", "1")
    await until(lambda: passed == ["a"])
    await redis.lpush("a", "1")
    await redis.lpush("b", "1")
    assert await other is True
    assert await redis.llen("a") == 1, "a worker that is busy takes none"
    async with asyncio.timeout(2.5):
        assert await tokens.wait("a", 10, passed.on("a")) is True
    assert passed == ["a"]


async def test_who_has_left_takes_no_more(tokens: SharedTokens, redis: Any, passed: Passed) -> None:
    assert await tokens.wait("a", 0.05, passed.on("a")) is False
    tokens.leave("a")
    other = waiting(tokens, passed, "b")
    await until(lambda: is_called(redis))
    await until(lambda: tokens._called == {"b"})
    await redis.lpush("a", "1")
    await redis.lpush("b", "1")
    assert await other is True
    assert await redis.llen("a") == 1
    assert passed == []


async def test_a_busy_queue_does_not_hide_the_others(
    tokens: SharedTokens, redis: Any, passed: Passed
) -> None:
    await redis.lpush("a", *["1"] * 50)
    await redis.lpush("b", "1")
    other = waiting(tokens, passed, "b")
    for _ in range(5):
        assert await tokens.wait("a", 10, passed.on("a")) is True
        if other.done():
            break
    async with asyncio.timeout(2.5):
        assert await other is True


async def test_a_fault_is_told_to_all_that_wait_and_the_next_wait_begins_again(
    redis: Any, passed: Passed
) -> None:
    faults = [Cut("cut off")]

    class Blocking:
        async def execute_command(self, *args: Any) -> Any:
            await asyncio.sleep(0.01)
            if faults:
                raise faults.pop()
            return await redis.execute_command(*args)

    tokens = SharedTokens(redis, Blocking(), BELL)
    waits = [waiting(tokens, passed, key) for key in ("a", "b")]
    assert [type(error) for error in await asyncio.gather(*waits, return_exceptions=True)] == [Cut, Cut]
    await redis.lpush("a", "1")
    assert await tokens.wait("a", 10, passed.on("a")) is True
    await tokens.close()


async def test_one_that_is_cancelled_as_its_token_comes_leaves_it_to_others(
    tokens: SharedTokens, redis: Any, passed: Passed
) -> None:
    task = waiting(tokens, passed, "a")
    await until(lambda: is_called(redis))
    tokens._came("a", passed.on("a"))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: passed == ["a"])


async def test_what_is_closed_before_a_token_is_passed_on_leaves_no_coroutine_that_nobody_awaits(
    tokens: SharedTokens, redis: Any, passed: Passed
) -> None:
    made: list[Any] = []

    def pass_on() -> Any:
        made.append(passed.on("a")())
        return made[-1]

    wait = asyncio.create_task(tokens.wait("a", 10, pass_on))
    await until(lambda: is_called(redis))
    tokens._waiting["a"].set_result(True)
    wait.cancel()
    await asyncio.sleep(0)  # the wait has ended, and what it asked for has not begun
    assert tokens._beside
    await tokens.close()
    assert [one for one in made if getcoroutinestate(one) == CORO_CREATED] == []


@pytest.mark.parametrize(("url", "longest"), [("redis://h1", LONGEST), ("redis+sentinel://h1/m", 3.0)])
async def test_where_sentinels_say_who_the_primary_is_no_call_outlasts_a_failover(
    url: str, longest: float
) -> None:
    async with connections.async_client(RedisTarget.from_url(url)) as blocking:
        assert OwnTokens(blocking).longest == longest
        assert SharedTokens(None, blocking, BELL).longest == longest
