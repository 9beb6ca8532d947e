"""An event: one thing that happened to a job, for subscribers in the process and readers of the stream."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple, Self

from rota.errors import JobError
from rota.wire.events import RawEvent
from rota.wire.results import begun_error_of

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class EventType(StrEnum):
    """The kinds of events in the life of a job."""

    ENQUEUED = "enqueued"
    STARTED = "started"
    PROGRESS = "progress"
    RETRIED = "retried"
    SNOOZED = "snoozed"
    INTERRUPTED = "interrupted"
    LOST = "lost"
    COMPLETED = "completed"
    DEAD = "dead"
    CANCELLED = "cancelled"


class Event(NamedTuple):
    """One thing that happened to one job, on this worker.

    Times are in seconds: `duration` of the attempt, `waited` from due to start, `delay` until the next attempt.
    `detail` is JSON: the result of a completed job, or the error of a job that was retried, cancelled or died.
    `snoozes` counts the snoozes of a job that snoozed. `headers` are the payload's headers and `error` is the exception
    that ended the attempt; both are for subscribers in this process and are never stored.
    """

    type: EventType
    queue: str
    id: str
    task: str
    attempt: int
    duration: float | None = None
    waited: float | None = None
    delay: float | None = None
    detail: bytes = b""
    reason: str = ""
    percent: float | None = None
    message: str = ""
    snoozes: int | None = None
    headers: Mapping[str, str] = _NO_HEADERS
    error: BaseException | None = None


#: Larger numbers are none of ours, and may be more than a float can hold.
_FAR = 1e15
_TYPES = frozenset(kind.value for kind in EventType)
_WITH_ERROR = frozenset({EventType.RETRIED, EventType.DEAD, EventType.CANCELLED})


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamEvent:
    """One thing that happened to one job, as `client.events()` reads it; a field that does not apply is None or empty.

    :param position: its place in the stream, to read on after it.
    :param at: when it happened, by the server's clock, in UTC.
    :param type: what happened.
    :param queue: the queue of the job; empty for a run of a pipeline, or a batch, as a whole.
    :param id: the id of the job, or of the run or the batch.
    :param task: the name of the job, the pipeline or the batch; empty where the script does not know it.
    :param attempt: which attempt it was, from 1; 0 where there was none.
    :param worker: the worker that started it.
    :param due: when it may start, or start again; of a job that started, when it was due.
    :param error: why it was retried, cancelled or died: type and beginning of the message, without the traceback.
    :param reason: why it died, was cancelled, or was enqueued again ("replayed", "replaced", "rescheduled").
    :param percent: how far it is, from 0 to 100.
    :param message: what it reported beside that.
    :param tenant: whose job it is; None for no tenant's.
    :param webhook: the webhook that it was enqueued with; empty without one.
    :param gap: True where events may be missing before this one: they were trimmed before they were read.
    """

    position: str
    at: datetime
    type: EventType
    queue: str
    id: str
    task: str = ""
    attempt: int = 0
    worker: str = ""
    due: datetime | None = None
    error: JobError | None = None
    reason: str = ""
    percent: float | None = None
    message: str = ""
    tenant: str | None = None
    webhook: str = ""
    gap: bool = False

    @classmethod
    def read(cls, raw: RawEvent) -> Self | None:
        """Return the event as it was read from the stream; None for one of a later version."""
        at = _time(int(raw.position.partition("-")[0]))
        if raw.type not in _TYPES or at is None:
            return None
        kind, extras = EventType(raw.type), raw.extras
        detail = _text(extras, "detail") if kind in _WITH_ERROR else ""
        return cls(
            position=raw.position,
            at=at,
            type=kind,
            queue=raw.queue,
            id=raw.id,
            task=raw.task,
            attempt=raw.attempt,
            worker=_text(extras, "worker"),
            due=_time(extras.get("due")),
            error=begun_error_of(detail.encode()) if detail else None,
            reason=_text(extras, "reason"),
            percent=_number(extras.get("percent")),
            message=_text(extras, "message"),
            tenant=_text(extras, "tenant") or None,
            webhook=_text(extras, "webhook"),
        )

    def after_gap(self) -> Self:
        """Return the same event, before which others may be missing."""
        return replace(self, gap=True)


# Other programs may write to the stream, and to what the scripts read: anything may stand anywhere.


def _text(extras: Mapping[str, Any], name: str) -> str:
    value = extras.get(name)
    return value if isinstance(value, str) else ""


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and abs(value) < _FAR else None


def _time(ms: Any) -> datetime | None:
    number = _number(ms)
    try:
        return None if number is None else datetime.fromtimestamp(number / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None
