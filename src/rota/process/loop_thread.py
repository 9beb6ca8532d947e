"""An event loop in a thread of its own: for blocking calls, which wait there, and for work that must not be held up."""

import asyncio
import concurrent.futures
import contextlib
import os
import selectors
import socket
import threading
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any, TypeVar

T = TypeVar("T")


class LoopThread:
    """A daemon thread that runs an event loop until `stop`.

    `closing` is entered and left inside of the loop: what is pushed onto it is closed before the loop ends.
    """

    def __init__(self, name: str) -> None:
        # poll() and no epoll: an epoll object is shared with forked children, which could take the parent's sockets
        # out of it.
        self._selector = selectors.PollSelector()
        self._loop = asyncio.SelectorEventLoop(self._selector)
        self._stopping = asyncio.Event()
        self.closing = AsyncExitStack()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def call(self, begin: Callable[[], Coroutine[Any, Any, T]], timeout: float | None) -> T:
        """Run a coroutine on the loop, in this thread's context, and return its result.

        Cancels the coroutine and raises TimeoutError after `timeout` seconds (None: without end). It is cancelled too
        when something is raised in the waiting thread, as by Ctrl-C. Raises RuntimeError when the loop has ended.
        """
        coroutine = begin()
        try:
            future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        except RuntimeError:
            coroutine.close()
            raise
        try:
            return future.result(timeout)
        finally:
            future.cancel()

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> "concurrent.futures.Future[T]":
        """Run a coroutine on the loop, and return a future for threads without a loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def begin(self, coroutine: Coroutine[Any, Any, T]) -> "asyncio.Future[T]":
        """Run a coroutine on the loop, and return a future of its end for the loop that runs in this thread.

        To cancel the future cancels the coroutine. Raises RuntimeError when the loop has ended.
        """
        return asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, self._loop))

    def tell(self, callback: Callable[[], object]) -> None:
        """Call `callback` on the loop, soon; it is not called when the loop has ended."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback)

    def stop(self, wait: float = 0.0) -> None:
        """End the loop, and wait at most `wait` seconds for that."""
        self.tell(self._stopping.set)
        if threading.current_thread() is not self._thread:
            self._thread.join(wait)

    @property
    def has_ended(self) -> bool:
        """True once nothing can be called any more."""
        return self._stopping.is_set() or self._loop.is_closed()

    def let_go(self) -> None:
        """Make this copy of the parent's loop harmless, in a child after a fork: the sockets are the parent's.

        Whatever the garbage collector closes of it later, such as a TLS connection with its farewell, goes nowhere.
        """
        with socket.socket() as nowhere:
            for key in list(self._selector.get_map().values()):
                os.dup2(nowhere.fileno(), key.fd)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        async with self.closing:
            await self._stopping.wait()
