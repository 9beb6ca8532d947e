"""The supervisor: the life of a worker process, from its settings to its exit status.

Start: the server is found and checked, the lifespan of the jobs entered. Work: each queue has its worker, and services
run beside them. Drain: SIGTERM, SIGINT or SIGHUP stops claiming and lets running jobs finish, for at most
`DRAIN_TIMEOUT`; jobs that still run then go back to their places, unspent. A second signal does not wait. End:
everything is settled and closed, in the reverse order. A signal during the start, or a second one during the end, cuts
that short, and one more ends the process at once.

A process that is to be recycled drains in the same way, and so does one whose worker or service failed by a bug: its
exit status asks for a fresh process.
"""

import asyncio
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from enum import Enum
from functools import cached_property
from typing import Any

from rota.app.beside import heartbeat_of, history_of, leader_of, recycling_of
from rota.app.burst import Burst
from rota.app.compose import ProcessParts, subscribers_of, worker_settings
from rota.app.declaring import Declaring, release_of
from rota.app.handlers import timeouts_of
from rota.app.limits import figures_of, publish
from rota.app.probes import Probes
from rota.app.recycling import EXIT_RECYCLE, Recycling
from rota.app.resources import child_processes, connected, lease_keeper, lifespan, own_client, stack_teller
from rota.attempts.log.keeper import keeping_logs
from rota.attempts.off_loop.threads import LoopThreads
from rota.engine.keeper import LeaseKeeper
from rota.fleet.heartbeat import Heartbeat
from rota.model.registry import Registry
from rota.model.schedules.definition import Release
from rota.process.event_loop import loop_factory
from rota.process.identity import unique_name
from rota.process.loop_watch import BEAT, LoopBeat
from rota.process.services import EXIT_FAILED, Failure, Periodic, Services, drop_output, exit_now
from rota.process.signals import ECHO, hearing, is_echo, run_to_end
from rota.process.tasks import end_all
from rota.seams import Service
from rota.server import connections
from rota.server.place import Server, locate
from rota.server.rights import Rights, check_rights
from rota.services.leader import Leader
from rota.settings.load import ConfigError, Settings
from rota.telemetry.tracing import otel
from rota.telemetry.tracing.sentry import sentry
from rota.worker.shared import Shared
from rota.worker.worker import QueueWorker

logger = logging.getLogger("rota.worker")

#: What may be left behind of a handler; it ends with the process alone.
LEFT = ("thread", "handler")
#: The time that tasks which handlers have left get to end with the process, and an end that is cut short, in seconds.
CLOSING = 1.0


class Stage(Enum):
    """How far a worker process has come."""

    STARTING = "starting"
    WORKING = "working"
    ENDING = "ending"


