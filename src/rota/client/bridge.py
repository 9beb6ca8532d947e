"""The bridge of a blocking client: its own event loop in a thread, with a client there that is opened when needed.

Nothing is opened before the first call, so a bridge may be made while a module is imported. A child process that comes
of a fork opens its own.
"""

import asyncio
import concurrent.futures
import contextlib
import os
import threading
import weakref
from collections.abc import Awaitable, Callable
from typing import TypeVar

from rota.client.client import Client
from rota.process.loop_thread import LoopThread
from rota.server.faults import ServerError

T = TypeVar("T")

#: The time that connections get to be closed in, in seconds.
_CLOSING = 2.0


class OwnBridge:
    """An event loop of its own, and the client on it.

    :param opening: opens the client, on the loop.
    :param timeout: the longest time that a call may take, in seconds, beside what it waits for by its own argument.
    """

    def __init__(self, opening: Callable[[], Awaitable[Client]], *, timeout: float) -> None:
        self._opening = opening
        self._timeout = timeout
        self._closed = False
        self._lock = threading.Lock()
        self._turn = asyncio.Lock()
        self._loop_thread: LoopThread | None = None
        self._opened: Client | None = None
        self._telling: asyncio.Task[None] | None = None
        _bridges.add(self)

    def ask(self, question: Callable[[Client], Awaitable[T]], *, longer: float | None = 0.0) -> T:
        """Ask the client, which is opened before, and return its answer; `longer` seconds more are allowed for that.

        Raises ServerError, also where the time is over; RuntimeError on the thread of an event loop, which would stand
        still meanwhile, and once the bridge is closed.
        """
        refuse_on_a_loop()
        loop_thread = self._running()

        async def answer() -> T:
            return await question(await self._client(loop_thread))

        time = None if longer is None else self._timeout + longer
        try:
            return loop_thread.call(answer, time)
        except concurrent.futures.TimeoutError as error:
            if type(error) is not TimeoutError:
                raise
            what = "Redis did not answer within the client's timeout"
            raise ServerError(f"{what}, {self._timeout:g} s", transient=True) from None
        except (concurrent.futures.CancelledError, RuntimeError, ServerError) as error:
            # A call that waits is cancelled, or loses its connection first.
            if self._closed or loop_thread.has_ended:
                raise _closed() from error
            raise

    def tell(self, question: Callable[[Client], Awaitable[object]]) -> None:
        """Ask the client, which is opened before, and wait for no answer. What goes wrong is let go."""
        with contextlib.suppress(RuntimeError):
            loop_thread = self._running()
            loop_thread.tell(lambda: self._begin(question, loop_thread))

    def _begin(self, question: Callable[[Client], Awaitable[object]], loop_thread: LoopThread) -> None:
        async def told() -> None:
            with contextlib.suppress(Exception):
                await question(await self._client(loop_thread))

        # One at a time: while Redis does not answer, they would pile up.
        if self._telling is None or self._telling.done():
            self._telling = asyncio.get_running_loop().create_task(told())

    def close(self) -> None:
        """Close the connections and end the thread. Calls that wait end with an error."""
        with self._lock:
            self._closed = True
            loop_thread, self._loop_thread = self._loop_thread, None
        if loop_thread is not None:
            self._ending.detach()
            loop_thread.stop(_CLOSING)

    def _running(self) -> LoopThread:
        with self._lock:
            if self._closed:
                raise _closed()
            if self._loop_thread is None:
                self._loop_thread = LoopThread("rota-client")
                # Also when the bridge is forgotten, and when the interpreter ends.
                self._ending = weakref.finalize(self, self._loop_thread.stop, _CLOSING)
            return self._loop_thread

    async def _client(self, loop_thread: LoopThread) -> Client:
        """Return the client, on its loop. What fails is tried again at the next call."""
        async with self._turn:
            if self._opened is None:
                self._opened = await self._opening()
                loop_thread.closing.push_async_callback(self._opened.close)
            return self._opened

    def leave_to_parent(self) -> None:
        """Start again in a child after a fork: the thread stayed in the parent, whose connections these are."""
        if self._loop_thread is not None:
            self._ending.detach()
            self._loop_thread.let_go()
            _left.append((self._loop_thread, self._opened))
        self._lock, self._turn = threading.Lock(), asyncio.Lock()
        self._loop_thread = self._opened = self._telling = None


class LoopBridge:
    """The way from a thread to a client on an event loop that runs already, such as a worker's."""

    def __init__(self, client: Client, loop: asyncio.AbstractEventLoop) -> None:
        self._client = client
        self._loop = loop

    def ask(self, question: Callable[[Client], Awaitable[T]], *, longer: float | None = 0.0) -> T:
        """Ask the client, and return its answer. Each call to Redis is bounded, and so is each wait by its timeout."""
        refuse_on_a_loop()

        async def answer() -> T:
            return await question(self._client)

        future = asyncio.run_coroutine_threadsafe(answer(), self._loop)
        try:
            return future.result()
        finally:
            future.cancel()

    def tell(self, question: Callable[[Client], Awaitable[object]]) -> None:
        """Ask the client, and wait for no answer. What goes wrong is let go."""

        async def told() -> None:
            with contextlib.suppress(Exception):
                await question(self._client)

        coroutine = told()
        try:
            asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        except RuntimeError:
            coroutine.close()

    def close(self) -> None:
        """Leave the client open: it is the worker's."""


def refuse_on_a_loop() -> None:
    """Raise RuntimeError on a thread whose event loop runs, which a blocking call would stop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError(
        "a SyncClient blocks its thread, and an event loop runs in this one; "
        "use the client of `await rota.connect()` here, or call this in a thread (asyncio.to_thread)"
    )


def _closed() -> RuntimeError:
    return RuntimeError("this SyncClient is closed")


_bridges: weakref.WeakSet[OwnBridge] = weakref.WeakSet()
#: What a child has of its parent's loops, kept so that nothing of it is closed.
_left: list[object] = []


def _start_again_in_child() -> None:
    for bridge in list(_bridges):
        bridge.leave_to_parent()


os.register_at_fork(after_in_child=_start_again_in_child)
