"""An event: one thing that happened to a job, for subscribers in the process and readers of the stream."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple, Self

from rota.errors import JobError
from rota.wire.claims import decode_id
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
    gap: bool = False

    @classmethod
    def read(cls, position: bytes, raw: Mapping[bytes, bytes]) -> Self | None:
        """Return the event that an entry of the stream holds; None for one of a later version."""
        try:
            kind = EventType(_text(raw, b"type"))
        except ValueError:
            return None
        percent, due = _text(raw, b"percent"), _text(raw, b"due")
        return cls(
            position=position.decode(),
            at=_time(position.partition(b"-")[0].decode()),
            type=kind,
            queue=_text(raw, b"queue"),
            id=decode_id(raw.get(b"id", b"")),
            task=_text(raw, b"task"),
            attempt=int(_text(raw, b"attempt") or 0),
            worker=_text(raw, b"worker"),
            due=_time(due) if due else None,
            error=begun_error_of(raw[b"detail"]) if kind in _WITH_ERROR and raw.get(b"detail") else None,
            reason=_text(raw, b"reason"),
            percent=float(percent) if percent else None,
            message=_text(raw, b"message"),
        )

    def after_gap(self) -> Self:
        """Return the same event, before which others may be missing."""
        return replace(self, gap=True)


def _text(raw: Mapping[bytes, bytes], name: bytes) -> str:
    return raw.get(name, b"").decode("utf-8", "replace")


def _time(ms: str) -> datetime:
    return datetime.fromtimestamp(float(ms) / 1000, UTC)
