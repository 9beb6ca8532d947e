"""The settlement of an attempt: its outcome as step.lua is told, with the final record and what is to be announced."""

import asyncio
from dataclasses import dataclass, replace
from functools import partial

from rota.attempts.announcer import EVENTS, Announcer, ended
from rota.attempts.attempt import Attempt
from rota.errors import RefusedPayload, UnreadablePayload
from rota.model.outcome import Outcome
from rota.model.policies.terms import is_member
from rota.model.state import OutcomeKind
from rota.process.clock import Clock
from rota.wire import envelopes, results
from rota.wire.claims import Settlement, Told
from rota.wire.envelopes import LAST
from rota.wire.sealing.sealed import seal_record
from rota.wire.sealing.seals import Sealer
from rota.wire.sealing.values import Kind, seal_value

# Asked for by each attempt: as an attribute of its enum it takes Python 3.11 seven times as long.
_COMPLETED = OutcomeKind.COMPLETED
_FINAL = {OutcomeKind.COMPLETED, OutcomeKind.CANCELLED, OutcomeKind.DEAD}
_UNSPENT = {OutcomeKind.SNOOZED, OutcomeKind.INTERRUPTED, OutcomeKind.LOST}
# As `Told._make`, which calls it through two functions more.
_told = partial(tuple.__new__, Told)
#: The most characters that are kept of a handler's reason for cancelling its job.
_REASON_LIMIT = 500
#: The most characters that are kept of the traceback of an attempt that will be repeated.
_TRACE_LIMIT = 1000
#: How many bytes of an unreadable payload its error shows, in hexadecimal.
_SHOWN = 256


@dataclass(frozen=True, slots=True)
class Settling:
    """Makes the settlements of one queue. `queue_key` is the key of its sorted set; `sealer` seals the records."""

    queue: str
    queue_key: str
    announcer: Announcer
    clock: Clock
    sealer: Sealer | None = None

    def settle(self, attempt: Attempt, outcome: Outcome) -> Settlement:
        """Return the settlement of an attempt."""
        kind = outcome.kind
        if outcome.reason:
            outcome = replace(outcome, reason=outcome.reason[:_REASON_LIMIT])
        detail = attempt.result if kind is _COMPLETED else _detail(attempt, outcome)
        duration = self.clock.monotonic() - attempt.started
        is_final, keep_result = kind in _FINAL, attempt.keep_result
        told = _told(
            (
                EVENTS[kind],
                attempt.task,
                attempt.number,
                detail if self.sealer is None or kind is not _COMPLETED else self._sent(attempt, detail),
                self._record(attempt, kind, detail, duration) if is_final and keep_result > 0 else b"",
                round(keep_result * 1000),
                ended((attempt, outcome, detail, duration)),
            )
        )
        if not is_final:
            again = Settlement.again(attempt.claim, outcome.delay, told, unspent=kind in _UNSPENT)
            return again._replace(failure=_brief(outcome)) if kind is OutcomeKind.RETRIED else again
        if kind is OutcomeKind.DEAD:
            return Settlement.dead(attempt.claim, outcome.reason, told)
        return Settlement.finished(attempt.claim, told, reason=outcome.reason)

    def _sent(self, attempt: Attempt, result: bytes) -> bytes:
        """Return a result as it is sent beside the record: sealed for a flow, which hands it on, or to hide it."""
        sealer, envelope = self.sealer, attempt.envelope
        is_hidden = sealer is not None and sealer.encrypts
        if not is_hidden and not is_member(attempt.claim.terms):
            return result
        kind: Kind = "last" if envelope is not None and envelope.options.get(LAST) else "result"
        return seal_value(sealer, result, kind, attempt.claim.id)

    def _record(self, attempt: Attempt, kind: OutcomeKind, detail: bytes, duration: float) -> bytes:
        claim, envelope = attempt.claim, attempt.envelope
        record = results.encode_result(
            attempt=attempt.number,
            name=attempt.task,
            arguments=envelope or b"{}",
            enqueued_ms=envelope.enqueued_ms if envelope else 0,
            success=kind is _COMPLETED,
            result=detail,
            started_ms=claim.started_ms,
            finished_ms=claim.started_ms + round(duration * 1000),
            queue=self.queue_key,
            id=claim.id,
        )
        if self.sealer is None:
            return record
        return seal_record(self.sealer, record, queue=self.queue, job_id=claim.id)


def _brief(outcome: Outcome) -> bytes:
    """Return the error of an attempt that will be repeated, as it is kept with the job until the job is over."""
    if outcome.error is None:
        return b""
    return results.encode_error(outcome.error, failure=True, most_of_trace=_TRACE_LIMIT)


def _detail(attempt: Attempt, outcome: Outcome) -> bytes:
    """Return the error of an attempt as JSON."""
    error = outcome.error
    if outcome.kind is OutcomeKind.CANCELLED:
        return results.encode_error(asyncio.CancelledError(outcome.reason))
    is_strange = isinstance(error, UnreadablePayload) and not isinstance(error, RefusedPayload)
    if is_strange and attempt.claim.payload is not None:
        error = UnreadablePayload(f"{error} (begins {envelopes.preview(attempt.claim.payload, _SHOWN)})")
    return b"" if error is None else results.encode_error(error, failure=True)
