"""Workers inside a test's own process and loop, on a real Redis: the service's, arq's and our bare ones."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from arq.worker import Worker
from redis.exceptions import RedisError

from rota import Client, Job, QueueWorker
from rota.app.beside import history_of, leader_of
from rota.app.compose import ProcessParts, subscribers_of, worker_settings
from rota.app.connect import client_of
from rota.app.declaring import Declaring, release_of, schedules_of
from rota.app.probes import Probes
from rota.attempts.log.keeper import keeping_logs
from rota.attempts.off_loop.children import Processes
from rota.model.registry import Registry, discover
from rota.process.identity import unique_name
from rota.process.services import Failure
from rota.server import connections
from rota.server.place import Server
from rota.server.target import RedisTarget
from rota.services.figures import Figures
from rota.services.leader import Leader
from rota.services.scheduler import Scheduler
from rota.settings.load import Settings, load
from rota.telemetry.history.sender import HistorySender

AnyJob = Job[Any, Any]


@dataclass(frozen=True)
class Works:
    """The service while it runs: a client of it, its workers, what its lifespan yielded, the port of its endpoint.

    `history` adds what was counted to the history of the queues when it is told to; a worker process tells it so every
    ten seconds.
    """

    client: Client
    workers: list[QueueWorker]
    deps: Any
    port: int
    history: HistorySender


@contextlib.asynccontextmanager
async def serving(
    url: str, *jobs: AnyJob, package: str | None = None, **variables: str
) -> AsyncIterator[Works]:
    """Run the service on the server at `url`, with a worker for each queue of `jobs`, or of the jobs of `package`.

    `variables` are the service's environment.
    """
    settings = load({"REDIS_URL": url, "METRICS_PORT": "off", **variables})
    registry = registry_of(jobs, settings.default_queue) if package is None else discover(package)
    target = RedisTarget.from_url(url)
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(keeping_logs())
        client = await stack.enter_async_context(client_of(settings, connections.async_client(target)))
        deps = await stack.enter_async_context(registry.lifespan()) if registry.lifespan else None
        workers: list[QueueWorker] = []
        probes = Probes(settings, registry, workers)
        stack.callback(probes.stop)
        recycled: list[str] = []
        parts = parts_of(
            settings,
            registry,
            deps=deps,
            recycle=recycled.append,
            subscribers=subscribers_of(settings, registry),
            probes=probes,
        )
        stack.push_async_callback(parts.processes.close)
        for queue in settings.served_queues(registry.queues):
            redis = await stack.enter_async_context(connections.async_client(target))
            workers.append(QueueWorker(**worker_settings(parts, queue), redis_pool=redis))
        async with at_work(*workers):
            history = history_of(settings, registry.queues, client.redis, unique_name(), probes)
            yield Works(client, workers, deps, probes.start(), history)
        assert recycled == [], "the process was to be recycled"


@dataclass(frozen=True)
class Term:
    """The term of a leader that leads for the whole test."""

    epoch: int = 1

    def check(self) -> None:
        """Return in any case: the term is never over."""


@contextlib.asynccontextmanager
async def leading(url: str, package: str, **variables: str) -> AsyncIterator[None]:
    """Declare the schedules of a package, and plan them as a leader does."""
    settings = load({"REDIS_URL": url, **variables})
    target = RedisTarget.from_url(url)
    async with connections.async_client(target) as redis:
        await Declaring(redis, settings, release_of(settings, discover(package))).declare()
    scheduler = Scheduler(schedules_of(settings), Term(), lambda: connections.async_client(target))
    planning = asyncio.create_task(scheduler.run())
    try:
        yield
    finally:
        planning.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await planning


@contextlib.asynccontextmanager
async def standing(url: str, package: str, name: str = "leader", **variables: str) -> AsyncIterator[Leader]:
    """Let a process of this name stand for election, with all that it would do as the leader."""
    settings = load({"REDIS_URL": url, **variables})
    queues, server = discover(package).queues, Server(RedisTarget.from_url(url))
    failures: list[Failure] = []
    leader = leader_of(settings, queues, server, name, failures.append, figures=Figures())
    assert leader is not None
    running = asyncio.create_task(leader.run())
    try:
        yield leader
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
    assert failures == []


def registry_of(jobs: Sequence[AnyJob], default_queue: str = "default") -> Registry:
    """Return a registry of jobs that are defined in a test."""
    by_queue: dict[str, dict[str, AnyJob]] = {}
    for job in jobs:
        by_queue.setdefault(job.queue or default_queue, {})[job.name] = job
    return Registry(tuple(jobs), default_queue, None, by_queue)


def parts_of(
    settings: Settings,
    registry: Registry,
    *,
    deps: Any = None,
    recycle: Callable[[str], None] = lambda reason: None,
    **parts: Any,
) -> ProcessParts:
    """Return what the workers of one process share; each worker has its own keeper of leases."""
    return ProcessParts(settings, registry, None, Processes(), deps, recycle, **parts)


@contextlib.asynccontextmanager
async def at_work(*workers: Worker) -> AsyncIterator[None]:
    """Run workers of either kind while a block lasts. What a stock worker raises is dropped."""
    mains = [asyncio.create_task(worker.async_run()) for worker in workers]
    try:
        await asyncio.sleep(0)  # so that each has begun
        yield
    finally:
        for worker in workers:
            # A stock worker closes the pool that it was given, and so breaks the calls of the others on that pool.
            dropped = (RedisError,) if type(worker) is Worker else ()
            with contextlib.suppress(asyncio.CancelledError, *dropped):
                await worker.close()
        ends = await asyncio.gather(*mains, return_exceptions=True)
    for worker, end in zip(workers, ends, strict=True):
        if isinstance(worker, QueueWorker) and isinstance(end, Exception):
            raise end
