"""Dead, delayed and waiting jobs in Redis, and a leader that carries out what is asked for, in the test's process."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any, cast

from rota import Client, Run, job
from rota.model.bulk.actions import Actor
from rota.server import connections
from rota.server.target import RedisTarget
from rota.services.bulk.runner import BulkRunner
from rota.settings.load import load
from rota.wire.keys import QueueKeys, queue_key
from rota.wire.results import encode_error
from tests.workers import Term

ANN = Actor("cli", "ann@desk")


@job(queue="mail", max_attempts=1)
async def send(run: Run, number: int = 0) -> None: ...


@job(queue="mail")
async def remind(run: Run, number: int = 0) -> None: ...


async def bury(
    client: Client, ids: Sequence[str], *, task: str = "send", error: str = "no", at: int = 1
) -> None:
    """Put dead letters on the queue `mail`, as a worker would: all died at one moment, in ms since 1970."""
    dead = QueueKeys.of(queue_key("mail")).dead
    pipe = client.redis.pipeline(transaction=False)
    for one in ids:
        raw = b'{"v":1,"f":"%b","t":null,"a":[],"k":{},"et":%d}' % (task.encode(), at)
        fields = {
            "payload": raw,
            "task": task,
            "reason": "failed",
            "error": encode_error(ValueError(error)),
            "at": at,
            "attempt": 1,
        }
        pipe.hset(f"{dead}:{one}", mapping=fields)
        pipe.zadd(dead, {one: at})
    await pipe.execute()


def runner(url: str, term: Any = None, *, pace: float = 0.0) -> BulkRunner:
    """Return what carries out operations on the server at `url`, in a term that is never over, or another."""
    settings, target = load({"REDIS_URL": url}), RedisTarget.from_url(url)
    return BulkRunner(
        lambda: connections.async_client(target), settings, term or cast(Any, Term()), pace=pace
    )


@contextlib.asynccontextmanager
async def leading(url: str) -> AsyncIterator[None]:
    """Carry out operations on the server at `url` as a leader does."""
    running = asyncio.create_task(runner(url).run())
    try:
        yield
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
