"""`QueueWorker`: arq's worker with another engine. The same arguments, functions and outcomes; nothing lost.

Bare, it runs arq's plain functions by arq's contract. With a `policy` it is the service: retries, dead letters, events.
"""

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Protocol

from arq.connections import ArqRedis, RedisSettings, log_redis_info
from arq.worker import Worker

from rota.engine.engine import Contract, Engine
from rota.engine.isolation import Isolation
from rota.engine.leases import LeaseKeeper
from rota.engine.shares import Share
from rota.engine.wake import POLL, ROLE_EVERY, Watcher
from rota.model.outcome import Cause
from rota.process.identity import unique_name
from rota.process.loop_watch import BEAT
from rota.process.signals import forget, listen
from rota.server import connections
from rota.server.outage import FAULTS, Outage, Outages
from rota.wire.keys import QueueKeys
from rota.wire.queue import QueueScripts
from rota.worker.arq_contract import ArqContract
from rota.worker.arq_cron import Cron
from rota.worker.shift import LAST_MOMENT, Shift

logger = logging.getLogger("rota.worker")


class Policy(Protocol):
    """What makes a `QueueWorker` the service: how its jobs are run, and what its scripts write beside arq's keys."""

    def protocol(self, keys: QueueKeys, worker: str, lease: float) -> QueueScripts:
        """The scripts of this queue."""

    def contract(self, worker: "QueueWorker") -> Contract:
        """What runs its jobs."""


