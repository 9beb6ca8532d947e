"""The supervisor: runs a process's queue workers, hears signals, and ends them in order.

A first SIGTERM or SIGINT stops claiming and waits for what runs, at most `DRAIN_TIMEOUT`; what is left then goes back
to its place, unspent. A second signal does not wait. A worker that fails by a bug of ours takes the process down, with
everything handed back, for its orchestrator to start anew. One that is to be recycled drains in the same way.
"""

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections.abc import AsyncIterator
from typing import Any

from rota.app.compose import Parts, rules_of, subscribers_of, worker_settings
from rota.app.limits import figures_of, publish
from rota.app.probes import Probes
from rota.app.recycling import EXIT_RECYCLE, Recycling
from rota.attempts.pools import Processes
from rota.engine.leases import LeaseKeeper
from rota.fleet.heartbeat import Heartbeat, beating
from rota.model.registry import Registry
from rota.process.loop_watch import BEAT
from rota.process.signals import forget, listen
from rota.process.tasks import end
from rota.seams import Subscriber
from rota.server import connections
from rota.server.place import Server, locate
from rota.settings.load import ConfigError, Settings
from rota.telemetry.tracing import otel
from rota.telemetry.tracing.sentry import sentry
from rota.worker.worker import QueueWorker

logger = logging.getLogger("rota.worker")

#: Exit status: a worker failed by a bug of ours.
EXIT_FAILED = 1
#: A signal that comes again within this is the same one: sent to the whole group, and passed on by the parent; seconds.
ECHO = 1.0


