"""arq's worker and ours, made and run the same way, so that one test can hold both to one contract."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from arq.connections import ArqRedis, RedisSettings
from arq.worker import Function, Worker, func

from rota.worker.worker import QueueWorker
from tests.servers import RedisServer
from tests.workers import at_work

Kind = type[Worker]

#: Runs a test on both workers, with the same assertions.
both = pytest.mark.parametrize("kind", [Worker, QueueWorker], ids=["arq", "rota"])

#: When a cron job is due that is to have no tick while a test lasts: half a year from now.
FAR_AHEAD: dict[str, Any] = {
    "month": (datetime.now(UTC).month + 5) % 12 + 1,
    "day": 15,
    "hour": 0,
    "minute": 0,
}

#: The longest that a worker may take to empty its queue, in seconds.
PATIENCE = 30.0


def named(name: str, coroutine: Any, **options: Any) -> Function:
    """Return a function under a short name: functions defined in tests have long ones."""
    return func(coroutine, name=name, **options)


def make(kind: Kind, redis: ArqRedis | None, functions: Sequence[Any], **options: Any) -> Worker:
    """Make a worker that polls often and leaves the test's signals alone."""
    settings = {"handle_signals": False, "poll_delay": 0.02, "redis_pool": redis, **options}
    return kind(functions, **settings)


async def burst(kind: Kind, redis: ArqRedis, functions: Sequence[Any], **options: Any) -> Worker:
    """Run a worker until its queue is empty, and return the closed worker."""
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
    """Make a worker and run it while a block lasts."""
    worker = make(kind, redis, functions, **options)
    async with at_work(worker):
        yield worker


def settings_of(server: RedisServer) -> RedisSettings:
    """Return arq's own settings for a server of the tests."""
    return RedisSettings(host="127.0.0.1", port=server.port, conn_retry_delay=0)


async def is_gone(redis: ArqRedis, key: str) -> bool:
    """Tell whether a key is not there, or no longer."""
    return not await redis.exists(key)


async def echo(ctx: dict[Any, Any], value: Any) -> Any:
    """Return the value; at the top of a module, so that its path names it."""
    return value