class QueueWorker(Worker):
    """A drop-in `arq.worker.Worker` for one queue.

    Takes arq's keyword arguments, and:

    :param lease: seconds after which another worker may take over what this one stopped renewing.
    :param policy: the service's job semantics; None keeps arq's.
    :param keeper: a lease keeper to share with other workers of this process; None makes one of its own.
    :param isolation: the slots of this process, to share with its other workers; None makes one of its own.
    :param share: this queue's part in the slots of a process that are capped; None leaves them uncapped.
    :param outages: what this process knows of its server, to share with its other workers; None makes one of its own.
    :param worker_id: unique among all workers; made up by default.
    """

    def __init__(
        self,
        functions: Sequence[Any] = (),
        *,
        lease: float = 30.0,
        policy: Policy | None = None,
        keeper: LeaseKeeper | None = None,
        isolation: Isolation | None = None,
        share: Share | None = None,
        outages: Outages | None = None,
        worker_id: str | None = None,
        **arq: Any,
    ) -> None:
        if lease < 1:
            raise ValueError(f"lease is {lease} s; it has to be at least 1 s")
        self._listening: list[tuple[signal.Signals, Callable[[signal.Signals], object]]] = []
        self.engine: Engine | None = None
        super().__init__(functions, **arq)
        # Shared between workers, a ctx sends child jobs to the wrong queue, and cron jobs split their ticks.
        self.ctx = dict(self.ctx)
        self.cron_jobs = [replace(job) for job in self.cron_jobs]
        self.functions.update({job.name: job for job in self.cron_jobs})
        self.worker_id = worker_id or unique_name()
        self.lease = lease
        keys = QueueKeys.of(self.queue_name)
        self.protocol = (
            policy.protocol(keys, self.worker_id, lease)
            if policy
            else QueueScripts(keys, self.worker_id, lease)
        )
        self._cron = Cron(self.protocol, self.job_serializer, self.expires_extra_ms)
        self.contract: Contract = policy.contract(self) if policy else ArqContract(self)
        self.outage = Outage(self.queue_name, outages)
        self._service = policy is not None
        self._keeper = keeper
        self._own_pool = False
        self._given_pool: ArqRedis | None = None
        self._handlers_pool: ArqRedis | None = None
        self._isolation = isolation or Isolation()
        self._share = share
        self._stop = asyncio.Event()
        self._drained_by: asyncio.Task[None] | None = None

    # Life

    async def main(self) -> None:
        """Connect, start up, work until told to stop (or, in burst, until nothing is left), and settle everything."""
        await self._connect()
        logger.info("worker.starting", extra={"queue": self.queue_name, "functions": list(self.functions)})
        if not self._service:
            await log_redis_info(self.pool, logger.info)
        # Handlers may block on theirs: the pool that was passed, or one that waits for a reply however long.
        if self._handlers_pool is None:
            self._handlers_pool = self._given_pool or connections.rebuild(self.pool, socket_timeout=None)
        self.ctx["redis"] = self._handlers_pool
        if self.on_startup:
            await self.on_startup(self.ctx)
        async with connections.patient_clone(self.pool, POLL) as blocking:
            await self._work(blocking)

    async def _connect(self) -> None:
        if self._pool is None:
            self._pool = await connections.from_arq_settings(
                self.redis_settings or RedisSettings(),
                job_serializer=self.job_serializer,
                job_deserializer=self.job_deserializer,
                default_queue_name=self.queue_name,
                expires_extra_ms=self.expires_extra_ms,
            )
        elif not self._own_pool:
            self._given_pool = self._pool
            self._pool = connections.rebuild(self._pool)
        self._own_pool = True

    async def _work(self, blocking: ArqRedis) -> None:
        keeper = self._keeper or LeaseKeeper(connections.clone(self.pool), interval=self.lease / 3)
        shift = Shift(
            self.protocol,
            self.pool,
            blocking,
            self.contract,
            slots=self.max_jobs,
            keeper=keeper,
            isolation=self._isolation,
            share=self._share,
            outage=self.outage,
            cancellable=self._service or self.allow_abort_jobs,
            budget=self._budget,
        )
        self.engine = shift.engine
        self.engine.picking = self.allow_pick_jobs
        if self._keeper is None:
            keeper.start()
        try:
            until = self._burst_out(shift.engine) if self.burst else self._told_to_stop()
            await shift.run(until, self._beat(keeper, shift.watcher))
        finally:
            if self._keeper is None:
                keeper.stop()
            self._begin_again()

    async def _told_to_stop(self) -> None:
        await self._stop.wait()

    async def _burst_out(self, engine: Engine) -> None:
        """arq's burst: until the queue is empty, deferred jobs included, or enough jobs were run."""
        pause = min(POLL, self.poll_delay_s or POLL)
        while not self._stop.is_set():
            if engine.busy or engine.searching:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await engine.changed()
            elif self._budget() == 0 or await self._is_empty():
                break
            else:
                await asyncio.sleep(pause)
                engine.look()
        await self.contract.finished()

    async def _is_empty(self) -> bool:
        try:
            return not await self.pool.zcard(self.queue_name)
        except FAULTS as error:
            await self.outage.pause(error)
            return False

    def _budget(self) -> int | None:
        if not self.burst or self.max_burst_jobs < 0:
            return None
        started = self.jobs_complete + self.jobs_retried + self.jobs_failed + self.running
        return max(0, self.max_burst_jobs - started)

    def _begin_again(self) -> None:
        """As arq's worker, this one may be run once more after it has stopped."""
        self._stop.clear()
        self._drained_by = None
        self.allow_pick_jobs = True
        self.engine = None

    # arq's heartbeat: its health key, its cron

    async def _beat(self, keeper: LeaseKeeper, watcher: Watcher) -> None:
        next_look = 0.0
        while True:
            keeper.beat()
            try:
                if watcher.holds and time.monotonic() > next_look:
                    next_look = time.monotonic() + ROLE_EVERY
                    await self._restore_health_key()
                await self.heart_beat()
            except FAULTS as error:
                await self.outage.pause(error)
            await asyncio.sleep(BEAT)

    async def run_cron(self, n: datetime, delay: float, num_windows: int = 2) -> None:
        """Enqueue the ticks that are near, each once, whatever the clocks of other schedulers say."""
        await self._cron.run(self.pool, self.cron_jobs, n, n + timedelta(seconds=delay * num_windows))

    async def record_health(self) -> None:
        """arq's health key, and the worker that wrote it."""
        now = time.time()
        if now - self._last_health_check < self.health_check_interval:
            return
        self._last_health_check = now
        line = (
            f"{datetime.now():%b-%d %H:%M:%S} {self._signature} "  # noqa: DTZ005 - local time, as arq writes it
            f"j_complete={self.jobs_complete} j_failed={self.jobs_failed} j_retried={self.jobs_retried} "
            f"j_ongoing={self.running} queued={await self.pool.zcard(self.queue_name)}"
        )
        life = round((self.health_check_interval + 1) * 1000)
        await self.pool.set(self.health_check_key, line, px=life)

    @property
    def _signature(self) -> str:
        return f"worker={self.worker_id}"

    async def _restore_health_key(self) -> None:
        # The worker that wrote the shared key last has taken it away at its end; this one is well.
        if not await self.pool.exists(self.health_check_key):
            self._last_health_check = 0

    async def _remove_health_key(self) -> None:
        # The key is shared by all workers of the queue: only the one that wrote it last takes it away.
        written = await self.pool.get(self.health_check_key)
        if written and self._signature.encode() in written:
            await self.pool.delete(self.health_check_key)

    # Stopping

    def stop(self) -> None:
        """Stop now: what runs is told to end, and handed back."""
        self._pick_no_more()
        if self.engine is not None:
            self.engine.stop(Cause.SHUTDOWN)
        self._stop.set()

    async def drain(self, timeout: float) -> None:
        """Stop claiming, let what runs finish within `timeout` seconds, then stop."""
        self._pick_no_more()
        if self.engine is not None and timeout > 0:
            try:
                async with asyncio.timeout(timeout):
                    await self.engine.quiet()
            except TimeoutError:
                logger.warning("worker.drain_timeout", extra={"queue": self.queue_name, "seconds": timeout})
        self.stop()

    def _pick_no_more(self) -> None:
        self.allow_pick_jobs = False
        if self.engine is not None:
            self.engine.picking = False

    def handle_sig(self, signum: signal.Signals) -> None:
        """Stop at once."""
        self._log_shutdown(signum)
        self.stop()
        if self.on_stop:
            self.on_stop(signum)

    def handle_sig_wait_for_completion(self, signum: signal.Signals) -> None:
        """Stop claiming, wait `job_completion_wait` seconds for what runs; a second signal does not wait."""
        if self._drained_by is not None:
            self.handle_sig(signum)
            return
        self._log_shutdown(signum)
        self._drained_by = self.loop.create_task(self.drain(self._job_completion_wait))
        if self.on_stop:
            self._drained_by.add_done_callback(lambda _: self.on_stop and self.on_stop(signum))

    def _log_shutdown(self, signum: signal.Signals) -> None:
        running = len(self.engine.executions) if self.engine else 0
        logger.info(
            "worker.stopping", extra={"queue": self.queue_name, "signal": signum.name, "running": running}
        )

    def _add_signal_handler(self, signum: signal.Signals, handler: Callable[[signal.Signals], None]) -> None:
        listen(self.loop, signum, handler)
        self._listening.append((signum, handler))

    async def close(self) -> None:
        """Stop if it still runs, call `on_shutdown`, and close the connections."""
        self.stop()
        if (
            self.main_task is not None
            and not self.main_task.done()
            and self.main_task is not asyncio.current_task()
        ):
            await asyncio.wait({self.main_task}, timeout=LAST_MOMENT * 2)
        for signum, handler in self._listening:
            forget(self.loop, signum, handler)
        self._listening.clear()
        self._begin_again()
        if not self._pool:
            return
        try:
            await self._remove_health_key()
        except FAULTS as error:
            logger.warning("worker.health_key_not_removed", extra={"error": str(error)})
        if self.on_shutdown:
            await self.on_shutdown(self.ctx)
        # The pool that was passed stays open: others may be using it.
        own = [pool for pool in (self._pool, self._handlers_pool) if pool and pool is not self._given_pool]
        self._pool = self._given_pool = self._handlers_pool = None
        self._own_pool = False
        for pool in own:
            try:
                await pool.aclose(close_connection_pool=True)
            except FAULTS as error:
                logger.warning("worker.connections_not_closed", extra={"error": str(error)})

    @property
    def running(self) -> int:
        """How many jobs run now."""
        return len(self.engine.executions) if self.engine else 0

    @property
    def tasks(self) -> dict[str, asyncio.Task[Any]]:
        """What runs now, by job id, as arq's worker shows it."""
        executions = self.engine.executions if self.engine else {}
        return {job_id: run.task for job_id, run in executions.items() if run.task is not None}

    @tasks.setter
    def tasks(self, _: dict[str, asyncio.Task[Any]]) -> None:
        """arq's constructor sets an empty one."""

    def __repr__(self) -> str:
        return (
            f"<QueueWorker {self.queue_name} complete={self.jobs_complete} failed={self.jobs_failed} "
            f"retried={self.jobs_retried} running={self.running}>"
        )
