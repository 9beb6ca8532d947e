"""The lease keeper: a thread that keeps what the event loop claimed, also while a handler blocks that loop.

The thread also watches the loop: past a hard limit it renews no more and ends the process, so that another worker takes
over. Code that holds the GIL stops this thread too.
"""

import asyncio
import logging
import os
import threading
from collections.abc import Callable

from rota.engine.leases import Leases
from rota.process.health_file import HealthFile
from rota.process.last_words import last_words
from rota.process.loop_watch import EXIT_BLOCKED, LoopWatch

logger = logging.getLogger("rota.leases")

#: How often the thread looks around, in seconds.
TICK = 0.25
#: The event loop has to react within this many seconds to a thread that failed, or the process is ended.
RESCUE = 5.0


class LeaseKeeper:
    """The thread that renews leases, and the service that keeps it running. One serves all queues of a process.

    :param leases: what it renews.
    :param watch: what it knows of the event loop; by default, a loop blocked for 60 seconds ends the process.
    :param health_file: touched while the loop is heard of; None for no file.
    :param die: ends the process, with an exit status, where the thread failed and cannot be started again.
    """

    name = "leases"
    may_end = False

    def __init__(
        self,
        leases: Leases,
        *,
        watch: LoopWatch | None = None,
        health_file: HealthFile | None = None,
        die: Callable[[int], object] = os._exit,
    ) -> None:
        self.leases = leases
        self.watch = watch or LoopWatch(report_after=5.0, limit=60.0, die=die)
        self._health_file = health_file
        self._die = die
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._failure: asyncio.Future[None] | None = None

    # The service

    async def run(self) -> None:
        """Keep the thread running until cancelled. Raises the error that ended the thread."""
        self._failure = asyncio.get_running_loop().create_future()
        try:
            self.start()
            await self._failure
        finally:
            self.stop()
            self._failure = None

    def start(self) -> None:
        """Start the thread, from the thread of the event loop. Does nothing if it runs already."""
        if not self.alive or self._stop.is_set():
            self.watch.begin()
            self._stop = stop = threading.Event()
            self._thread = threading.Thread(target=self._main, args=(stop,), name="rota-leases", daemon=True)
            self._thread.start()

    @property
    def began(self) -> bool:
        """Whether the thread was ever started: as a service it is, once the event loop comes to it."""
        return self._thread is not None

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def stop(self) -> None:
        """End the thread; waits at most two seconds."""
        self._stop.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(2.0)

    # The thread

    def _main(self, stop: threading.Event) -> None:
        try:
            while not stop.wait(min(TICK, self.leases.interval)) and self.watch.look():
                if self._health_file is not None:
                    self._health_file.touch()
                self.leases.keep()
        except Exception as error:
            self._fail(error, stop)
        finally:
            self.leases.close()

    def _fail(self, error: Exception, stop: threading.Event) -> None:
        """Raise a bug in `run`, so that the thread is started again: without it, the leases end unnoticed."""
        if stop.is_set():
            return
        if (failure := self._failure) is not None:
            failure.get_loop().call_soon_threadsafe(_raise_in, failure, error)
            if stop.wait(RESCUE):
                return
        # Nothing runs this service, or the loop is blocked, which nothing watches any longer.
        last_words(lambda: logger.critical("leases.failed", exc_info=error))
        self._die(EXIT_BLOCKED)


def _raise_in(waiting: asyncio.Future[None], error: Exception) -> None:
    if not waiting.done():
        waiting.set_exception(error)
