"""Writes one log line for each event: the worker's output shows each job start, report progress and end.

At high rates only a sample of the jobs that succeed is written. A job's id decides, when the job starts, whether it is
in the sample, so that an attempt has all of its lines or none; each line says how many jobs it stands for. Failures are
always written.
"""

import logging
from time import monotonic
from typing import Any
from zlib import crc32

from rota.errors import JobError
from rota.errors.signals import culprit
from rota.errors.traces import written
from rota.model.event import Event, EventType
from rota.model.trace import log_fields
from rota.names import full_name, printable
from rota.seams import Selective
from rota.telemetry.logs.records import MOST, MOST_OF_BLOCK, write
from rota.wire.results import error_of

logger = logging.getLogger("rota.jobs")

#: Jobs a second that are logged one by one, unless LOG_SUCCESS_RATE says otherwise.
RATE = 100

_LEVELS = {
    EventType.RETRIED: logging.WARNING,
    EventType.INTERRUPTED: logging.WARNING,
    EventType.LOST: logging.WARNING,
    EventType.DEAD: logging.ERROR,
}
_SAMPLED = frozenset({EventType.STARTED, EventType.PROGRESS, EventType.COMPLETED})
#: Attempts that are remembered while they run; the oldest go first, since a lost attempt never reports its end.
_MOST = 10_000


class Sampler:
    """Decides which jobs are logged: all, or one of 2, 4, 8, …, by how many completed in the second before.

    :param rate: completions a second above which only a sample is logged.
    """

    def __init__(self, rate: int) -> None:
        self.one_of = 1
        self._rate = rate
        self._begun = 0.0
        self._completed = 0

    def takes(self, job_id: str) -> bool:
        """Tell whether the job is in the sample. A job in a sparser sample is in every denser one too."""
        return self.one_of == 1 or not crc32(job_id.encode("utf-8", "surrogateescape")) % self.one_of

    def count(self, now: float) -> None:
        """Count one completed job, at `now` (seconds of a clock that goes forward)."""
        passed = now - self._begun
        if passed >= 1.0:
            self._adapt(self._completed / passed)
            self._begun, self._completed = now, 0
        elif self._completed >= 2 * self._rate * self.one_of:
            # A burst is thinned out before its second is over.
            self.one_of *= 2
        self._completed += 1

    def _adapt(self, rate: float) -> None:
        self.one_of = 1
        while rate > self._rate * self.one_of:
            self.one_of *= 2


class Log(Selective):
    """The subscriber that logs. `rate`: completed jobs a second above which only a sample is logged."""

    def __init__(self, rate: int = RATE) -> None:
        self._sampler = Sampler(rate)
        #: By running attempt: how many jobs its lines stand for, 0 if it is not logged.
        self._running: dict[tuple[str, str], int] = {}

    def wants(self, event_type: EventType) -> bool:
        """Tell whether the logger's level lets such an event through."""
        return logger.isEnabledFor(_LEVELS.get(event_type, logging.INFO))

    def __call__(self, event: Event) -> None:
        """Log `event` as `job.<type>` with its fields; arguments and results are never logged."""
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
        write(logger, level, f"job.{event.type}", extra, trace=_trace(event))

    def _stands_for(self, event: Event) -> int:
        key = (event.queue, event.id)
        if event.type is EventType.COMPLETED:
            self._sampler.count(monotonic())
        known = self._running.get(key) if event.type is EventType.PROGRESS else self._running.pop(key, None)
        if known is None or event.type is EventType.STARTED:
            known = self._sampler.one_of if self._sampler.takes(event.id) else 0
        if event.type is EventType.STARTED:
            self._running[key] = known
            if len(self._running) > _MOST:
                del self._running[next(iter(self._running))]
        return known


#: The logging subscriber with the default rate.
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


def _trace(event: Event) -> str | None:
    """Return the traceback of a failure; None for a signal that no error stands behind."""
    error = culprit(event.error)
    if event.type not in (EventType.RETRIED, EventType.DEAD) or error is None:
        return None
    if isinstance(error, JobError):
        return error.traceback
    return written(error, MOST_OF_BLOCK, MOST)


def _error(event: Event) -> str | None:
    if event.type not in (EventType.RETRIED, EventType.DEAD) or not event.detail:
        return None
    return str(error_of(event.detail))
