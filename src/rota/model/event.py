"""What happened to a job: one frozen value, for subscribers in the process and readers of the stream."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class EventType(StrEnum):
    """The life of a job, a word an event."""

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
    `detail` is JSON: the result of a completed job, the error of one that was retried, cancelled or died. `snoozes` is
    how often a job that snoozed has done so. `headers` are those of the payload; `error` is the exception
    itself that ended the attempt. Both are for subscribers in this process, and never written down.
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
