"""What a look at one job shows, and what a request to cancel it comes to."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from rota.errors import JobError, RefusedPayload
from rota.model.state import State
from rota.names import full_name

#: The answer to a request to cancel. "cancelled": the job waited, and is gone. "requested": a worker runs the job, and
#: stops it within a second unless it ends before. "finished": the job is over. "not found": no job of this id is
#: there, and no record of one.
CancelAnswer = Literal["cancelled", "requested", "finished", "not found"]

#: The answer to a request to reschedule a job. "running": a worker has it. "finished": the job is over. "not found": no
#: job of this id is there, and no record of one.
RescheduleAnswer = Literal["rescheduled", "running", "finished", "not found"]


@dataclass(frozen=True, slots=True)
class Failure:
    """An attempt that failed, and after which the job went on: its number, when it ended (UTC), and its error."""

    attempt: int
    at: datetime
    error: JobError


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """The dead letters of one queue that have the same cause. Times are in UTC.

    :param queue: the short name of the queue.
    :param cause: the fingerprint that they have in common, which `Client.retry_dead` and `Client.purge_dead` take.
    :param error: the error of the newest letter.
    :param count: how many letters there are.
    :param last_hour: how many of them died within the last hour; `last_day` and `last_week` likewise.
    :param first_at: when the first of them died that is still kept.
    :param last_at: when the newest died.
    :param tasks: the names of the jobs, at most five.
    :param reasons: why they died, `failed` or `timeout` for example.
    :param ids: the ids of the newest, at most five.
    :param versions: the versions of the code in which the jobs died, at most five, the oldest first: that of the first
        letter, and the newest.
    """

    queue: str
    cause: str
    error: JobError
    count: int
    last_hour: int
    last_day: int
    last_week: int
    first_at: datetime
    last_at: datetime
    tasks: tuple[str, ...]
    reasons: tuple[str, ...]
    ids: tuple[str, ...]
    versions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class JobInfo:
    """A job as it is now. Times are in UTC; a field that does not apply to the job's state is None or empty.

    :param id: the job's id in Redis.
    :param queue: the short name of its queue.
    :param state: waiting, delayed, active, completed, dead or cancelled.
    :param task: the job's name, without its queue.
    :param attempts: the number of its attempts, the running one included.
    :param percent: what the handler last reported by `run.progress`, from 0 to 100; 100 for a completed job.
    :param message: the text that the handler reported with it.
    :param enqueued_at: when it was enqueued, by the clock of the process that enqueued it.
    :param due_at: when a delayed job becomes ready, or about when the turn of a job comes that a limit keeps back.
    :param started_at: when its last attempt started.
    :param finished_at: when it ended.
    :param result: the JSON value that the handler returned.
    :param error: the last error: of a dead job, and of a job that will be or is being tried again.
    :param failures: the attempts that failed before, the oldest first; of many or large ones the last.
    :param reason: why the job died, or was cancelled.
    :param snoozes: how often a live job has put itself off.
    :param payload: its arguments by name; None where they are no longer kept, or cannot be read.
    :param refused: why its payload, or its result, is not shown: it has no seal, a wrong one, or one for which this
        process has no key.
    :param checkpoint: the JSON value that the job saved last, until it is completed or cancelled.
    :param tenant: whose job it is; None for no tenant's.
    :param worker: the worker that runs it; empty where none does, or one of arq's own.
    """

    id: str
    queue: str
    state: State
    task: str = ""
    attempts: int = 0
    percent: float | None = None
    message: str = ""
    enqueued_at: datetime | None = None
    due_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    result: Any = None
    error: JobError | None = None
    reason: str = ""
    snoozes: int = 0
    payload: dict[str, Any] | None = None
    checkpoint: Any = None
    failures: tuple[Failure, ...] = ()
    tenant: str | None = None
    refused: RefusedPayload | None = None
    worker: str = ""

    @property
    def job(self) -> str:
        """The job's full name, `queue:name`, as logs write it; empty where the name is not known."""
        return full_name(self.queue, self.task) if self.task else ""
