"""The events of a bench, in order, from the stream that the scripts write and from what a subscriber is told."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from rota.model.event import Event, EventType
from rota.model.run import RunFacts
from rota.wire.claims import encode_id
from rota.wire.events import RawEvent, read_events
from rota.wire.keys import JOB

_ENDS = frozenset({EventType.COMPLETED, EventType.DEAD, EventType.CANCELLED})


class Put(NamedTuple):
    """A job that was put on a queue: its bytes, and when it was to run, in milliseconds."""

    queue: str
    id: str
    payload: bytes
    due_ms: float


class Journal:
    """The events of one server, and those of handlers that ran alone.

    `redis` is a blocking client, so that a test reads without awaiting.
    """

    def __init__(self, redis: Any, stream: str) -> None:
        self._redis = redis
        self._stream = stream
        self._next = b"-"
        self._new: list[Event] = []
        self._live: set[tuple[str, str]] = set()
        self._told: list[Event] = []
        self._events: list[Event] = []
        self._puts: list[Put] = []
        self._saved: dict[tuple[str, str], list[Any]] = {}

    def hear(self, event: Event) -> None:
        """Note an event, as a subscriber: subscribers are told some fields, as durations, that the stream has not."""
        self._told.append(event)

    def report(self, facts: RunFacts, percent: float, message: str) -> None:
        """Note the progress of a handler that runs alone, of which no script writes an event."""
        self.read()
        kind = EventType.PROGRESS
        self._events.append(
            Event(kind, facts.queue, facts.id, facts.job, facts.attempt, percent=percent, message=message)
        )

    @property
    def events(self) -> list[Event]:
        """Every event so far, in order."""
        self.read()
        return list(self._events)

    @property
    def puts(self) -> list[Put]:
        """Every job that was enqueued so far, without replays. A stock client's job is here once it has started."""
        self.read()
        return list(self._puts)

    def save(self, queue: str, task: str, states: Sequence[Any]) -> None:
        """Note the states that an attempt of a job saved."""
        self._saved.setdefault((queue, task), []).extend(states)

    def saved(self, queue: str, task: str) -> list[Any]:
        """Return the states that all attempts of a job saved, in order."""
        return list(self._saved.get((queue, task), ()))

    def look(self) -> None:
        """Take the new entries of the stream, and the payloads of new jobs, which are gone when the jobs are over."""
        for number, raw in self._redis.xrange(self._stream, min=self._next):
            self._next = b"(" + number
            for one in read_events(number, raw):
                event = _event(one)
                self._new.append(event)
                # The events of pipelines and batches name no queue.
                if event.queue:
                    self._note_put(event, float(one.extras.get("due", 0)))

    def read(self) -> None:
        """Read the new entries of the stream."""
        self.look()
        for event in self._new:
            self._events.append(self._heard(event) or event)
        self._new.clear()

    def settle_up(self) -> None:
        """Read the stream after an attempt, and forget what subscribers were told of it.

        Whatever they were told is in the stream by now, or never will be.
        """
        self.read()
        self._told.clear()

    def _note_put(self, event: Event, due_ms: float) -> None:
        job = (event.queue, event.id)
        is_new = event.type is EventType.ENQUEUED or (
            event.type is EventType.STARTED and job not in self._live
        )
        if is_new:
            self._live.add(job)
        if event.type in _ENDS:
            self._live.discard(job)
        if not is_new or event.reason == "replayed":
            return
        (payload,) = self._redis.mget(JOB.encode() + encode_id(event.id))
        if payload is not None:
            self._puts.append(Put(event.queue, event.id, payload, due_ms))

    def _heard(self, event: Event) -> Event | None:
        for index, told in enumerate(self._told):
            if (told.type, told.id) == (event.type, event.id):
                return self._told.pop(index)
        return None


def _event(raw: RawEvent) -> Event:
    extras = raw.extras
    return Event(
        EventType(raw.type),
        raw.queue,
        raw.id,
        raw.task,
        raw.attempt,
        detail=extras.get("detail", "").encode(),
        reason=extras.get("reason", ""),
        percent=extras.get("percent"),
        message=extras.get("message", ""),
    )
