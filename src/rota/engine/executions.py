"""The jobs that run in one engine: each claim becomes a task, and each task ends in a settlement, whatever happens.

Where jobs are short, the engine claims some ahead of the slots that become free meanwhile: these wait here.
"""

import asyncio
import logging
import math
from collections import OrderedDict
from collections.abc import Callable, Iterable

from rota.engine.contract import Contract
from rota.engine.execution import CURRENT, Deadlines, Execution
from rota.model.outcome import Cause
from rota.names import full_name, printable
from rota.process.clock import SYSTEM_CLOCK
from rota.process.tasks import beginner
from rota.wire import results
from rota.wire.claims import Claim, Settlement, Told, hand_back
from rota.wire.queue import ServiceRules

logger = logging.getLogger("rota.worker")

#: A job on which rota's own code failed comes back after this many seconds, at most this many times.
STUMBLE, STUMBLES = 5.0, 5

#: A job that was claimed ahead and has not found a slot for this long goes back into the queue, in seconds.
LONGEST_WAIT = 0.1
#: Jobs are claimed ahead where they take less than this on average, in seconds: then slots become free soon enough.
SHORT = 0.05


class Executions(dict[str, Execution]):
    """The executions under way, by job id.

    `waiting` are the claims for which no slot is free yet, by job id, with the time by which they go back. `ended`
    counts the executions that have ended, and `ending` is how many do while a step is under way. `picking` says whether
    claims are run; if not, they go back.

    :param contract: runs the jobs.
    :param slots: how many run at once.
    :param service: whether a job on which our own code keeps failing becomes a dead letter; else it just ends.
    :param ended: called with the settlement of each claim that has ended.
    """

    def __init__(
        self,
        contract: Contract,
        *,
        service: ServiceRules | None,
        slots: int,
        ended: Callable[[Settlement], None],
    ) -> None:
        super().__init__()
        self.waiting: OrderedDict[str, tuple[float, Claim]] = OrderedDict()
        self.picking = True
        self.ended = 0
        self._seconds = 0.0
        self.ending = 0.0
        # How long a job takes, in seconds; unknown before the first has ended. What of `ended` and `_seconds` is in it.
        self._typical = math.inf
        self._seen = (0, 0.0)
        self._slots = slots
        self._timer: asyncio.TimerHandle | None = None
        self._filling = False
        self._execute = contract.execute
        self._service = service
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._begin = beginner(self._loop)
        self._now = SYSTEM_CLOCK.monotonic
        #: The timer behind the timeouts of all of them.
        self.deadlines = Deadlines(self)
        #: Called when something of a handler was left behind and still runs: "handler" or "thread".
        self.on_stuck: Callable[[str], object] = lambda what: None

    def named(self, task: str) -> str:
        """Return the name of a job of this queue as logs write it: `queue:name`, or what arq calls its function."""
        return full_name(self._service.queue, task) if self._service and task else task

    def seconds(self) -> float:
        """Return for how long all executions together have lasted so far, in seconds; any thread may ask."""
        # In this order: what ends meanwhile is left out, and not counted twice.
        ended = self._seconds
        return ended + sum(execution.age for execution in list(self.values()))

    def take(self, claims: Iterable[Claim]) -> None:
        """Run each of `claims` as soon as a slot is free: it may have been claimed ahead of one."""
        for claim in claims:
            if not self.picking:
                self._ended(hand_back(claim))
            elif len(self) < self._slots:
                self.start(claim)
            else:
                self._let_wait(claim)

    def _let_wait(self, claim: Claim) -> None:
        self.waiting[claim.id] = (self._loop.time() + LONGEST_WAIT, claim)
        if self._timer is None:
            self._timer = self._loop.call_later(LONGEST_WAIT, self._lose_patience)

    def expect(self, ended: int) -> None:
        """Take note that `ended` jobs ended while a step was under way: about as many will during the next."""
        jobs, seconds = self.ended - self._seen[0], self._seconds - self._seen[1]
        if jobs:
            # Once a step, as if each of the jobs had taken as long as all on average and counted for a tenth.
            mean, weight = seconds / jobs, 0.9**jobs
            self._typical = (
                mean if self._typical == math.inf else self._typical * weight + mean * (1 - weight)
            )
            self._seen = self.ended, self._seconds
        # Jobs that were claimed together end together: one step sees many of them, and the other lane's few. Long ones
        # do so, too, and then none for a long time.
        self.ending = (self.ending + ended) / 2 if self._typical < SHORT else 0.0

    def give_back(self, since: float = math.inf) -> None:
        """Put the jobs back into the queue whose time to find a slot was up at `since`; all of them by default."""
        while self.waiting and next(iter(self.waiting.values()))[0] <= since:
            self._ended(hand_back(self._longest_waiting()))

    def _lose_patience(self) -> None:
        self._timer = None
        before = len(self.waiting)
        self.give_back(self._loop.time())
        if len(self.waiting) < before:
            # What was expected has not come: the jobs that run now are longer. Dozens of short ones will change that.
            self.ending, self._typical, self._seen = 0.0, 1.0, (self.ended, self._seconds)
        if self.waiting:
            self._timer = self._loop.call_at(next(iter(self.waiting.values()))[0], self._lose_patience)

    def _longest_waiting(self) -> Claim:
        return self.waiting.popitem(last=False)[1][1]

    def start(self, claim: Claim) -> None:
        """Run `claim` in a task; an execution that has lost an earlier claim of the same job is stopped."""
        if claim.unreadable:
            fields = {"job_id": printable(claim.id), "what": claim.unreadable}
            logger.warning("claim.unreadable", extra=fields)
        if claim.id in self:
            # Its lease ran out while this process stood still, and the job has come back to the same process.
            self._lose(self[claim.id])
        execution = self[claim.id] = Execution(claim, deadlines=self.deadlines)
        # An execution that has ended gets no task, whose context refers to the execution.
        execution.task = self._begin(self._run(execution))

    def stop(self, cause: Cause) -> None:
        """Tell every job that runs to end, for `cause`."""
        for execution in list(self.values()):
            execution.stop(cause)

    def lost(self, ids: list[str]) -> None:
        """Stop the jobs whose leases were taken away: another worker may be running them."""
        for job_id in ids:
            execution = self.get(job_id)
            if execution is not None:
                self._lose(execution)
            self.waiting.pop(job_id, None)

    def insist(self) -> None:
        """Interrupt again what was told to stop and goes on, and leave behind what goes on still.

        A handler that ignores every cancellation runs on, but holds neither its slot nor its lease.
        """
        for execution in list(self.values()):
            execution.insist()
            if execution.is_overdue and execution.close is not None:
                execution.left = True
                settlement = execution.close()
                self._tell_stuck(execution, "handler", settlement.task)
                self._end(execution, settlement)

    def _lose(self, execution: Execution) -> None:
        logger.warning("lease.lost", extra={"job_id": printable(execution.claim.id)})
        execution.stop(Cause.LEASE_LOST)

    async def _run(self, execution: Execution) -> None:
        if execution.task is None:  # which begins while it is made
            execution.task = asyncio.current_task()
        CURRENT.set(execution)
        try:
            settlement = await self._execute(execution)
        except GeneratorExit as error:
            # Raised by a task that the handler awaited: Python closes all coroutines below this one.
            close = execution.close
            settlement = close() if close is not None else self.stumbled(execution.claim, error)
        except asyncio.CancelledError:
            settlement = hand_back(execution.claim, unspent=False)
        except BaseException as error:
            logger.exception("job.stumbled", extra={"job_id": printable(execution.claim.id)})
            settlement = self.stumbled(execution.claim, error)
        if execution.left:
            logger.warning("handler.ended_late", extra={"job_id": printable(execution.claim.id)})
        else:
            if execution.cause is not None and execution.threads:
                await self._let_threads_end(execution, settlement.task)
            self._end(execution, settlement)
        # The execution lets go of the attempt, which has ended and refers to it. What refers to itself is freed by the
        # garbage collector only: with thousands of jobs a second, those are pauses.
        execution.task = execution.close = None

    async def _let_threads_end(self, execution: Execution, task: str) -> None:
        """Hold the settlement until asyncio's threads have done what a stopped handler had given them to do."""
        threads = [asyncio.wrap_future(future) for future in list(execution.threads)]
        _, running = await asyncio.wait(threads, timeout=max(0.0, execution.patience))
        if running:
            self._tell_stuck(execution, "thread", task)

    def _tell_stuck(self, execution: Execution, what: str, task: str) -> None:
        fields = {"job_id": printable(execution.claim.id), "job": self.named(task), "cause": execution.cause}
        logger.error("%s.stuck", what, extra=fields)
        self.on_stuck(what)

    def _end(self, execution: Execution, settlement: Settlement) -> None:
        job_id = execution.claim.id
        if self.get(job_id) is execution:
            del self[job_id]
        self.ended += 1
        self._seconds += self._now() - execution.began
        self._ended(execution.closed_by(settlement))
        if self.waiting and not self._filling:
            self._fill()

    def _fill(self) -> None:
        # A job may end while it starts: one after the other, or each would start the next within its own start.
        self._filling = True
        while self.waiting and len(self) < self._slots:
            self.start(self._longest_waiting())
        self._filling = False

    def stumbled(self, claim: Claim, error: BaseException) -> Settlement:
        """Return the settlement of a job on which rota's own code failed, and not its handler.

        The bug may show only now and then, so the job runs again. A job on which it shows each time has to end.
        """
        if claim.attempt < STUMBLES:
            return hand_back(claim, STUMBLE, unspent=False)
        detail = results.encode_error(error)
        if not self._service:
            told = Told(attempt=claim.attempt, detail=detail)
            return Settlement.finished(claim, told, reason="stumbled")
        told = Told("dead", attempt=claim.attempt, detail=detail)
        return Settlement.dead(claim, "stumbled", told)
