"""The four places where code can be added: middleware, subscribers, senders and services.

Middleware wraps every attempt, and may change its outcome by raising a signal. A subscriber is told of every event
after the event became true, and cannot change anything. A sender wraps every enqueue, and may add headers to the jobs.
A service runs beside the jobs as long as the process does. The stacks are the lists in `rota.app.compose`, and those of
clients in `rota.app.connect`.

A middleware, a subscriber or a sender is a plain function, or an object that is called like one and offers more:
`Switched`, `Selective`, `Counting` and `Informed` are the offers, which are looked up once, when the stack is built.
"""

import logging
import math
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from typing import Any, NamedTuple, Protocol, Self, TypeVar, runtime_checkable

from rota.model.event import Event, EventType
from rota.model.run import Run
from rota.names import full_name, printable

logger = logging.getLogger("rota.events")

T = TypeVar("T")


@dataclass(slots=True)
class Outgoing:
    """A job on its way to Redis; what a sender puts into `headers` travels in its payload.

    `declared` is False where this process has only the job's name, and maybe not its code.
    """

    queue: str
    task: str
    id: str
    payload: bytes
    headers: dict[str, str] = field(default_factory=dict)
    declared: bool = True


#: The rest of the stack, down to the handler: takes the run and returns the handler's result.
CallNext = Callable[[Run], Awaitable[Any]]
#: Called with the run and the rest of the stack; returns the result of the attempt.
Middleware = Callable[[Run, CallNext], Awaitable[Any]]
#: Called with the run in the context of an attempt, which is that of its own task and ends with it.
Entry = Callable[[Run], object]
#: Called with every event.
Subscriber = Callable[[Event], None]
#: Called with the jobs of one round trip, all of one queue; the round trip happens inside the context manager.
Wrapper = Callable[[Sequence[Outgoing]], AbstractContextManager[object]]
#: Called with a queue, a job's name, and seconds: one value for each event of a job of this name.
Count = Callable[[str, str, Sequence[float]], None]


@runtime_checkable
class Switched(Protocol):
    """A middleware or a sender that has nothing to do in some processes."""

    def is_on(self) -> bool:
        """Tell whether to call this object: a middleware is asked at boot, a sender before each round trip."""


@runtime_checkable
class Selective(Protocol):
    """A subscriber that does not want every event: an event that no subscriber wants is never made."""

    def wants(self, event_type: EventType, /) -> bool:
        """Tell whether to call this object with events of this type; asked again every second."""


@runtime_checkable
class Counting(Protocol):
    """A subscriber that needs only three values of some types of events.

    `counters` has a function for each such type. It is called in place of the subscriber, with a queue, a job's name,
    and the seconds that jobs of this name waited (STARTED) or ran (every other type): attempts that end together are
    told in one call.
    """

    counters: Mapping[EventType, Count]


@runtime_checkable
class Informed(Protocol):
    """A sender that wants to know which jobs were created.

    The round trip alone does not tell: an id may be taken, a flow may be there already, and a fan-out puts first jobs
    of pipelines around which no sender is called, because they get the headers of their flow. So the code that enqueues
    tells what was created, once Redis has answered. A sender may offer this in place of being called; an enqueue then
    needs no context manager for that sender.
    """

    def created(self, jobs: Sequence[Outgoing], /) -> None:
        """Take note of jobs that one round trip created, of any queues."""


#: Called around an enqueue, told what the enqueue created, or both.
Sender = Wrapper | Informed


class Service(Protocol):
    """Work beside the jobs that lasts as long as its process (`rota.process.services` keeps it running)."""

    @property
    def name(self) -> str:
        """The name that log lines have for it."""

    @property
    def may_end(self) -> bool:
        """Whether `run` may return by itself; where it may not, a return is a failure like an error."""

    async def run(self) -> None:
        """Work until cancelled. Whatever this raises is logged, and the service is started again."""


# Around an attempt


def switched_on(stack: Iterable[T]) -> tuple[T, ...]:
    """Return the entries of `stack` without those that are switched off."""
    return tuple(one for one in stack if not isinstance(one, Switched) or one.is_on())


def compose(stack: Sequence[Middleware], innermost: CallNext) -> CallNext:
    """Return a call that goes through `stack` from the outside in, and then to `innermost`."""
    call = innermost
    for middleware in reversed(stack):
        call = partial(_through, middleware, call)
    return call


