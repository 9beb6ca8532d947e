"""What is known of one job: the value that a look at a job gives."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from rota.errors import JobError
from rota.model.state import State

#: What a request to cancel came to. `cancelled`: the job waited, and is gone. `requested`: a worker runs the job, and
#: stops it within a second unless it ends before. `finished`: the job is over, or was never there.
CancelAnswer = Literal["cancelled", "requested", "finished"]


@dataclass(frozen=True, slots=True)
class JobInfo:
    """A job as it is now.

    `attempts` counts those made, the running one included. `due_at` is when a delayed job becomes ready, or about when
    one that a limit keeps back has its turn. `result` is the JSON value; `error` the last error of a dead job. `reason`
    says why a job died, or was cancelled. `snoozes` is how often a live one has put itself off. `checkpoint` is the
    JSON value that a job saved last, until it is completed or cancelled.
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
