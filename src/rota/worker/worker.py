"""`QueueWorker`: arq's worker with another engine. The same arguments, functions and outcomes; nothing lost.

Bare, it runs arq's plain functions by arq's contract. With a `policy` it is the service: retries, dead letters, events.
"""

import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from arq.connections import log_redis_info

from rota.engine.capacity import Capacity
from rota.engine.contract import Contract
from rota.engine.keeper import LeaseKeeper
from rota.engine.leases import Leases
from rota.engine.link import QueueLink
from rota.engine.stacks.teller import LONGEST as WAIT
from rota.engine.stacks.teller import StackTeller
from rota.engine.tokens import LONGEST, OwnTokens, Tokens
from rota.engine.watching.watcher import Watcher
from rota.process.identity import unique_name
from rota.process.loop_watch import BEAT, LoopWatch
from rota.process.tasks import end
from rota.server import connections
from rota.server.clones import REPLY_TIMEOUT
from rota.server.outage import FAULTS, Outage
from rota.wire.keys import QueueKeys
from rota.wire.queue import QueueScripts
from rota.worker.arq_arguments import showing_arqs, unpickles, without_pickles
from rota.worker.arq_burst import Burst
from rota.worker.arq_contract import ArqContract
from rota.worker.arq_cron import Cron
from rota.worker.arq_health import HealthKey
from rota.worker.pools import Pools
from rota.worker.shared import Shared
from rota.worker.shift import LAST_MOMENT, Shift
from rota.worker.stopping import StoppableWorker

logger = logging.getLogger("rota.worker")
arq_logger = logging.getLogger("arq.worker")

PICKLES = (
    "jobs are unpickled: whoever can write to this Redis can run code in this worker. "
    "Pass job_serializer and job_deserializer, or allow_pickle=False, which refuses pickles"
)


class Policy(Protocol):
    """The job semantics of the service: how jobs are run, and what the scripts write beside arq's keys."""

    def scripts(self, keys: QueueKeys, worker: str, lease: float) -> QueueScripts:
        """Return the scripts of the queue, as `worker` calls them; `lease` is in seconds."""

    def contract(self, worker: "QueueWorker") -> Contract:
        """Return what runs the jobs of `worker`."""

    def stuck(self, what: str) -> None:
        """Take note that something of a handler (`what`) ignored that it was stopped, and still runs."""


