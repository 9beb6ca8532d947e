"""The service's workers inside a test's own process and loop: real ones, on a real Redis, for a package's jobs."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from rota import Client, QueueWorker
from rota.app.compose import ProcessParts, client_of, subscribers_of, worker_settings
from rota.app.probes import Probes
from rota.attempts.pools import Processes
from rota.model.registry import discover
from rota.server import connections
from rota.server.target import RedisTarget
from rota.settings.load import load


@dataclass(frozen=True)
class Works:
    """Workers that are running: a client of theirs, what their lifespan yielded, the port of their endpoint."""

    client: Client
    deps: Any
    recycled: list[str]
    port: int


@contextlib.asynccontextmanager
async def at_work(
    target: RedisTarget, package: str, variables: Mapping[str, str] | None = None
) -> AsyncIterator[Works]:
    """A worker for each queue that the jobs of `package` name, under the environment `variables`."""
    settings = load({"METRICS_PORT": "off", **(variables or {})})
    registry = discover(package)
    recycled: list[str] = []
    async with contextlib.AsyncExitStack() as stack:
        client = await stack.enter_async_context(client_of(settings, connections.async_client(target)))
        deps = await stack.enter_async_context(registry.lifespan()) if registry.lifespan else None
        processes = Processes()
        stack.push_async_callback(processes.close)
        workers: list[QueueWorker] = []
        probes = Probes(settings, registry, workers)
        parts = ProcessParts(
            settings,
            registry,
            None,
            processes,
            lambda: deps,
            recycled.append,
            subscribers_of(settings),
            probes,
        )
        stack.callback(probes.stop)
        for queue in settings.served_queues(registry.queues):
            workers.append(await stack.enter_async_context(_running(parts, queue, target)))
        yield Works(client, deps, recycled, probes.start())


@contextlib.asynccontextmanager
async def _running(parts: ProcessParts, queue: str, target: RedisTarget) -> AsyncIterator[QueueWorker]:
    worker = QueueWorker(**worker_settings(parts, queue), redis_pool=connections.async_client(target))
    running = asyncio.create_task(worker.async_run())
    try:
        yield worker
    finally:
        worker.stop()
        await running
        await worker.close()
