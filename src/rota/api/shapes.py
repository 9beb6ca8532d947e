"""How jobs look in answers: fields that mean nothing in a job's state are null, and times are in UTC."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pydantic_core import from_json

from rota.errors import JobError
from rota.model.info import JobInfo
from rota.model.stack.stack import JobStack
from rota.model.state import State
from rota.names import full_name

#: The word that the audit table has for each state.
STATUS = {
    State.WAITING: "PENDING",
    State.DELAYED: "PENDING",
    State.ACTIVE: "RUNNING",
    State.COMPLETED: "COMPLETED",
    State.DEAD: "FAILED",
    State.CANCELLED: "CANCELLED",
}
#: The state that a row of each status has; of those that are not over Redis knows better.
STATE = {
    "PENDING": State.WAITING,
    "RUNNING": State.ACTIVE,
    "COMPLETED": State.COMPLETED,
    "FAILED": State.DEAD,
    "CANCELLED": State.CANCELLED,
}
#: What is left out of a job unless it is asked for: each may be large.
OPTIONAL = ("payload", "attempts", "checkpoint")


def job(info: JobInfo, include: frozenset[str] = frozenset()) -> dict[str, Any]:
    """Return a job as answers show it, with what `include` names."""
    shown: dict[str, Any] = {
        "id": info.id,
        "queue": info.queue,
        "name": info.job or None,
        "tenant": info.tenant,
        "state": info.state.value,
        "status": STATUS[info.state],
        "attempt": info.attempts,
        "progress": None if info.percent is None else {"percent": info.percent, "message": info.message},
        "enqueued_at": info.enqueued_at,
        "due_at": info.due_at,
        "started_at": info.started_at,
        "finished_at": info.finished_at,
        "worker": info.worker or None,
        "reason": info.reason or None,
        "error": error(info.error),
        "result": info.result,
    }
    if info.refused is not None:
        shown["refused"] = str(info.refused)
    if "payload" in include:
        shown["payload"] = info.payload
    if "checkpoint" in include:
        shown["checkpoint"] = info.checkpoint
    if "attempts" in include:
        shown["attempts"] = [
            {"attempt": one.attempt, "at": one.at, "error": error(one.error)} for one in info.failures
        ]
    return shown


def row(found: Mapping[str, Any], include: frozenset[str] = frozenset()) -> dict[str, Any]:
    """Return a job as its row of the audit table shows it. A list leaves out the result: it is null there."""
    percent = found["progress"]
    shown: dict[str, Any] = {
        "id": found["id"],
        "queue": found["queue"],
        "name": full_name(found["queue"], found["name"]) if found["name"] else None,
        "tenant": found["tenant"],
        "state": STATE[found["status"]].value,
        "status": found["status"],
        "attempt": found["attempts"],
        "progress": None if percent is None else {"percent": percent, "message": found["message"] or ""},
        **{
            name: found[name]
            for name in ("enqueued_at", "due_at", "started_at", "finished_at", "worker", "reason")
        },
        "error": _told(found.get("error")),
        "result": _json(found.get("result")),
    }
    if "refused" in found:
        shown["refused"] = found["refused"]
    if "payload" in include:
        shown["payload"] = _json(found.get("payload"))
    return shown


def _told(text: str | None) -> dict[str, Any] | None:
    """Return the error that a row has as one text, `type: message`."""
    if not text:
        return None
    kind, _, message = text.partition(": ")
    return {"type": kind, "message": message}


def _json(text: str | None) -> Any:
    try:
        return None if text is None else from_json(text)
    except ValueError:
        return None


def error(found: JobError | None) -> dict[str, Any] | None:
    """Return an error as answers show it."""
    return None if found is None else {"type": found.type, "message": found.message}


def stack(found: JobStack) -> dict[str, Any]:
    """Return where a running job is, as answers show it."""
    shown = {**asdict(found), "name": full_name(found.queue, found.task) if found.task else ""}
    del shown["task"]
    return {**shown, "state": found.state, "text": found.text}
