"""The shapes of the four seams, and how the parts on them are called.

Middleware wraps every attempt, and may change its outcome by raising a signal. A subscriber is told of every event,
after it became true, and cannot change anything. A sender wraps every enqueue, and may add headers to what is sent. A
service runs beside the jobs as long as the process does. One concern is one file in the folder of its seam; the stacks
of a process are the lists in `rota.app`.
"""

import logging
import math
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from typing import Any, NamedTuple, Protocol, TypeVar

from rota.model.event import Event, EventType
from rota.model.run import Run
from rota.names import printable

logger = logging.getLogger("rota.events")

T = TypeVar("T")


@dataclass(slots=True)
class Outgoing:
    """A job on its way to Redis; what a sender puts into `headers` travels in its payload."""

    queue: str
    task: str
    id: str
    payload: bytes
    headers: dict[str, str] = field(default_factory=dict)


Call = Callable[[Run], Awaitable[Any]]
Middleware = Callable[[Run, Call], Awaitable[Any]]
Subscriber = Callable[[Event], None]
#: Around one round trip that enqueues jobs, all of one queue.
Sender = Callable[[Sequence[Outgoing]], AbstractContextManager[object]]


class Service(Protocol):
    """Something that runs as long as the process does; one that raises is started again, with back-off."""

    name: str

    async def run(self) -> None:
        """Until cancelled."""


def switched_on(stack: Iterable[T]) -> tuple[T, ...]:
    """Those that have something to do: a middleware or a sender may have an attribute `on`, `() -> bool`."""
    return tuple(one for one in stack if (on := getattr(one, "on", None)) is None or on())


def compose(stack: Sequence[Middleware], innermost: Call) -> Call:
    """One call that goes through `stack` from the outside in, and then to `innermost`."""
    call = innermost
    for middleware in reversed(stack):
        call = partial(_through, middleware, call)
    return call


def _through(middleware: Middleware, call: Call, run: Run) -> Awaitable[Any]:
    return middleware(run, call)


#: Called with a job's queue, its name, and seconds.
Count = Callable[[str, str, float], None]

#: Whoever hears of events is asked again this often what it wants to hear, seconds: a logger's level may change.
_ASK_EVERY = 1.0


class Heard(NamedTuple):
    """Who hears of one type of event: by the event itself, or by its figures alone."""

    listeners: tuple[Subscriber, ...]
    counts: tuple[Count, ...]


class Audience:
    """The subscribers of a process, and which of them hear of what: an event that nobody wants is never made.

    A subscriber may have an attribute `wants`, `(event_type) -> bool`, and an attribute `figures`: what to call in its
    place, by the type of event, with no more than the queue, the job's name, and the seconds that the job waited (of
    a start) or ran.
    """

    __slots__ = ("_asked_at", "_heard", "_subscribers")

    def __init__(self, subscribers: Iterable[Subscriber]) -> None:
        self._subscribers = tuple(subscribers)
        self._heard: dict[EventType, Heard] = {}
        self._asked_at = -math.inf

    def of(self, event_type: EventType, now: float) -> Heard:
        """Those that want to hear of such an event, at `now` (seconds of a clock that goes forward)."""
        if now - self._asked_at >= _ASK_EVERY:
            self._heard.clear()
            self._asked_at = now
        return self._heard.get(event_type) or self._ask(event_type)

    def _ask(self, event_type: EventType) -> Heard:
        wanting = [
            one
            for one in self._subscribers
            if (wants := getattr(one, "wants", None)) is None or wants(event_type)
        ]
        figures = [getattr(one, "figures", {}).get(event_type) for one in wanting]
        listeners = (one for one, count in zip(wanting, figures, strict=True) if count is None)
        heard = Heard(tuple(listeners), tuple(count for count in figures if count is not None))
        self._heard[event_type] = heard
        return heard


def count(counts: Iterable[Count], queue: str, task: str, seconds: float) -> None:
    """Tell them all the figures of an event; one that raises is logged."""
    for one in counts:
        try:
            one(queue, task, seconds)
        except Exception:
            logger.exception("subscriber.failed", extra={"job": task})


def tell(subscribers: Iterable[Subscriber], event: Event) -> None:
    """Tell them all; one that raises is logged, and neither the job nor the others hear of it."""
    for subscriber in subscribers:
        try:
            subscriber(event)
        except Exception:
            logger.exception(
                "subscriber.failed", extra={"event_type": event.type, "job_id": printable(event.id)}
            )


def sending(senders: Sequence[Sender], jobs: Sequence[Outgoing]) -> AbstractContextManager[None]:
    """Enqueue `jobs` inside, with those senders that are switched on; of several queues, around each queue's.

    A sender that raises is logged, and they are enqueued without it.
    """
    on = switched_on(senders)
    return _within(on, jobs) if on else nullcontext()


@contextmanager
def _within(senders: Sequence[Sender], jobs: Sequence[Outgoing]) -> Iterator[None]:
    by_queue: dict[str, list[Outgoing]] = {}
    for job in jobs:
        by_queue.setdefault(job.queue, []).append(job)
    with ExitStack() as stack:
        for sender, group in product(senders, by_queue.values()):
            try:
                entered = sender(group)
                entered.__enter__()
            except Exception:
                logger.exception("sender.failed")
            else:
                stack.push(partial(_leave, entered))
        yield


def _leave(entered: AbstractContextManager[object], *error: Any) -> None:
    try:
        entered.__exit__(*error)
    except Exception:
        logger.exception("sender.failed")
