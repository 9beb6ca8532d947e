"""The jobs that run in one engine: each claim becomes a task, and each task ends in a settlement, whatever happens."""

import asyncio
import logging
from collections.abc import Callable

from rota.engine.contract import Contract
from rota.engine.execution import Execution
from rota.model.outcome import Cause
from rota.names import printable
from rota.wire import envelopes
from rota.wire.claims import Claim, Settlement, Told, hand_back

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
        self, contract: Contract, *, service: bool, ended: Callable[[Claim, Settlement], None]
    ) -> None:
        super().__init__()
        self._execute = contract.execute
        self._service = service
        self._ended = ended

    def start(self, claim: Claim) -> None:
        """Run `claim` in a task; an execution that has lost an earlier claim of the same job is stopped."""
        former = self.get(claim.id)
        if former is not None:
            # Its lease ran out while this process stood still, and the job has come back to the same process.
            self._lose(former)
        execution = self[claim.id] = Execution(claim)
        execution.task = asyncio.get_running_loop().create_task(self._run(execution))

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

    def _lose(self, execution: Execution) -> None:
        logger.warning("lease.lost", extra={"job_id": printable(execution.claim.id)})
        execution.stop(Cause.LEASE_LOST)

    async def _run(self, execution: Execution) -> None:
        claim = execution.claim
        try:
            settlement = await self._execute(execution)
        except asyncio.CancelledError:
            settlement = hand_back(claim)._replace(unspent=False)
        except BaseException as error:
            logger.exception("job.stumbled", extra={"job_id": printable(claim.id)})
            settlement = self.stumbled(claim, error)
        if self.get(claim.id) is execution:
            del self[claim.id]
        self._ended(claim, execution.closed_by(settlement))

    def stumbled(self, claim: Claim, error: BaseException) -> Settlement:
        """Return the settlement of a job on which rota's own code failed, and not its handler.

        The bug may show only now and then, so the job runs again. A job on which it shows each time has to end.
        """
        if claim.attempt < STUMBLES:
            return hand_back(claim, STUMBLE)._replace(unspent=False)
        detail = envelopes.encode_error(error)
        if not self._service:
            told = Told(attempt=claim.attempt, detail=detail)
            return Settlement.finished(claim, told, reason="stumbled")
        told = Told("dead", attempt=claim.attempt, detail=detail)
        return Settlement.dead(claim, "stumbled", told)