class Supervisor:
    """One worker process.

    :param settings: what the process works with.
    :param registry: the jobs that it knows.
    :param parent: the id of the process that respawns this one, which drains when its parent is gone; None: nobody.
    :param burst: whether the process ends when nothing is left on its queues.
    :param again: whether it takes the place of one that had the same settings, and has given advice about them.
    :param on_drain: called in the event loop when the process begins to drain.
    """

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        parent: int | None = None,
        *,
        burst: bool = False,
        again: bool = False,
        on_drain: Callable[[], object] | None = None,
    ) -> None:
        self._settings = settings
        self._on_drain = on_drain
        self._registry = registry
        self._parent = parent
        self._burst = burst
        self._again = again
        self._queues = settings.served_queues(registry.queues)
        self._workers: list[QueueWorker] = []
        self._probes = Probes(settings, registry, self._workers)
        self._stage = Stage.STARTING
        self._main_task: asyncio.Task[None] | None = None
        self._cut = False
        self._heartbeat: Heartbeat | None = None
        self._leader: Leader | None = None
        self._draining: asyncio.Future[list[None]] | None = None
        self._told: tuple[signal.Signals, float] | None = None
        self._unheard_since: float | None = None
        self._why = ""
        self._status = 0
        self._left_running = False
        self._services: Services | None = None

    def run(self) -> int:
        """Run until a signal; return the exit status. Raises ConfigError, and ServerError and its kin at boot."""
        if not self._queues:
            package = self._settings.jobs_package
            raise ConfigError([f"JOBS_PACKAGE: {package!r} has no jobs, so there is no queue to work on"])
        sentry.start(self._settings)
        provider = otel.start(self._settings)
        try:
            self._run_loop()
        finally:
            sentry.close()
            otel.close(provider)
        if self._left_running or self._has_stuck_service:
            exit_now(self._status)
        drop_output()
        return self._status

    def _run_loop(self) -> None:
        server = locate(self._settings.redis)
        runner, threads = asyncio.Runner(loop_factory=loop_factory()), LoopThreads()
        loop = runner.get_loop()
        try:
            loop.set_default_executor(threads)
            self._main_task = loop.create_task(self._main(server))
            run_to_end(loop, self._main_task)
        finally:
            # Closing a loop waits for all of its tasks and threads, however long they take.
            self._tell_left(run_to_end(loop, loop.create_task(end_all(CLOSING))), threads)
            if not (self._left_running or self._has_stuck_service):
                runner.close()
            server.close()

    def _tell_left(self, tasks: list[str], threads: LoopThreads) -> None:
        """Note what still runs of the handlers, and ends with the process."""
        if tasks or threads.busy:
            logger.error("worker.left_running", extra={"tasks": tasks, "threads": len(threads.busy)})
            self._left_running = True

    @property
    def _has_stuck_service(self) -> bool:
        return self._services is not None and bool(self._services.stuck)

    async def _main(self, server: Server) -> None:
        with hearing(self._signalled, self._arrived):
            self._probes.start()
            try:
                await self._boot(server)
                await self._serve(server)
            except asyncio.CancelledError:
                if not self._cut:
                    raise
            finally:
                self._probes.stop()
        logger.info("worker.stopped", extra={"status": self._status, "why": self._why})

    # Start

    async def _boot(self, server: Server) -> None:
        """Check the server, and publish the limits. Raises ServerError."""
        timeout = self._settings.boot_timeout
        redis = await connections.open(server.target, boot_timeout=timeout, prepare=self._prepare)
        await redis.aclose(close_connection_pool=True)
        for line in () if self._again else self._advice():
            logger.warning("settings.advice", extra={"advice": line})

    async def _prepare(self, redis: Any) -> None:
        """Check what the worker may do, publish limits and schedules. Raises ServerError, and what redis-py raises."""
        settings, namespace = self._settings, self._settings.namespace
        records = settings.database is not None
        await check_rights(
            redis, Rights.of_worker(self._queues, namespace, leads=settings.leader, records=records)
        )
        await publish(redis, figures_of(self._registry, namespace))
        await Declaring(redis, self._settings, self._release).declare()

    @cached_property
    def _release(self) -> Release:
        """The schedules that this process declares, at its boot and as long as it lives."""
        return release_of(self._settings, self._registry)

    def _advice(self) -> list[str]:
        registry, settings = self._registry, self._settings
        return settings.warnings(timeouts_of(settings, registry), self._queues, registry.queues)

    # Serve

    async def _serve(self, server: Server) -> None:
        async with child_processes() as processes, lifespan(self._registry) as deps:
            if self._draining is not None:
                return
            self._stage = Stage.WORKING
            keeper = lease_keeper(self._settings, server, self._probes.outages)
            recycling = recycling_of(self._settings, self._recycle, advise=not self._again)
            subscribers = subscribers_of(self._settings, self._registry)
            if self._settings.recycles:
                subscribers = (*subscribers, recycling)
            parts = ProcessParts(
                self._settings,
                self._registry,
                keeper,
                processes,
                deps,
                self._recycle,
                subscribers,
                self._probes,
            )
            async with own_client(server) as redis:
                self._services = Services(self._beside(keeper, recycling, redis, server), self._given_up)
                async with self._services:
                    with self._probes.watching(keeper):
                        async with connected(server, parts.shared, len(self._queues)) as shared:
                            await self._work(server, parts, shared)
                    self._stage = Stage.ENDING

    def _beside(
        self, keeper: LeaseKeeper, recycling: Recycling, redis: Any, server: Server
    ) -> Iterator[Service]:
        """Yield the services that run beside the workers."""
        process = unique_name()
        self._heartbeat = heartbeat_of(
            self._settings,
            redis,
            process,
            self._workers,
            draining=lambda: self._draining is not None,
            lag=keeper.watch.lag,
        )
        self._leader = self._probes.leader = leader_of(
            self._settings,
            self._queues,
            server,
            process,
            self._given_up,
            figures=self._probes.recorded,
        )
        yield from (keeper, LoopBeat(keeper.watch), self._heartbeat, recycling)
        yield Periodic("tidy", BEAT, self._probes.tidy)
        yield Periodic("parent", BEAT, self._look_for_parent)
        yield Declaring(redis, self._settings, self._release)
        yield stack_teller(server, self._workers)
        yield history_of(self._settings, self._queues, redis, process, self._probes)
        if self._leader is not None:
            yield self._leader
        if self._burst:
            yield Burst(redis, self._queues, lambda: self._drain("burst"))

    def _look_for_parent(self) -> None:
        if self._parent is not None and os.getppid() != self._parent:
            self._drain("orphaned")

    async def _work(self, server: Server, parts: ProcessParts, shared: Shared) -> None:
        for queue in self._queues:
            own = worker_settings(parts, queue) | {"shared": shared}
            pool = shared.redis or connections.async_client(server.target)
            self._workers.append(QueueWorker(**own, redis_pool=pool))
        running = [asyncio.create_task(self._run_worker(worker)) for worker in self._workers]
        concurrency = {queue: self._settings.queue(queue).concurrency for queue in self._queues}
        logger.info(
            "worker.ready",
            extra={"queues": concurrency, "jobs": len(self._registry.jobs), "pid": os.getpid()},
        )
        with keeping_logs():
            await asyncio.gather(*running)
        for worker in self._workers:
            await worker.close()

    async def _run_worker(self, worker: QueueWorker) -> None:
        """Run one queue's worker. Its failure ends the process, as no other worker of the process serves the queue."""
        try:
            await worker.async_run()
        except Exception as error:
            logger.critical("worker.failed", extra={"queue": worker.queue_name}, exc_info=error)
            self._fail("failed")

    # Drain

    def _arrived(self, signum: signal.Signals) -> None:
        """End the process at a second signal, if its event loop has not heard of the first: a lifespan blocks it."""
        now = time.monotonic()
        if self._unheard_since is None:
            self._unheard_since = now
        elif self._stage is not Stage.WORKING and now - self._unheard_since >= ECHO:
            self._exit()

    def _signalled(self, signum: signal.Signals) -> None:
        self._unheard_since = None
        now = asyncio.get_running_loop().time()
        if self._told is None:
            # A process that drains to be recycled is not hurried: this is the first that it hears of stopping. But it
            # is not to be started again.
            self._told = signum, now
            self._status = 0 if self._status == EXIT_RECYCLE else self._status
            self._drain(signum.name)
            return
        first, told_at = self._told
        if not is_echo(signum, first, now - told_at, passed_on=self._parent is not None):
            logger.warning("worker.hurried", extra={"signal": signum.name})
            self._hurry()

    def _hurry(self) -> None:
        """Wait for nobody: hand back what runs, or cut the end of the process short."""
        if self._stage is Stage.WORKING:
            self._hand_back()
        elif self._cut:
            self._exit()
        else:
            self._cut_short()
            asyncio.get_running_loop().call_later(CLOSING, self._exit)

    def _cut_short(self) -> None:
        """Cancel what the process waits for at its start or its end: the server, or the lifespan of the jobs."""
        self._cut = True
        if self._main_task is not None:
            self._main_task.cancel()

    def _exit(self) -> None:
        """End the process at once, though something of it was not closed."""
        logger.error("worker.cut_short", extra={"status": EXIT_FAILED, "while": self._stage.value})
        exit_now(EXIT_FAILED)

    def _recycle(self, reason: str) -> None:
        """Drain, and ask for a fresh process by the exit status."""
        self._left_running = self._left_running or reason in LEFT
        if self._draining is None:
            self._status = EXIT_RECYCLE
            self._probes.recycled.add((reason,))
        self._drain(f"recycle:{reason}")

    def _given_up(self, failure: Failure) -> None:
        self._fail(f"service:{failure.service}")
        if self._probes.keeper is not None and not self._probes.keeper.alive:
            # Leases are not renewed any more: what runs has to be handed back before they end.
            self._hand_back()

    def _fail(self, why: str) -> None:
        """Drain, and report a failure by the exit status."""
        self._drain(why)
        self._status, self._why = EXIT_FAILED, why

    def _drain(self, why: str) -> None:
        if self._draining is not None:
            return
        self._why = why
        running = sum(worker.running for worker in self._workers)
        logger.info("worker.draining", extra={"why": why, "running": running})
        self._probes.draining = True
        if self._on_drain is not None:
            self._on_drain()
        timeout = self._settings.drain_timeout
        self._draining = asyncio.gather(*(worker.drain(timeout) for worker in self._workers))
        if self._heartbeat is not None:
            self._heartbeat.look()
        if self._leader is not None:
            self._leader.retire()
        if self._stage is Stage.STARTING:
            self._cut_short()

    def _hand_back(self) -> None:
        for worker in self._workers:
            worker.stop()
