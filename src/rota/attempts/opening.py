"""The first steps of an attempt: what is this job, may it be read, and by which rules does it run?"""

import logging
from collections.abc import Mapping

from rota.attempts.attempt import Attempt, Handler, override
from rota.attempts.parts import QueuePolicy
from rota.attempts.refusals import Refusals
from rota.attempts.strangers import Strangers
from rota.errors import JobExpired, JobLost, RefusedPayload, UnknownJob
from rota.model.policies.terms import tenant_in
from rota.model.trace import tenant_of
from rota.names import full_name, printable
from rota.process.clock import Clock
from rota.wire import envelopes
from rota.wire.claims import Claim, Settlement, Told
from rota.wire.envelopes import SWEEP
from rota.wire.sealing.sealed import unseal_job

logger = logging.getLogger("rota.worker")


class HandedBack(Exception):
    """Raised by a step that sends the job back to wait, unspent; `settlement` says for what."""

    def __init__(self, settlement: Settlement) -> None:
        self.settlement = settlement


class Opening:
    """Opens the claims of one queue, and finds their handlers among `handlers`, which are by name.

    What this worker cannot read, or does not know, goes back for others while its grace lasts.
    """

    def __init__(self, policy: QueuePolicy, handlers: Mapping[str, Handler], clock: Clock) -> None:
        self._policy = policy
        self._sealer = policy.sealer
        self._handlers = handlers
        self._refusals = Refusals(policy.queue, clock.monotonic)
        #: The jobs that this worker has lately found not to know.
        self.strangers = Strangers(policy.queue, handlers, clock.monotonic)

    def open(self, attempt: Attempt) -> None:
        """Check the seal, and read the envelope. Raises JobExpired, UnreadablePayload, JobLost."""
        claim = attempt.claim
        # Where the job ends before its rules are known, the log of its earlier attempts goes with its record too.
        attempt.execution.keeps_log = True
        if claim.payload is None:
            raise JobExpired
        try:
            attempt.payload = claim.payload if self._sealer is None else self._unseal(claim, claim.payload)
            attempt.envelope = envelope = envelopes.open_job(attempt.payload)
            attempt.task, attempt.options, attempt.headers = envelope.name, envelope.options, envelope.headers
            if self._sealer is not None:
                self._check_tenant(attempt)
        except RefusedPayload as error:
            self._refuse(attempt, error)
            raise
        if envelope.tries is not None:
            attempt.number = max(claim.attempt, envelope.tries)
        if claim.recovered:
            self._tell_recovered(attempt)
        if claim.lost and claim.lost >= self._policy.max_lost:
            raise JobLost(claim.lost)

    def look_up(self, attempt: Attempt) -> None:
        """Find the job and its rules. Raises UnknownJob after the grace, UnreadablePayload for impossible options."""
        home = attempt.home if attempt.options else None
        name = full_name(home, attempt.task) if home else attempt.task
        handler = self._handlers.get(name)
        if handler is None:
            self.leave_to_others(attempt)
            raise UnknownJob(name, self._handlers)
        attempt.handler, rules = handler, handler.rules
        attempt.job = job = handler.job
        if job.aliases and attempt.task in job.aliases:
            attempt.task = job.name
        attempt.rules = rules = override(rules, attempt.options) if attempt.options else rules
        attempt.keep_result = rules.keep_result
        attempt.execution.keeps_log = rules.keep_log

    def leave_to_others(self, attempt: Attempt, error: str = "") -> None:
        """Hand back a job that a newer worker may know, while its grace lasts.

        `error` says what of it this worker does not know, if that is not its name.
        """
        if self._is_in_grace(attempt):
            self.strangers.tell(attempt.claim.id, attempt.task, error)
            raise HandedBack(self._to_others(attempt.claim, Told(task=attempt.task)))

    def _unseal(self, claim: Claim, payload: bytes) -> bytes:
        """Return a payload without its seal. Raises RefusedPayload."""
        return unseal_job(self._sealer, payload, queue=self._policy.queue, job_id=claim.id)

    def _check_tenant(self, attempt: Attempt) -> None:
        """Raise RefusedPayload where the scripts take a job for another tenant's than its signed headers say."""
        if attempt.task == SWEEP:  # made by a script, which signs nothing, and about no tenant's data
            return
        if tenant_of(attempt.headers) != tenant_in(attempt.claim.terms):
            raise RefusedPayload("bad_signature")

    def _refuse(self, attempt: Attempt, error: RefusedPayload) -> None:
        """Log why a job is not opened; hand it back while another worker may have the key that this one lacks."""
        claim = attempt.claim
        if error.needs_key and self._is_in_grace(attempt):
            self._refusals.tell_sealed(claim, error)
            raise HandedBack(self._to_others(claim, Told()))
        if not attempt.is_cancelled:
            self._refusals.tell_refused(claim, error)

    def _tell_recovered(self, attempt: Attempt) -> None:
        """Log that a job comes from a worker that was lost, which cannot say so itself."""
        claim = attempt.claim
        fields = {
            "job": full_name(self._policy.queue, attempt.task),
            "job_id": printable(claim.id),
            "worker": claim.lost_by,
            "lost": claim.lost,
        }
        logger.warning("job.recovered", extra=fields)

    def _is_in_grace(self, attempt: Attempt) -> bool:
        """Tell whether a job that this worker cannot run may wait still for one that can."""
        claim = attempt.claim
        unknown_ms = claim.started_ms - (claim.unknown_since_ms or claim.started_ms)
        return not attempt.is_cancelled and unknown_ms <= self._policy.unknown_grace * 1000

    def _to_others(self, claim: Claim, told: Told) -> Settlement:
        delay = self._policy.unknown_delay
        return Settlement.again(claim, delay, told, unspent=True, unknown=True)
