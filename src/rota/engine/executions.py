"""The jobs that run in one engine: each claim becomes a task, and each task ends in a settlement, whatever happens."""

import asyncio
import logging
from collections.abc import Callable

from rota.engine.contract import Contract
from rota.engine.execution import CURRENT, Deadlines, Execution
from rota.model.outcome import Cause
from rota.names import full_name, printable
from rota.process.tasks import begin
from rota.wire import results
from rota.wire.claims import Claim, Settlement, Told, hand_back
from rota.wire.queue import ServiceRules

logger = logging.getLogger("rota.worker")

#: A job on which rota's own code failed comes back after this many seconds, at most this many times.
STUMBLE, STUMBLES = 5.0, 5


class Executions(dict[str, Execution]):
    """The executions under way, by job id.

    :param contract: runs the jobs.
    :param service: whether a job on which our own code keeps failing becomes a dead letter; else it just ends.
    :param ended: called with each claim that has ended and its settlement.
    """

    def __init__(
        self,
        contract: Contract,
        *,
        service: ServiceRules | None,
        ended: Callable[[Claim, Settlement], None],
    ) -> None:
        super().__init__()
        self._execute = contract.execute
        self._service = service
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        #: The timer behind the timeouts of all of them.
        self.deadlines = Deadlines(self)
        #: Called when something of a handler was left behind and still runs: "handler" or "thread".
        self.on_stuck: Callable[[str], object] = lambda what: None

    def named(self, task: str) -> str:
        """Return the name of a job of this queue as logs write it: `queue:name`, or what arq calls its function."""
        return full_name(self._service.queue, task) if self._service and task else task

    def start(self, claim: Claim) -> None:
        """Run `claim` in a task; an execution that has lost an earlier claim of the same job is stopped."""
        if claim.unreadable:
            fields = {"job_id": printable(claim.id), "what": claim.unreadable}
            logger.warning("claim.unreadable", extra=fields)
        former = self.get(claim.id)
        if former is not None:
            # Its lease ran out while this process stood still, and the job has come back to the same process.
            self._lose(former)
        execution = self[claim.id] = Execution(claim, deadlines=self.deadlines)
        execution.task = begin(self._loop, self._run(execution))

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
        claim = execution.claim
        if execution.task is None:  # which begins while it is made
            execution.task = asyncio.current_task()
        CURRENT.set(execution)
        try:
            settlement = await self._execute(execution)
        except GeneratorExit as error:
            # Raised by a task that the handler awaited: Python closes all coroutines below this one.
            settlement = execution.close() if execution.close is not None else self.stumbled(claim, error)
        except asyncio.CancelledError:
            settlement = hand_back(claim)._replace(unspent=False)
        except BaseException as error:
            logger.exception("job.stumbled", extra={"job_id": printable(claim.id)})
            settlement = self.stumbled(claim, error)
        if execution.left:
            logger.warning("handler.ended_late", extra={"job_id": printable(claim.id)})
        else:
            if execution.threads and execution.cause is not None:
                await self._let_threads_end(execution, settlement.task)
            self._end(execution, settlement)
        execution.release()

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
        claim = execution.claim
        if self.get(claim.id) is execution:
            del self[claim.id]
        self._ended(claim, execution.closed_by(settlement))

    def stumbled(self, claim: Claim, error: BaseException) -> Settlement:
        """Return the settlement of a job on which rota's own code failed, and not its handler.

        The bug may show only now and then, so the job runs again. A job on which it shows each time has to end.
        """
        if claim.attempt < STUMBLES:
            return hand_back(claim, STUMBLE)._replace(unspent=False)
        detail = results.encode_error(error)
        if not self._service:
            told = Told(attempt=claim.attempt, detail=detail)
            return Settlement.finished(claim, told, reason="stumbled")
        told = Told("dead", attempt=claim.attempt, detail=detail)
        return Settlement.dead(claim, "stumbled", told)
