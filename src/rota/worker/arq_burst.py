"""arq's burst mode: a worker that ends when its queue is empty, or when it has run enough jobs."""

import asyncio
import contextlib

from rota.engine.contract import Contract
from rota.engine.engine import Engine
from rota.engine.wake import POLL
from rota.server.outage import FAULTS, Outage
from rota.worker.stopping import StoppableWorker

#: The shortest pause between two looks at the queue, in seconds: with a `poll_delay` of 0 it would only look.
SHORTEST = 0.05


class Burst:
    """The burst of one worker."""

    def __init__(self, worker: StoppableWorker, contract: Contract, outage: Outage) -> None:
        self._worker = worker
        self._contract = contract
        self._outage = outage

    def budget(self) -> int | None:
        """Return how many more jobs may be started; None means no limit."""
        worker = self._worker
        if not worker.burst or worker.max_burst_jobs < 0:
            return None
        started = worker.jobs_complete + worker.jobs_retried + worker.jobs_failed + worker.running
        return max(0, worker.max_burst_jobs - started)

    async def over(self, engine: Engine) -> None:
        """Wait until the queue is empty, deferred jobs included, or enough jobs were run, or the worker is stopped."""
        pause = min(POLL, max(self._worker.poll_delay_s, SHORTEST))
        await self._is_empty()
        engine.look()
        while not self._worker.stopping:
            if engine.busy or engine.wants_slot:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await engine.changed()
            elif self.budget() == 0 or await self._is_empty():
                break
            else:
                await asyncio.sleep(pause)
                engine.look()
        await self._contract.finished()

    async def _is_empty(self) -> bool:
        """Tell whether nothing is left, once the cron ticks that are near are enqueued."""
        try:
            await self._worker.heart_beat()
            return not await self._worker.pool.zcard(self._worker.queue_name)
        except FAULTS as error:
            await self._outage.pause(error)
            return False
