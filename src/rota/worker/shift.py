"""A shift: the parts of a worker at work together, from the first claim to the last settlement."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from arq.connections import ArqRedis

from rota.engine.engine import Contract, Engine
from rota.engine.execution import PATIENCE
from rota.engine.isolation import Isolation
from rota.engine.leases import LeaseKeeper
from rota.engine.shares import Share
from rota.engine.wake import POLL, Waker, Watcher
from rota.model.outcome import Cause
from rota.names import printable
from rota.process.tasks import end
from rota.server.outage import FAULTS, Outage
from rota.wire.queue import QueueScripts

logger = logging.getLogger("rota.worker")

#: What is still running when time is up gets this long to end after it was told to, seconds.
LAST_MOMENT = PATIENCE + 2.0
#: A worker with more slots than this takes two steps at a time, so that Redis works while Python does.
ONE_LANE = 8


class Shift:
    """One stretch of work on one queue. `blocking` is a client for calls that wait on the server."""

    def __init__(
        self,
        protocol: QueueScripts,
        redis: ArqRedis,
        blocking: ArqRedis,
        contract: Contract,
        *,
        slots: int,
        keeper: LeaseKeeper,
        isolation: Isolation,
        share: Share | None,
        outage: Outage,
        cancellable: bool,
        budget: Callable[[], int | None],
    ) -> None:
        self._protocol = protocol
        self._redis = redis
        self._contract = contract
        self.watcher = Watcher(protocol, redis, outage=outage)
        self.engine = Engine(
            protocol,
            redis,
            contract,
            slots=slots,
            lanes=1 if slots <= ONE_LANE else 2,
            holding=keeper.register(protocol, self._lost),
            outage=outage,
            isolation=isolation,
            share=share,
            cancellable=cancellable,
            budget=budget,
            alarm=lambda: self.watcher.holds,
        )
        self._waker = Waker(
            protocol,
            blocking,
            ready=self.engine.ready,
            free=lambda: self.engine.free > 0 and self.engine.picking,
            held_back=lambda: self.engine.held_back,
            wake=self.engine.look,
            outage=outage,
            poll=min(POLL, protocol.lease / 4),
        )

    async def run(self, until: Coroutine[Any, Any, None], *beside: Coroutine[Any, Any, None]) -> None:
        """Work, with the coroutines of `beside` going on, until `until` returns; then settle everything.

        Raises what a part of the worker failed with, which is a bug of ours.
        """
        parts = (self.engine.run(), self._waker.run(), self.watcher.run(), *beside)
        tasks = [asyncio.create_task(part) for part in parts]
        over = asyncio.create_task(until)
        try:
            finished, _ = await asyncio.wait({over, *tasks}, return_when=asyncio.FIRST_COMPLETED)
            for task in finished:
                task.result()
        finally:
            await end({over})
            await self._wind_up(tasks)

    async def _wind_up(self, tasks: list[asyncio.Task[None]]) -> None:
        self.engine.picking = False
        self.engine.stop(Cause.SHUTDOWN)
        try:
            async with asyncio.timeout(LAST_MOMENT):
                await self.engine.quiet()
                await self._contract.finished()
                await self.watcher.resign()
                await self._protocol.forget(self._redis, self.engine.lanes)
        except FAULTS as error:
            # Leases that nobody renews end by themselves; what ran under them runs again.
            running = [printable(job_id) for job_id in self.engine.executions]
            fields = {"queue": self._protocol.keys.queue, "running": running, "error": repr(error)}
            logger.warning("worker.not_settled", extra=fields)
        await end(tasks)

    def _lost(self, ids: list[str]) -> None:
        self.engine.lost(ids)
