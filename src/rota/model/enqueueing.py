"""What can be enqueued, and the client that a job finds by itself: that of the attempt, or of the application."""

import functools
from collections.abc import Callable, MutableMapping
from typing import Any, Generic, ParamSpec, Protocol, TypeVar
from weakref import WeakKeyDictionary

from rota.model.flows.handle import FlowSource
from rota.model.handle import JobClient
from rota.model.sync import SyncSource

P = ParamSpec("P")
C = TypeVar("C")
H_co = TypeVar("H_co", covariant=True)


class AsyncSource(JobClient, FlowSource, Protocol):
    """A client on an event loop, as the handles of jobs and of pipelines take it."""


class Enqueueable(Protocol[P, H_co]):
    """A job or a pipeline: something to enqueue, with the arguments that it takes and the handle that comes of it."""

    def call(self, /, *args: P.args, **kwargs: P.kwargs) -> Any: ...
    def handle(self, client: AsyncSource, id: str, /) -> H_co: ...  # noqa: A002 - the field's word


class SyncEnqueueable(Protocol[P, H_co]):
    """A job or a pipeline, as code without an event loop enqueues it."""

    def call(self, /, *args: P.args, **kwargs: P.kwargs) -> Any: ...
    def handle(self, client: SyncSource, id: str, /) -> H_co: ...  # noqa: A002 - the field's word


class Enqueuer(Protocol):
    """A client on an event loop: its way to enqueue."""

    async def enqueue(self, job: Enqueueable[P, H_co], /, *args: P.args, **kwargs: P.kwargs) -> H_co:
        """Enqueue a job, or a pipeline, with its arguments."""


class SyncEnqueuer(Protocol):
    """A client that blocks: its way to enqueue."""

    def enqueue(self, job: SyncEnqueueable[P, H_co], /, *args: P.args, **kwargs: P.kwargs) -> H_co:
        """Enqueue a job, or a pipeline, with its arguments."""


class Clients:
    """The clients of a worker, for its attempts: one on its event loop, and one for the threads of its handlers.

    :param make: makes both when a handler first enqueues, on the event loop or in a thread.
    """

    def __init__(self, make: Callable[[], tuple[Enqueuer, SyncEnqueuer]]) -> None:
        self._made = functools.cache(make)

    @property
    def on_loop(self) -> Enqueuer:
        """The client for coroutines."""
        return self._made()[0]

    @property
    def blocking(self) -> SyncEnqueuer:
        """The client for threads."""
        return self._made()[1]


class Offers(Generic[C]):
    """The open clients of one kind in this process, for code that enqueues without naming one."""

    def __init__(self, how: str) -> None:
        self._how = how
        self._offered: MutableMapping[C, Callable[[], bool]] = WeakKeyDictionary()

    def add(self, client: C, usable: Callable[[], bool] = lambda: True) -> None:
        """Offer a client where `usable` says so, before those that were offered earlier."""
        self._offered[client] = usable

    def remove(self, client: C) -> None:
        """Offer a client no longer, as it is closed."""
        self._offered.pop(client, None)

    def latest(self, name: str) -> C:
        """Return the client that was offered last and is usable here, for the job `name`. Raises RuntimeError."""
        for client, usable in reversed(list(self._offered.items())):
            if usable():
                return client
        raise RuntimeError(f"there is no client to enqueue {name} with; {self._how}")


OFFERED: Offers[Enqueuer] = Offers(
    "open one with `await rota.connect()` on this event loop, or use client.enqueue"
)
OFFERED_SYNC: Offers[SyncEnqueuer] = Offers(
    "make one with rota.connect_sync(), and keep it, or use client.enqueue"
)