class Supervisor:
    """One worker process, from its settings to its exit status.

    `parent` is the process that respawns it (None: nobody in particular); when that is gone, this one stops too.
    """

    def __init__(self, settings: Settings, registry: Registry, parent: int | None = None) -> None:
        self._settings = settings
        self._registry = registry
        self._parent = parent
        self._told_at: float | None = None
        self._workers: list[QueueWorker] = []
        self._heartbeat: Heartbeat | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._boot: asyncio.Task[Any] | None = None
        self._status = 0
        self._stuck = False
        self._probes = Probes(settings, registry, self._workers)

    def run(self) -> int:
        """Run until a signal; the exit status. Raises ServerError and its kin at boot."""
        if not self._queues():
            package = self._settings.jobs_package
            raise ConfigError([f"JOBS_PACKAGE: {package!r} has no jobs, so there is no queue to work on"])
        sentry.start(self._settings)
        provider = otel.start(self._settings)
        try:
            self._run()
        finally:
            sentry.close()
            otel.close(provider)
        if self._stuck:
            # A thread that cannot be stopped would keep the interpreter from ending.
            logging.shutdown()
            os._exit(self._status)
        return self._status

    def _run(self) -> None:
        server = locate(self._settings.redis)
        try:
            with asyncio.Runner(loop_factory=_loop_factory()) as runner:
                runner.run(self._main(server))
        finally:
            server.close()

    async def _main(self, server: Server) -> None:
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGTERM, signal.SIGINT):
            listen(loop, signum, self._signalled)
        self._probes.start()
        try:
            if await self._reached(server):
                await self._serve(server)
        finally:
            self._probes.stop()
            for signum in (signal.SIGTERM, signal.SIGINT):
                forget(loop, signum, self._signalled)

    async def _reached(self, server: Server) -> bool:
        """Whether the server is there and fit for use; False if we were told to stop before it was."""
        self._boot = asyncio.create_task(
            connections.open(server.target, boot_timeout=self._settings.boot_timeout)
        )
        try:
            redis = await self._boot
        except asyncio.CancelledError:
            if self._stopping is None:
                raise
            return False
        try:
            await publish(redis, figures_of(self._registry, self._settings.namespace))
        finally:
            await redis.aclose(close_connection_pool=True)
        for line in self._advice():
            logger.warning("settings.advice", extra={"advice": line})
        return True

    async def _serve(self, server: Server) -> None:
        processes = Processes()
        keeper = LeaseKeeper(
            connections.clone(connections.async_client(server.target)),
            interval=self._settings.lease / 3,
            block_limit=self._settings.loop_block_limit,
            report_after=self._settings.loop_block_report,
            health_file=self._settings.health_file,
        )
        self._probes.keeper = keeper
        try:
            async with self._resources() as deps:
                recycling, probes = self._recycling(), self._probes
                subscribers: tuple[Subscriber, ...] = (*subscribers_of(self._settings), probes.subscriber)
                parts = Parts(
                    self._settings,
                    self._registry,
                    keeper,
                    processes,
                    lambda: deps,
                    self._recycle,
                    subscribers=(*subscribers, recycling) if self._settings.recycles else subscribers,
                    outages=probes.outages,
                    meter=probes.meter,
                )
                keeper.start()
                beats = {asyncio.create_task(self._beat(keeper)), asyncio.create_task(recycling.run())}
                try:
                    async with self._beating(server) as self._heartbeat:
                        await self._work(server, parts)
                finally:
                    # What the lifespan closes may take its time, and block the loop, with nothing left to lose.
                    await end(beats)
                    keeper.stop()
        finally:
            await processes.close()

    def _beating(self, server: Server) -> contextlib.AbstractAsyncContextManager[Heartbeat]:
        return beating(
            connections.async_client(server.target),
            self._workers,
            cap=self._settings.worker_concurrency,
            draining=lambda: self._stopping is not None,
        )

    @contextlib.asynccontextmanager
    async def _resources(self) -> AsyncIterator[Any]:
        lifespan = self._registry.lifespan
        if lifespan is None:
            yield None
            return
        async with lifespan() as deps:
            yield deps

    async def _work(self, server: Server, parts: Parts) -> None:
        queues = self._queues()
        for queue in queues:
            pool = connections.async_client(server.target)
            self._workers.append(QueueWorker(**worker_settings(parts, queue), redis_pool=pool))
        if self._stopping is not None:
            return
        mains = {asyncio.create_task(worker.async_run()): worker for worker in self._workers}
        concurrency = {queue: self._settings.queue(queue).concurrency for queue in queues}
        logger.info(
            "worker.ready",
            extra={"queues": concurrency, "jobs": len(self._registry.jobs), "pid": os.getpid()},
        )
        await asyncio.wait(mains, return_when=asyncio.FIRST_COMPLETED)
        for main, worker in mains.items():
            if main.done() and (error := main.exception()):
                self._status = EXIT_FAILED
                logger.critical("worker.failed", extra={"queue": worker.queue_name}, exc_info=error)
        self._stop("failed")
        await asyncio.gather(*mains, return_exceptions=True)
        for worker in self._workers:
            await worker.close()
        logger.info("worker.stopped", extra={"status": self._status})

    def _advice(self) -> list[str]:
        registry, settings = self._registry, self._settings
        timeouts = {
            registry.full_name(job): rules_of(job, settings.queue(registry.queue_of(job))).timeout
            for job in registry.jobs
        }
        return settings.warnings(timeouts, self._queues())

    def _queues(self) -> tuple[str, ...]:
        return self._settings.served_queues(self._registry.queues)

    # Stopping

    def _signalled(self, signum: signal.Signals) -> None:
        now = asyncio.get_running_loop().time()
        if self._told_at is None:
            # Also of one that drains to be recycled: whoever wants it stopped wants it to finish what runs.
            self._told_at = now
            self._status = 0 if self._status == EXIT_RECYCLE else self._status
            self._stop(signum.name)
            return
        if self._parent is not None and now - self._told_at < ECHO:
            return
        logger.warning("worker.hurried", extra={"signal": signum.name})
        for worker in self._workers:
            worker.stop()

    def _recycle(self, reason: str) -> None:
        """The process should be started anew: drain, and say so by the exit status."""
        self._stuck = self._stuck or reason == "thread"
        if self._stopping is None:
            self._status = EXIT_RECYCLE
            self._probes.recycled.add((reason,))
        self._stop(f"recycle:{reason}")

    def _stop(self, why: str) -> None:
        if self._stopping is None:
            running = sum(worker.running for worker in self._workers)
            logger.info("worker.draining", extra={"why": why, "running": running})
            self._probes.draining = True
            self._stopping = asyncio.create_task(self._drain())
            if self._heartbeat is not None:
                self._heartbeat.look()
            if self._boot is not None:
                self._boot.cancel()

    async def _drain(self) -> None:
        await asyncio.gather(*(worker.drain(self._settings.drain_timeout) for worker in self._workers))

    def _recycling(self) -> Recycling:
        settings = self._settings
        return Recycling(
            self._recycle, after_jobs=settings.recycle_after_jobs, after_memory=settings.recycle_after_memory
        )

    async def _beat(self, keeper: LeaseKeeper) -> None:
        while True:
            if self._parent is not None and os.getppid() != self._parent:
                self._stop("orphaned")
            due = time.monotonic() + BEAT
            await asyncio.sleep(BEAT)
            keeper.watch.beat(max(0.0, time.monotonic() - due))
            self._probes.tidy()


def _loop_factory() -> Any:
    try:
        import uvloop  # noqa: PLC0415 - an extra
    except ImportError:
        return None
    return uvloop.new_event_loop
