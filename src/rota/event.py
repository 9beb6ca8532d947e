"""What happened to a job: one frozen value, for subscribers in the process and readers of the stream."""

from enum import StrEnum
from typing import NamedTuple


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
    how often a job that snoozed has done so.
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
