"""A worker of a bench: it works off one queue, one attempt at a time, with the real scripts and the real runner."""

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from typing import Any

from rota.attempts.runner import Runner
from rota.engine.execution import Execution
from rota.model.outcome import Cause
from rota.testing.attempt import RecordedExecution
from rota.testing.virtual_time import VirtualTime
from rota.wire.claims import Claim, Report, Settlement, encode_id, ms_of
from rota.wire.keys import ABORT
from rota.wire.queue import QueueScripts, StepReply


class Worker:
    """A worker with one slot, on one queue. `ran` counts its attempts by the job's name.

    :param scripts: the scripts of its queue.
    :param runner: runs its jobs.
    :param redis: an asyncio client on the fake server.
    :param looking: a blocking client on the same server.
    :param reports: where the runner puts the progress of jobs.
    :param saved: takes the job's name and the states that an attempt saved.
    :param time: the virtual time of its attempts.
    """

    def __init__(
        self,
        scripts: QueueScripts,
        runner: Runner,
        *,
        redis: Any,
        looking: Any,
        reports: list[Report],
        saved: Callable[[str, list[Any]], None],
        time: VirtualTime,
    ) -> None:
        self.ran: Counter[str] = Counter()
        self._scripts = scripts
        self._runner = runner
        self._redis = redis
        self._looking = looking
        self._reports = reports
        self._saved = saved
        self._time = time
        self._numbers = count(1)
        self._passed: set[bytes] = set()

    def due(self) -> float | None:
        """Return when the next job is due, in seconds since 1970; None if none is left that can be run here."""
        queue = self._scripts.keys.queue
        for member, score in self._looking.zrange(queue, 0, len(self._passed), withscores=True):
            if member not in self._passed:
                return math.ceil(float(score)) / 1000
        return None

    async def work(self) -> int:
        """Run the job that is due, if it can be run; return the number of attempts, 0 or 1."""
        claims = (await self._step(want=1)).claims
        if not claims:
            self._pass_by()
            return 0
        claim = claims[0]
        settlement = await self._run(claim)
        if self._reports:
            await self._scripts.report(self._redis, self._reports)
            for reported in self._reports:
                self._runner.reported(*reported)
            self._reports.clear()
        await self._settle(settlement)
        if settlement.unknown:
            # This bench has no job of that name. A worker would leave it to newer workers, and here are none.
            self._passed.add(encode_id(claim.id))
            return 0
        self.ran[settlement.task] += 1
        return 1

    async def _run(self, claim: Claim) -> Settlement:
        execution = RecordedExecution(claim)
        execution.task = task = self._time.task(self._runner.execute(execution))
        try:
            with self._time.listening(partial(self._hear_cancels, execution)):
                await asyncio.wait({task})
        except asyncio.CancelledError:
            # The test gave up: end the attempt as a stopping worker does.
            execution.stop(Cause.SHUTDOWN)
            await self._settle(execution.closed_by(await task))
            raise
        finally:
            self._time.forget()
        settlement = execution.closed_by(task.result())
        self._saved(settlement.task, execution.states)
        return settlement

    def _hear_cancels(self, execution: Execution) -> bool:
        if execution.cause is not None:
            return False
        if self._looking.zscore(ABORT, encode_id(execution.claim.id)) is None:
            return False
        execution.stop(Cause.CANCEL)
        return True

    async def _settle(self, settlement: Settlement) -> None:
        answers = (await self._step(want=0, settlements=[settlement])).answers
        self._runner.settled([settlement], answers)

    async def _step(self, want: int, settlements: Sequence[Settlement] = ()) -> StepReply:
        return await self._scripts.step(
            self._redis, lane=0, seq=next(self._numbers), want=want, settlements=settlements
        )

    def _pass_by(self) -> None:
        # The first job is due and was not claimed: a stock worker holds it, or its queue is paused. (A limit would have
        # moved it to a later time.) Look past it from now on.
        queue = self._scripts.keys.queue
        now = ms_of(self._looking.time())
        for member, score in self._looking.zrange(queue, 0, len(self._passed), withscores=True):
            if member not in self._passed:
                if score <= now:
                    self._passed.add(member)
                return
