"""One log line an event: who reads the worker's output sees each job start, report, and end, with its duration."""

import logging

from rota.codec import error_of
from rota.event import Event, EventType
from rota.names import full_name, printable

logger = logging.getLogger("rota.jobs")

_LEVELS = {
    EventType.RETRIED: logging.WARNING,
    EventType.INTERRUPTED: logging.WARNING,
    EventType.LOST: logging.WARNING,
    EventType.DEAD: logging.ERROR,
}


def log(event: Event) -> None:
    """Log `event` as `job.<type>`, fields beside it; what handlers were given or returned is never logged."""
    level = _LEVELS.get(event.type, logging.INFO)
    if not logger.isEnabledFor(level):
        return
    fields = {
        "job": full_name(event.queue, event.task) if event.task else event.queue,
        "job_id": printable(event.id),
        "attempt": event.attempt,
        "seconds": None if event.duration is None else round(event.duration, 3),
        "waited": None if event.waited is None else round(event.waited, 3),
        "again_in": None if event.delay is None else round(event.delay, 3),
        "snoozes": event.snoozes,
        "percent": event.percent,
        "text": event.message or None,
        "reason": event.reason or None,
        "error": _error(event),
    }
    logger.log(
        level,
        "job.%s",
        event.type,
        extra={name: value for name, value in fields.items() if value is not None},
    )


def _wants(event_type: EventType) -> bool:
    return logger.isEnabledFor(_LEVELS.get(event_type, logging.INFO))


log.wants = _wants  # type: ignore[attr-defined]


def _error(event: Event) -> str | None:
    if event.type not in (EventType.RETRIED, EventType.DEAD) or not event.detail:
        return None
    return str(error_of(event.detail))
