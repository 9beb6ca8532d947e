"""Tells the subscribers of a process what happens to the attempts of one queue."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from contextvars import Context
from functools import partial
from typing import NamedTuple

from rota.attempts.attempt import Attempt
from rota.model.event import Event, EventType
from rota.model.outcome import Outcome
from rota.model.state import OutcomeKind
from rota.process.clock import Clock
from rota.seams import Audience, Heard, count, tell
from rota.wire.claims import Claim, Settlement

# Asked for by each attempt: as an attribute of its enum it takes Python 3.11 seven times as long.
_STARTED = EventType.STARTED
_NOBODY = Heard((), ())

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


class Ended(NamedTuple):
    """The end of an attempt, told once Redis has its settlement; `duration` is in seconds."""

    attempt: Attempt
    outcome: Outcome
    detail: bytes
    duration: float


# As `Ended._make`, which calls it through two functions more.
ended = partial(tuple.__new__, Ended)


class Announcer:
    """The events of one queue's attempts, made only if a subscriber of the `audience` wants them."""

    def __init__(self, queue: str, audience: Audience, clock: Clock) -> None:
        self._queue = queue
        self._audience = audience
        self._clock = clock
        # The waits of jobs that start in this turn of the event loop, by the jobs' names: dozens are told together.
        self._waits: defaultdict[str, list[float]] = defaultdict(list)

    def started(self, attempt: Attempt, waited: float) -> None:
        """Tell the subscribers that a handler starts; `waited` is in seconds."""
        listeners, counts = self._audience.of(_STARTED, attempt.started)
        if counts:
            if not self._waits:
                asyncio.get_running_loop().call_soon(self._count_starts, context=Context())
            self._waits[attempt.task].append(waited)
        if listeners:
            claim, headers = attempt.claim, attempt.headers
            event = Event(
                _STARTED, self._queue, claim.id, attempt.task, attempt.number, waited=waited, headers=headers
            )
            tell(listeners, event)

    def _count_starts(self) -> None:
        waits, self._waits = self._waits, defaultdict(list)
        counts = self._audience.of(_STARTED, self._clock.monotonic()).counts
        for task, values in waits.items():
            count(counts, self._queue, task, values)

    def progressed(self, claim: Claim, task: str, percent: float, message: str) -> None:
        """Tell the subscribers that a running job's progress was written."""
        listeners, _ = self._audience.of(EventType.PROGRESS, self._clock.monotonic())
        if listeners:
            kind, number = EventType.PROGRESS, claim.attempt
            event = Event(kind, self._queue, claim.id, task, number, percent=percent, message=message)
            tell(listeners, event)

    def settled(self, settlements: Iterable[Settlement]) -> None:
        """Tell the subscribers of the ends that settlements carry, now that Redis has these."""
        now = self._clock.monotonic()
        # Most jobs of a step end alike: who hears of it is looked up once, and their durations are told together.
        former, event_type, (listeners, counts) = None, _STARTED, _NOBODY
        durations: defaultdict[tuple[EventType, str], list[float]] = defaultdict(list)
        for settlement in settlements:
            end: Ended | None = settlement.context
            if end is None:
                continue
            attempt, outcome, _, duration = end
            if outcome is not former:
                former, event_type = outcome, EVENTS[outcome.kind]
                listeners, counts = self._audience.of(event_type, now)
            if counts:
                durations[event_type, attempt.task].append(duration)
            if listeners:
                tell(listeners, self._event(event_type, end))
        for (event_type, task), values in durations.items():
            count(self._audience.of(event_type, now).counts, self._queue, task, values)

    def _event(self, event_type: EventType, end: Ended) -> Event:
        attempt, outcome, detail, duration = end
        return Event(
            event_type,
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
