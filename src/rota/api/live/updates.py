"""An update: what happened to a job, as those who listen over HTTP are told."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_json

from rota.api.shapes import STATUS
from rota.errors import JobError
from rota.model.event import EventType, StreamEvent
from rota.model.info import JobInfo
from rota.model.state import State
from rota.names import full_name

#: The state in which each event leaves its job.
_STATES = {
    EventType.ENQUEUED: State.WAITING,
    EventType.STARTED: State.ACTIVE,
    EventType.PROGRESS: State.ACTIVE,
    EventType.RETRIED: State.DELAYED,
    EventType.SNOOZED: State.DELAYED,
    EventType.INTERRUPTED: State.WAITING,
    EventType.LOST: State.WAITING,
    EventType.COMPLETED: State.COMPLETED,
    EventType.DEAD: State.DEAD,
    EventType.CANCELLED: State.CANCELLED,
}

Place = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Update:
    """One thing that happened to one job, made ready once for all who listen.

    :param place: where it is in the stream of events, as numbers that sort.
    :param frame: what is sent of it by server-sent events.
    :param message: what is sent of it over a WebSocket.
    """

    place: Place
    queue: str
    id: str
    state: State
    frame: bytes
    message: str
    tenant: str | None = None

    @classmethod
    def of(cls, event: StreamEvent) -> "Update":
        """Return the update that tells of an event, with its frame made ready."""
        state = _STATES[event.type]
        if event.type is EventType.ENQUEUED and event.due is not None and event.due > event.at:
            state = State.DELAYED
        data = {
            "tenantId": event.tenant,
            "jobId": event.id,
            "queue": event.queue,
            "name": full_name(event.queue, event.task) if event.task else None,
            "event": event.type.value,
            "state": state.value,
            "status": STATUS[state],
            "attempt": event.attempt,
            "progress": event.percent,
            "message": event.message or None,
            "error": _said(event.error),
            "reason": event.reason or None,
            "at": event.at,
        }
        sent, place = ("job", data, event.position), place_of(event.position)
        return cls(place, event.queue, event.id, state, frame(*sent), message(*sent), event.tenant)

    @property
    def is_last(self) -> bool:
        """Whether the job is over with it."""
        return self.state.is_over


#: Tells which updates a listener wants.
Wanted = Callable[[Update], bool]


def place_of(position: str) -> Place:
    """Return a position in the stream of events as numbers that sort."""
    entry, _, number = position.partition(".")
    ms, _, seq = entry.partition("-")
    # Behind all of an entry, where no event of it is named.
    return int(ms), int(seq or 0), int(number) if number else 2**31


def snapshot(info: JobInfo) -> dict[str, Any]:
    """Return what a job is now, as an update without an event, which is sent before its updates."""
    return {
        "tenantId": info.tenant,
        "jobId": info.id,
        "queue": info.queue,
        "name": info.job or None,
        "event": None,
        "state": info.state.value,
        "status": STATUS[info.state],
        "attempt": info.attempts,
        "progress": info.percent,
        "message": info.message or None,
        "error": _said(info.error),
        "reason": info.reason or None,
        "at": info.finished_at or info.started_at or info.enqueued_at,
    }


def frame(kind: str, data: Any, position: str = "") -> bytes:
    """Return a server-sent event. JSON has no line breaks of its own, so that the data is one line."""
    place = f"id: {position}\n" if position else ""
    return f"{place}event: {kind}\ndata: ".encode() + to_json(data) + b"\n\n"


def message(kind: str, data: Any, position: str = "") -> str:
    """Return the same as a message of a WebSocket."""
    place = {"id": position} if position else {}
    return to_json({"event": kind, **place, "data": data}).decode()


def _said(error: JobError | None) -> str | None:
    return None if error is None else str(error)
