"""How jobs look in answers: fields that mean nothing in a job's state are null, and times are in UTC."""

from typing import Any

from rota.errors import JobError
from rota.model.info import JobInfo
from rota.model.state import State

#: The word that the audit table has for each state.
STATUS = {
    State.WAITING: "PENDING",
    State.DELAYED: "PENDING",
    State.ACTIVE: "RUNNING",
    State.COMPLETED: "COMPLETED",
    State.DEAD: "FAILED",
    State.CANCELLED: "CANCELLED",
}
#: What is left out of a job unless it is asked for: each may be large.
OPTIONAL = ("payload", "attempts", "checkpoint")


def job(info: JobInfo, include: frozenset[str] = frozenset()) -> dict[str, Any]:
    """Return a job as answers show it, with what `include` names."""
    shown: dict[str, Any] = {
        "id": info.id,
        "queue": info.queue,
        "name": info.job or None,
        "state": info.state.value,
        "status": STATUS[info.state],
        "attempt": info.attempts,
        "progress": None if info.percent is None else {"percent": info.percent, "message": info.message},
        "enqueued_at": info.enqueued_at,
        "due_at": info.due_at,
        "started_at": info.started_at,
        "finished_at": info.finished_at,
        "reason": info.reason or None,
        "error": error(info.error),
        "result": info.result,
    }
    if "payload" in include:
        shown["payload"] = info.payload
    if "checkpoint" in include:
        shown["checkpoint"] = info.checkpoint
    if "attempts" in include:
        shown["attempts"] = [
            {"attempt": one.attempt, "at": one.at, "error": error(one.error)} for one in info.failures
        ]
    return shown


def error(found: JobError | None) -> dict[str, Any] | None:
    """Return an error as answers show it."""
    return None if found is None else {"type": found.type, "message": found.message}
