"""Tells the subscribers of a process what happens to the attempts of one queue."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import NamedTuple

from rota.attempts.attempt import Attempt
from rota.model.event import Event, EventType
from rota.model.outcome import Outcome
from rota.model.state import OutcomeKind
from rota.process.clock import Clock
from rota.seams import Audience, Count, Subscriber, count, tell
from rota.wire.claims import Claim, Settlement

#: The event of each outcome.
EVENTS = {
    OutcomeKind.COMPLETED: EventType.COMPLETED,
    OutcomeKind.RETRIED: EventType.RETRIED,
    OutcomeKind.SNOOZED: EventType.SNOOZED,
    OutcomeKind.DEAD: EventType.DEAD,
    OutcomeKind.CANCELLED: EventType.CANCELLED,
    OutcomeKind.INTERRUPTED: EventType.INTERRUPTED,
    OutcomeKind.LOST: EventType.LOST,
}


class Announcement(NamedTuple):
    """The event of a settlement, told once Redis has it; None if no subscriber wants more than `counts` give."""

    event: Event | None
    listeners: Sequence[Subscriber]
    counts: Sequence[Count]
    duration: float


# As `Announcement._make`, which calls it through two functions more.
_announcement = partial(tuple.__new__, Announcement)


class Announcer:
    """The events of one queue's attempts, made only if a subscriber of the `audience` wants them."""

    def __init__(self, queue: str, audience: Audience, clock: Clock) -> None:
        self._queue = queue
        self._audience = audience
        self._clock = clock

    def started(self, attempt: Attempt, waited: float) -> None:
        """Tell the subscribers that a handler starts; `waited` is in seconds."""
        listeners, counts = self._audience.of(EventType.STARTED, attempt.started)
        if counts:
            count(counts, self._queue, attempt.task, waited)
        if listeners:
            kind, claim, headers = EventType.STARTED, attempt.claim, attempt.headers
            event = Event(
                kind, self._queue, claim.id, attempt.task, attempt.number, waited=waited, headers=headers
            )
            tell(listeners, event)

    def progressed(self, claim: Claim, task: str, percent: float, message: str) -> None:
        """Tell the subscribers that a running job's progress was written."""
        listeners, _ = self._audience.of(EventType.PROGRESS, self._clock.monotonic())
        if listeners:
            kind, number = EventType.PROGRESS, claim.attempt
            event = Event(kind, self._queue, claim.id, task, number, percent=percent, message=message)
            tell(listeners, event)

    def prepare(self, attempt: Attempt, outcome: Outcome, detail: bytes, duration: float) -> Announcement:
        """Return what is to be told of an attempt's end; `duration` is in seconds."""
        listeners, counts = self._audience.of(EVENTS[outcome.kind], attempt.started + duration)
        if not listeners:
            return _announcement((None, listeners, counts, duration))
        event = Event(
            EVENTS[outcome.kind],
            self._queue,
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
        return Announcement(event, listeners, counts, duration)

    def settled(self, settlements: Iterable[Settlement]) -> None:
        """Tell what was prepared for settlements, now that Redis has them."""
        for settlement in settlements:
            prepared: Announcement | None = settlement.context
            if prepared is None:
                continue
            if prepared.counts:
                count(prepared.counts, self._queue, settlement.task, prepared.duration)
            if prepared.event is not None:
                tell(prepared.listeners, prepared.event)
