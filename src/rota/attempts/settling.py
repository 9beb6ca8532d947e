"""What an attempt came to, as it is sent and told: its settlement, with its final record and its event."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from rota.attempts.attempt import Attempt, QueuePolicy
from rota.errors import UnreadablePayload
from rota.model.event import Event, EventType
from rota.model.outcome import Outcome, Rules
from rota.model.state import OutcomeKind
from rota.seams import Audience, Count, Subscriber, count, tell
from rota.wire import envelopes
from rota.wire.claims import Settlement, Told

_EVENTS = {
    OutcomeKind.COMPLETED: EventType.COMPLETED,
    OutcomeKind.RETRIED: EventType.RETRIED,
    OutcomeKind.SNOOZED: EventType.SNOOZED,
    OutcomeKind.DEAD: EventType.DEAD,
    OutcomeKind.CANCELLED: EventType.CANCELLED,
    OutcomeKind.INTERRUPTED: EventType.INTERRUPTED,
    OutcomeKind.LOST: EventType.LOST,
}
_FINISHED = {OutcomeKind.COMPLETED, OutcomeKind.CANCELLED, OutcomeKind.DEAD}
_UNSPENT = {OutcomeKind.SNOOZED, OutcomeKind.INTERRUPTED, OutcomeKind.LOST}
#: Of what a handler says when it cancels its job, so many characters are kept.
_REASON = 500
#: Of a payload that cannot be read, this many bytes are shown (in hexadecimal).
_SHOWN = 256


class _Announcement(NamedTuple):
    """What is told of a settlement, and whom, once it is true."""

    event: Event | None
    listeners: Sequence[Subscriber]
    counts: Sequence[Count]
    duration: float


@dataclass(frozen=True, slots=True)
class Settling:
    """How the attempts of one queue are settled; the `audience` hears of it once it is true."""

    limits: QueuePolicy
    audience: Audience

    def settle(
        self, attempt: Attempt, outcome: Outcome, rules: Rules | None, result: bytes = b""
    ) -> Settlement:
        """The settlement of an attempt. `rules` are None for a job that nobody here knows; `result` is JSON."""
        claim, kind = attempt.claim, outcome.kind
        outcome = replace(outcome, reason=outcome.reason[:_REASON]) if outcome.reason else outcome
        detail = result if kind is OutcomeKind.COMPLETED else self._detail(attempt, outcome)
        duration = attempt.duration
        listeners, counts = self.audience.of(_EVENTS[kind], attempt.started + duration)
        event = self._event(attempt, outcome, detail, duration) if listeners else None
        told = _Announcement(event, listeners, counts, duration)
        fields: Told = {
            "event": _EVENTS[kind],
            "task": attempt.task,
            "attempt": attempt.number,
            "detail": detail,
            "context": told,
        }
        if kind not in _FINISHED:
            return Settlement.again(claim, outcome.delay, unspent=kind in _UNSPENT, **fields)
        keep = self.limits.keep_result if rules is None else rules.keep_result
        if keep > 0:
            fields["record"] = self._record(attempt, kind, detail, duration)
            fields["record_ms"] = round(keep * 1000)
        if kind is OutcomeKind.DEAD:
            return Settlement.dead(claim, outcome.reason, **fields)
        return Settlement.finished(claim, outcome.reason, **fields)

    def settled(self, settlement: Settlement) -> None:
        """It is true now: tell of it."""
        told: _Announcement | None = settlement.context
        if told is None:
            return
        if told.counts:
            count(told.counts, self.limits.queue, settlement.task, told.duration)
        if told.event is not None:
            tell(told.listeners, told.event)

    def _detail(self, attempt: Attempt, outcome: Outcome) -> bytes:
        error = outcome.error
        if outcome.kind is OutcomeKind.CANCELLED:
            return envelopes.encode_error(asyncio.CancelledError(outcome.reason))
        if isinstance(error, UnreadablePayload) and attempt.claim.payload is not None:
            error = UnreadablePayload(f"{error} (begins {envelopes.preview(attempt.claim.payload, _SHOWN)})")
        return b"" if error is None else envelopes.encode_error(error, failure=True)

    def _record(self, attempt: Attempt, kind: OutcomeKind, detail: bytes, duration: float) -> bytes:
        claim, envelope = attempt.claim, attempt.envelope
        return envelopes.encode_result(
            attempt=attempt.number,
            name=attempt.task,
            arguments=envelope or b"{}",
            enqueued_ms=envelope.enqueued_ms if envelope else 0,
            success=kind is OutcomeKind.COMPLETED,
            result=detail,
            started_ms=claim.started_ms,
            finished_ms=claim.started_ms + round(duration * 1000),
            queue=self.limits.queue_key,
            id=claim.id,
        )

    def _event(self, attempt: Attempt, outcome: Outcome, detail: bytes, duration: float) -> Event:
        return Event(
            _EVENTS[outcome.kind],
            self.limits.queue,
            attempt.claim.id,
            attempt.task,
            attempt.number,
            duration=duration,
            delay=outcome.delay,
            detail=detail,
            reason=outcome.reason,
            snoozes=attempt.claim.snoozes + 1 if outcome.kind is OutcomeKind.SNOOZED else None,
            headers=attempt.headers,
            error=outcome.error,
        )
