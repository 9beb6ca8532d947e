"""arq's worker and ours, made and run the same way, so that one test can hold both to one contract."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import pytest
from arq.connections import ArqRedis, RedisSettings
from arq.worker import Function, Worker, func
from redis.exceptions import RedisError

from rota.worker.worker import QueueWorker
from tests.servers import RedisServer

Kind = type[Worker]

#: Runs a test on both workers, with the same assertions.
both = pytest.mark.parametrize("kind", [Worker, QueueWorker], ids=["arq", "rota"])

#: Nothing that a test waits for takes this long, seconds.
PATIENCE = 15.0


def named(name: str, coroutine: Any, **options: Any) -> Function:
    """A function under a short name: those that stand in tests have long ones."""
    return func(coroutine, name=name, **options)


def make(kind: Kind, redis: ArqRedis | None, functions: Sequence[Any], **options: Any) -> Worker:
    """A worker that polls often and leaves the test's signals alone."""
    settings = {"handle_signals": False, "poll_delay": 0.02, "redis_pool": redis, **options}
    return kind(functions, **settings)


async def burst(kind: Kind, redis: ArqRedis, functions: Sequence[Any], **options: Any) -> Worker:
    """Run a worker until its queue is empty; the worker, closed."""
    worker = make(kind, redis, functions, burst=True, **options)
    try:
        async with asyncio.timeout(PATIENCE):
            await worker.async_run()
    finally:
        await worker.close()
    return worker


@contextlib.asynccontextmanager
async def running(
    kind: Kind, redis: ArqRedis | None, functions: Sequence[Any], **options: Any
) -> AsyncIterator[Worker]:
    """A worker at work for the time of a block."""
    worker = make(kind, redis, functions, **options)
    async with at_work(worker):
        yield worker


@contextlib.asynccontextmanager
async def at_work(*workers: Worker) -> AsyncIterator[None]:
    """Workers at work for the time of a block; what they raise is dropped."""
    mains = [asyncio.create_task(worker.async_run()) for worker in workers]
    try:
        await asyncio.sleep(0)
        yield
    finally:
        for worker in workers:
            # arq's closes the pool that it was given, and so breaks what another is just saying on it.
            dropped = (RedisError,) if type(worker) is Worker else ()
            with contextlib.suppress(asyncio.CancelledError, *dropped):
                await worker.close()
        await asyncio.gather(*mains, return_exceptions=True)


async def until(
    condition: Callable[[], bool] | Callable[[], Awaitable[bool]], seconds: float = PATIENCE
) -> None:
    """Wait until `condition` holds; fails the test if that takes more than `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        holds = condition()
        if holds if isinstance(holds, bool) else await holds:
            return
        assert time.monotonic() < deadline, "the condition never held"
        await asyncio.sleep(0.01)


def settings_of(server: RedisServer) -> RedisSettings:
    """arq's own settings for a server of the tests."""
    return RedisSettings(host="127.0.0.1", port=server.port, conn_retry_delay=0)


async def echo(ctx: dict[Any, Any], value: Any) -> Any:
    """A function that stands at the top of a module, to be named by its path."""
    return value
