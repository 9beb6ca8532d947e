"""A shift: the parts of a worker at work together, from the first claim to the last settlement."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from rota.engine.capacity import Capacity
from rota.engine.contract import Contract
from rota.engine.engine import Engine
from rota.engine.execution import PATIENCE
from rota.engine.isolation import Isolation
from rota.engine.leases import Leases
from rota.engine.link import QueueLink
from rota.engine.shares import Share
from rota.engine.tokens import Tokens
from rota.engine.wake import POLL, Poller, Waker
from rota.engine.watching.watcher import Watcher
from rota.model.outcome import Cause
from rota.names import printable
from rota.process.tasks import end
from rota.server.outage import FAULTS

logger = logging.getLogger("rota.worker")

#: Jobs that still run when the time is up get this long to end after they were told to, in seconds.
LAST_MOMENT = PATIENCE + 2.0


class Shift:
    """One stretch of work on one queue.

    :param link: the way to the queue.
    :param tokens: where it waits for wake tokens.
    :param contract: what runs the jobs.
    :param capacity: how many jobs may run.
    :param leases: renews the leases of what was claimed.
    :param isolation: shared by all workers of the process.
    :param share: the queue's part in the slots of the process.
    :param cancellable: whether cancel requests are looked for.
    """

    def __init__(
        self,
        link: QueueLink,
        tokens: Tokens,
        contract: Contract,
        capacity: Capacity,
        *,
        leases: Leases,
        isolation: Isolation,
        share: Share,
        cancellable: bool,
    ) -> None:
        self._link = link
        self._contract = contract
        self._leases = leases
        self.engine = Engine(
            link,
            contract,
            capacity,
            leases=leases,
            isolation=isolation,
            share=share,
            cancellable=cancellable,
            alarm=lambda: self.watcher.holds,
        )
        self.watcher = Watcher(link, self.engine)
        poll = min(POLL, link.scripts.lease / 4)
        self._waker = Waker(link, tokens, self.engine, poll)
        self._poller = Poller(link, self.engine, poll)

    async def run(self, until: Coroutine[Any, Any, None], *beside: Coroutine[Any, Any, None]) -> None:
        """Work, with the coroutines of `beside` going on, until `until` returns; then settle everything.

        Raises what a part of the worker failed with, which is a bug of ours.
        """
        parts = (self.engine.run(), self._waker.run(), self._poller.run(), self.watcher.run(), *beside)
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
                await self._link.scripts.forget(self._link.redis, self.engine.capacity.lanes)
        except FAULTS as error:
            # Leases that are not renewed end by themselves, and the jobs that ran under them run again.
            held = [printable(job_id) for job_id in self.engine.holding.snapshot()]
            fields = {"queue": self._link.scripts.keys.queue, "running": held, "error": repr(error)}
            logger.warning("worker.not_settled", extra=fields)
        await end(tasks)
        self._leases.release(self.engine.holding)