def _through(middleware: Middleware, call: CallNext, run: Run) -> Awaitable[Any]:
    return middleware(run, call)


# After an event


#: Subscribers are asked again this often which events they want, in seconds: a logger's level may change.
_ASK_EVERY = 1.0


class Heard(NamedTuple):
    """The calls for one type of event: `listeners` take the event itself, `counts` three values of it."""

    listeners: tuple[Subscriber, ...]
    counts: tuple[Count, ...]


class Audience:
    """The subscribers of a process, and which of them want which type of event."""

    __slots__ = ("_asked_at", "_heard", "_subscribers")

    def __init__(self, subscribers: Iterable[Subscriber]) -> None:
        self._subscribers = [_Wishes.of(one) for one in subscribers]
        self._heard: dict[EventType, Heard] = {}
        self._asked_at = -math.inf

    def of(self, event_type: EventType, now: float) -> Heard:
        """Return what to call for events of this type, at `now` (seconds of a clock that goes forward)."""
        if now - self._asked_at >= _ASK_EVERY:
            self._heard.clear()
            self._asked_at = now
        return self._heard.get(event_type) or self._ask(event_type)

    def _ask(self, event_type: EventType) -> Heard:
        wanting = [one for one in self._subscribers if one.wants(event_type)]
        heard = Heard(
            tuple(one.subscriber for one in wanting if event_type not in one.counters),
            tuple(one.counters[event_type] for one in wanting if event_type in one.counters),
        )
        self._heard[event_type] = heard
        return heard


class _Wishes(NamedTuple):
    """A subscriber with what it offers beside its call."""

    subscriber: Subscriber
    wants: Callable[[EventType], bool]
    counters: Mapping[EventType, Count]

    @classmethod
    def of(cls, one: Subscriber) -> Self:
        return cls(
            one,
            wants=one.wants if isinstance(one, Selective) else _everything,
            counters=one.counters if isinstance(one, Counting) else {},
        )


def _everything(_: EventType) -> bool:
    return True


def count(counts: Iterable[Count], queue: str, task: str, seconds: Sequence[float]) -> None:
    """Call each of `counts` with the values of events of one job's name. What one raises is logged."""
    for one in counts:
        try:
            one(queue, task, seconds)
        except BaseException:
            logger.exception("subscriber.failed", extra={"job": full_name(queue, task)})


def tell(subscribers: Iterable[Subscriber], event: Event) -> None:
    """Call each subscriber with `event`. What one raises is logged, and reaches neither the job nor the others."""
    for subscriber in subscribers:
        try:
            subscriber(event)
        except BaseException:
            logger.exception(
                "subscriber.failed", extra={"event_type": event.type, "job_id": printable(event.id)}
            )


# Around an enqueue


class Senders:
    """The senders of a client or a worker, outermost first."""

    __slots__ = ("_informed", "_switches", "_wrappers")

    def __init__(self, senders: Iterable[Sender] = ()) -> None:
        senders = tuple(senders)
        self._wrappers: list[tuple[Wrapper, Callable[[], bool]]] = [
            (one, one.is_on if isinstance(one, Switched) else _always) for one in senders if callable(one)
        ]
        self._switches = tuple(is_on for _, is_on in self._wrappers)
        self._informed = [one for one in senders if isinstance(one, Informed)]

    def are_on(self) -> bool:
        """Tell whether a sender would be called around an enqueue that begins now: it is asked before each."""
        for is_on in self._switches:  # noqa: SIM110 - `any` with a generator takes three times as long
            if is_on():
                return True
        return False

    def around(self, jobs: Sequence[Outgoing]) -> AbstractContextManager[None]:
        """Return a context manager to enqueue `jobs` in. Jobs of several queues get each sender once for each queue.

        What a sender raises is logged, and the jobs are enqueued without it.
        """
        on = [sender for sender, is_on in self._wrappers if is_on()] if self._wrappers else None
        return _within(on, jobs) if on else _NOTHING

    def created(self, jobs: Sequence[Outgoing]) -> None:
        """Tell the senders that want to know it which jobs a round trip has created. What one raises is logged."""
        for sender in self._informed:
            try:
                sender.created(jobs)
            except Exception:
                logger.exception("sender.failed")


_NOTHING = nullcontext()


def _always() -> bool:
    return True


@contextmanager
def _within(senders: Sequence[Wrapper], jobs: Sequence[Outgoing]) -> Iterator[None]:
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
