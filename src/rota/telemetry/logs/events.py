"""One log line an event: who reads the worker's output sees each job start, report, and end, with its duration.

At high rates only a sample of what goes well is written. Whether a job is in it is settled when it starts, by its id:
an attempt has all of its lines or none; the rarer the sample, the more jobs each line stands for. What goes wrong is
always told.
"""

import logging
from time import monotonic
from typing import Any
from zlib import crc32

from rota.model.event import Event, EventType
from rota.model.trace import log_fields
from rota.names import full_name, printable
from rota.wire.envelopes import error_of

logger = logging.getLogger("rota.jobs")

#: Jobs a second that are logged one by one, unless settings say otherwise.
RATE = 100

_LEVELS = {
    EventType.RETRIED: logging.WARNING,
    EventType.INTERRUPTED: logging.WARNING,
    EventType.LOST: logging.WARNING,
    EventType.DEAD: logging.ERROR,
}
_SAMPLED = frozenset({EventType.STARTED, EventType.PROGRESS, EventType.COMPLETED})
#: Attempts that are remembered while they run; one that is taken away is not heard of again.
_MOST = 10_000


class Sample:
    """Decides which jobs are told of: all, or one of 2, 4, 8, …, by how many completed in the second before.

    :param rate: completions a second from which on there is a sample.
    """

    def __init__(self, rate: int) -> None:
        self.one_of = 1
        self._rate = rate
        self._begun = 0.0
        self._completed = 0

    def takes(self, job_id: str) -> bool:
        """Whether this job is in the sample. One that is in a rarer sample is in a fuller one too."""
        return self.one_of == 1 or not crc32(job_id.encode("utf-8", "surrogateescape")) % self.one_of

    def count(self, now: float) -> None:
        """One more job completed, at `now` (seconds)."""
        passed = now - self._begun
        if passed >= 1.0:
            self._adapt(self._completed / passed)
            self._begun, self._completed = now, 0
        elif self._completed >= 2 * self._rate * self.one_of:
            # A burst does not wait for its second to be over.
            self.one_of *= 2
        self._completed += 1

    def _adapt(self, rate: float) -> None:
        self.one_of = 1
        while rate > self._rate * self.one_of:
            self.one_of *= 2


class Log:
    """The subscriber. `rate`: jobs completed a second beyond which only a sample of them is told of."""

    def __init__(self, rate: int = RATE) -> None:
        self._sample = Sample(rate)
        #: Of the attempts that run: how many jobs each stands for, 0 if it is not told of.
        self._running: dict[tuple[str, str], int] = {}

    def wants(self, event_type: EventType) -> bool:
        """What the logger's level lets through."""
        return logger.isEnabledFor(_LEVELS.get(event_type, logging.INFO))

    def __call__(self, event: Event) -> None:
        """Log `event` as `job.<type>`, fields beside it; what handlers were given or returned is never logged."""
        level = _LEVELS.get(event.type, logging.INFO)
        if not logger.isEnabledFor(level):
            return
        one_of = self._stands_for(event)
        if event.type not in _SAMPLED:
            one_of = 1
        elif not one_of:
            return
        fields = _fields(event) | {"stands_for": one_of if one_of > 1 else None}
        extra = {name: value for name, value in fields.items() if value is not None}
        logger.log(level, "job.%s", event.type, extra=extra)

    def _stands_for(self, event: Event) -> int:
        key = (event.queue, event.id)
        if event.type is EventType.COMPLETED:
            self._sample.count(monotonic())
        known = self._running.get(key) if event.type is EventType.PROGRESS else self._running.pop(key, None)
        if known is None or event.type is EventType.STARTED:
            known = self._sample.one_of if self._sample.takes(event.id) else 0
        if event.type is EventType.STARTED:
            self._running[key] = known
            if len(self._running) > _MOST:
                del self._running[next(iter(self._running))]
        return known


#: With the rate that holds where nobody set one.
log = Log()


def _fields(event: Event) -> dict[str, Any]:
    return {
        "job": full_name(event.queue, event.task) if event.task else event.queue,
        "job_id": printable(event.id),
        "attempt": event.attempt,
        "seconds": _rounded(event.duration),
        "waited": _rounded(event.waited),
        "again_in": _rounded(event.delay),
        "snoozes": event.snoozes,
        "percent": event.percent,
        "text": event.message or None,
        "reason": event.reason or None,
        "error": _error(event),
        **log_fields(event.headers),
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


def _error(event: Event) -> str | None:
    if event.type not in (EventType.RETRIED, EventType.DEAD) or not event.detail:
        return None
    return str(error_of(event.detail))
