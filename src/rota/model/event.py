"""An event: one thing that happened to a job, for subscribers in the process and readers of the stream."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

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
