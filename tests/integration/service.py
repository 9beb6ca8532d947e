"""The service in this process: workers of given jobs on a real server, until a block ends."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from rota import Job, QueueWorker
from rota.app.compose import ProcessParts, worker_settings
from rota.attempts.pools import Processes
from rota.model.registry import Registry
from rota.server import connections
from rota.server.target import RedisTarget
from rota.settings.load import load


@contextlib.asynccontextmanager
async def serving(url: str, *jobs: Job[Any, Any], **variables: str) -> AsyncIterator[list[QueueWorker]]:
    """Work on the queues of `jobs` on the server at `url`, with settings as variables name them."""
    settings = load({"REDIS_URL": url, **variables})
    by_queue: dict[str, dict[str, Job[Any, Any]]] = {}
    for job in jobs:
        by_queue.setdefault(job.queue or settings.default_queue, {})[job.name] = job
    registry = Registry(jobs, settings.default_queue, None, by_queue)
    processes = Processes()
    parts = ProcessParts(settings, registry, None, processes, lambda: None, _never_recycled)
    target = RedisTarget.from_url(url)
    workers = [
        QueueWorker(**worker_settings(parts, queue), redis_pool=connections.async_client(target))
        for queue in registry.queues
    ]
    mains = [asyncio.create_task(worker.async_run()) for worker in workers]
    try:
        yield workers
    finally:
        for worker in workers:
            await worker.close()
        await asyncio.gather(*mains)
        await processes.close()


def _never_recycled(reason: str) -> None:
    raise AssertionError(f"the worker wants to be started anew: {reason}")