class QueueWorker(StoppableWorker):
    """A drop-in `arq.worker.Worker` for one queue.

    Takes arq's keyword arguments, and:

    :param lease: seconds after which another worker may take over what this one stopped renewing; at least 1.
    :param policy: the service's job semantics; None keeps arq's.
    :param shared: what the workers of this process share; None if this is the only one.
    :param weight: of the queue, where the slots of the process are capped; above 0.
    :param worker_id: unique among all workers; made up by default.
    :param allow_pickle: True: without serializers, jobs are unpickled, as arq does. False: jobs and results are then
        JSON, by rota's serializer pair, and a job that is a pickle fails unread.
    """

    @showing_arqs
    def __init__(
        self,
        functions: Sequence[Any] = (),
        *,
        lease: float = 30.0,
        policy: Policy | None = None,
        shared: Shared | None = None,
        weight: float = 1.0,
        worker_id: str | None = None,
        allow_pickle: bool = True,
        **arq: Any,
    ) -> None:
        if lease < 1:
            raise ValueError(f"lease is {lease} s; it has to be at least 1 s")
        if not allow_pickle:
            arq = without_pickles(arq)
        self._unpickles = unpickles(arq)
        super().__init__(functions, **arq)
        # Shared between workers, a ctx sends child jobs to the wrong queue, and cron jobs split their ticks.
        self.ctx = dict(self.ctx)
        self.cron_jobs = [replace(job) for job in self.cron_jobs]
        self.functions.update({job.name: job for job in self.cron_jobs})
        self.worker_id = worker_id or unique_name()
        self.lease = lease
        self.scripts = (policy.scripts if policy else QueueScripts)(
            QueueKeys.of(self.queue_name), self.worker_id, lease
        )
        self.contract: Contract = policy.contract(self) if policy else ArqContract(self)
        self._service = policy is not None
        self._policy = policy
        self._shared = shared or Shared()
        self._share = self._shared.shares.share(weight)
        self.outage = Outage(self.queue_name, self._shared.outages)
        self._burst = Burst(self, self.contract, self.outage)
        self._cron = Cron(self.scripts, self.job_serializer, self.expires_extra_ms, zone=arq.get("timezone"))
        self._health_key = HealthKey(
            self.health_check_key, self.worker_id, self.health_check_interval, log=not self._service
        )
        self._heart = asyncio.Lock()
        self._pools = Pools(self._client_options(), self._shared.redis)

    def _client_options(self) -> connections.ArqOptions:
        return {
            "job_serializer": self.job_serializer,
            "job_deserializer": self.job_deserializer,
            "default_queue_name": self.queue_name,
            "expires_extra_ms": self.expires_extra_ms,
        }

    # Life

    async def main(self) -> None:
        """Connect, start up, work until told to stop (or, in burst, until nothing is left), and settle everything."""
        self._pick_again()
        self._pool = await self._pools.own(self._pool, self.redis_settings)
        if self._service:
            # `rota list` names the jobs; there may be many.
            logger.info("worker.starting", extra={"queue": self.queue_name, "jobs": len(self.functions)})
        else:
            names = ", ".join(self.functions)
            arq_logger.info("Starting worker for %d functions: %s", len(self.functions), names)
            await log_redis_info(self.pool, arq_logger.info)
            if self._unpickles:
                arq_logger.warning(PICKLES)
        self.ctx["redis"] = self._pools.for_handlers(self.pool)
        if self.on_startup:
            await self._start_up(self.on_startup(self.ctx))
        async with self._tokens() as tokens, self._telling():
            await self._work(tokens)

    @contextlib.asynccontextmanager
    async def _tokens(self) -> AsyncIterator[Tokens]:
        """Yield where the worker waits for tokens: beside the others of the process, or on a connection of its own."""
        if self._shared.tokens is not None:
            yield self._shared.tokens
            return
        async with connections.patient_clone(self.pool, LONGEST) as blocking:
            yield OwnTokens(blocking)

    async def _work(self, tokens: Tokens) -> None:
        link = QueueLink(self.scripts, self.pool, self.outage, self._shared.changes)
        with self._keeping() as keeper:
            shift = Shift(
                link,
                tokens,
                self.contract,
                Capacity(self.max_jobs, self._burst.budget),
                leases=keeper.leases,
                isolation=self._shared.isolation,
                share=self._share,
                cancellable=self._service or self.allow_abort_jobs,
            )
            shift.watcher.beside = self.health_check_key
            self.engine = shift.engine
            if self._policy is not None:
                self.engine.executions.on_stuck = self._policy.stuck
            self.engine.picking = self.allow_pick_jobs and not self.stopping
            try:
                until = self._burst.over(shift.engine) if self.burst else self.told_to_stop()
                await shift.run(until, self._beat(keeper.watch, shift.watcher))
            finally:
                self._begin_again()

    @contextlib.contextmanager
    def _keeping(self) -> Iterator[LeaseKeeper]:
        """Yield the lease keeper of the process, or one that is this worker's own while the block runs."""
        if self._shared.keeper is not None:
            yield self._shared.keeper
            return
        keeper = LeaseKeeper(Leases(connections.clone(self.pool), interval=self.lease / 3))
        keeper.start()
        try:
            yield keeper
        finally:
            keeper.stop()

    @contextlib.asynccontextmanager
    async def _telling(self) -> AsyncIterator[None]:
        """Tell where jobs are while the block runs; a service's process does so for all of its workers."""
        if self._service:
            yield
            return
        connect = connections.clone(self.pool, socket_timeout=WAIT + REPLY_TIMEOUT)
        teller = StackTeller(connect, lambda: {self.worker_id: self.engine.executions if self.engine else {}})
        telling = asyncio.create_task(teller.run())
        try:
            yield
        finally:
            await end({telling})

    # arq's heartbeat: its health key, its cron

    async def _beat(self, watch: LoopWatch, watcher: Watcher) -> None:
        while True:
            watch.beat()
            try:
                if watcher.holds and watcher.beside_changed:
                    await self._look_after_health_key(watcher)
                await self.heart_beat()
            except FAULTS as error:
                await self.outage.pause(error)
            await asyncio.sleep(BEAT)

    async def _look_after_health_key(self, watcher: Watcher) -> None:
        watcher.beside_changed = False  # before the look: what comes meanwhile is another change
        try:
            await self._health_key.restore(self.pool)
        except FAULTS:
            watcher.beside_changed = True
            raise

    async def heart_beat(self) -> None:
        """Write the health key and enqueue the ticks that are near; one beat at a time, or a tick would be skipped."""
        async with self._heart:
            await super().heart_beat()

    async def run_cron(self, n: datetime, delay: float, num_windows: int = 2) -> None:
        """Enqueue the ticks that are near, each once, whatever the clocks of other schedulers say."""
        until = n.astimezone(UTC) + timedelta(seconds=delay * num_windows)
        await self._cron.run(self.pool, self.cron_jobs, n, until)

    async def record_health(self) -> None:
        """Write arq's health key, with the worker that wrote it."""
        await self._health_key.write(self.pool, self._counts)

    async def _counts(self) -> str:
        return (
            f"j_complete={self.jobs_complete} j_failed={self.jobs_failed} j_retried={self.jobs_retried} "
            f"j_ongoing={self.running} queued={await self.pool.zcard(self.queue_name)}"
        )

    # Its end

    async def close(self) -> None:
        """Stop if it still runs, call `on_shutdown`, and close the connections."""
        if self._service or self._handle_signals:
            self.stop()
        else:
            self.handle_sig(signal.SIGUSR1)  # as arq's does
        if (
            self.main_task is not None
            and not self.main_task.done()
            and self.main_task is not asyncio.current_task()
        ):
            await asyncio.wait({self.main_task}, timeout=LAST_MOMENT * 2)
        self._forget_signals()
        self._begin_again()
        if not self._pool:
            return
        try:
            await self._health_key.remove(self.pool)
        except FAULTS as error:
            logger.warning("worker.health_key_not_removed", extra={"error": str(error)})
        if self.on_shutdown:
            await self.on_shutdown(self.ctx)
        self._pool = None
        await self._pools.close()

    @property
    def tasks(self) -> dict[str, asyncio.Task[Any]]:
        """The tasks that run now, by job id, as arq's worker shows them."""
        executions = self.engine.executions if self.engine else {}
        return {job_id: run.task for job_id, run in executions.items() if run.task is not None}

    @tasks.setter
    def tasks(self, _: dict[str, asyncio.Task[Any]]) -> None:
        """arq's constructor sets an empty one."""
