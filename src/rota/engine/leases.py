"""The lease keeper: a thread that keeps what the event loop claimed, also while a handler blocks that loop.

It has a connection of its own and renews every third of a lease, until a settlement is acknowledged. It also watches
the loop (`rota.loop_watch`): past a hard limit the thread stops renewing and ends the process, so that another worker
takes over. Code that holds the GIL stops this thread too.
"""

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from redis.exceptions import RedisError

from rota.process.loop_watch import EXIT_BLOCKED, LoopWatch
from rota.wire.claims import Claim
from rota.wire.queue import QueueScripts

logger = logging.getLogger("rota.leases")

#: Leases renewed in one call.
CHUNK = 500
#: The health file is touched while the loop was heard of within this, seconds.
HEALTHY_WITHIN = 5.0
#: How often the thread looks around, seconds.
TICK = 0.25
#: The event loop has to react within this to a thread that failed, or the process is ended, seconds.
RESCUE = 5.0


class Holding:
    """The claims of one queue that the keeper renews."""

    def __init__(self, protocol: QueueScripts, on_lost: Callable[[list[str]], None]) -> None:
        self.protocol = protocol
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._held: dict[str, str] = {}

    def add(self, claims: Iterable[Claim]) -> None:
        """Keep these from now on."""
        with self._lock:
            self._held.update((claim.id, claim.token) for claim in claims)

    def drop(self, ids: Iterable[tuple[str, str]]) -> None:
        """Their settlements are acknowledged: (id, token) each."""
        with self._lock:
            for job_id, token in ids:
                if self._held.get(job_id) == token:
                    del self._held[job_id]

    def snapshot(self) -> dict[str, str]:
        """What is held now: id → token."""
        with self._lock:
            return dict(self._held)

    def renew(self, redis: Any) -> int:
        """Renew everything; tells the loop what is ours no longer. How many were renewed."""
        held = list(self.snapshot().items())
        for start in range(0, len(held), CHUNK):
            chunk = dict(held[start : start + CHUNK])
            lost = [job_id for job_id in self.protocol.renew(redis, chunk) if self._still(job_id, chunk)]
            if lost:
                self._loop.call_soon_threadsafe(self._on_lost, lost)
        return len(held)

    def _still(self, job_id: str, asked: Mapping[str, str]) -> bool:
        # Settled, or claimed anew, while the question was under way: the answer is about something else.
        with self._lock:
            return self._held.get(job_id) == asked[job_id]


class LeaseKeeper:
    """The thread that renews leases, and the service that keeps it running. One serves all queues of a process.

    `connect` makes the plain Redis client it renews with. `interval` (seconds) is a third of the shortest lease.
    `block_limit` (seconds) is how long the loop may stay blocked before the process is ended; `die` is how. One that is
    blocked for `report_after` (seconds) is reported.
    """

    name = "leases"
    may_end = False

    def __init__(
        self,
        connect: Callable[[], Any],
        *,
        interval: float,
        block_limit: float = 60.0,
        report_after: float = 5.0,
        health_file: Path | None = None,
        die: Callable[[int], object] = os._exit,
    ) -> None:
        self._connect = connect
        self._interval = interval
        self._health_file = health_file
        self._holdings: list[Holding] = []
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._failure: asyncio.Future[None] | None = None
        self._die = die
        self.watch = LoopWatch(report_after=report_after, limit=block_limit, die=die)
        self._redis: Any = None

    def register(self, protocol: QueueScripts, on_lost: Callable[[list[str]], None]) -> Holding:
        """Renew one queue's claims too; `on_lost` is called in the running loop with ids that were taken away."""
        holding = Holding(protocol, on_lost)
        self._holdings.append(holding)
        return holding

    def start(self) -> None:
        """Start the thread, from the thread of the event loop. Does nothing if it runs already."""
        if not self.alive or self._stop.is_set():
            self.watch.begin()
            self._stop = stop = threading.Event()
            self._thread = threading.Thread(target=self._main, args=(stop,), name="rota-leases", daemon=True)
            self._thread.start()

    async def run(self) -> None:
        """Keep the thread running until cancelled. Raises the error that ended the thread."""
        self._failure = asyncio.get_running_loop().create_future()
        try:
            self.start()
            await self._failure
        finally:
            self.stop()
            self._failure = None

    def beat(self) -> None:
        """Called by the loop, at least once a second: it is alive."""
        self.watch.beat()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def stop(self) -> None:
        """End the thread; waits at most two seconds."""
        self._stop.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(2.0)

    def _main(self, stop: threading.Event) -> None:
        try:
            self._keep(stop)
        except Exception as error:
            self._fail(error, stop)
        finally:
            self._close()

    def _keep(self, stop: threading.Event) -> None:
        # At once: a thread that was started again finds leases that have not been renewed for a while.
        due = time.monotonic()
        while not stop.wait(min(TICK, self._interval)):
            if not self.watch.look():
                return
            self._touch()
            now = time.monotonic()
            if now >= due:
                due = now + (self._interval if self._renew() else min(self._interval, 0.5))

    def _fail(self, error: Exception, stop: threading.Event) -> None:
        """Raise a bug in `run`, so that the thread is started again: without it, the leases end unnoticed."""
        if stop.is_set():
            return
        if (failure := self._failure) is not None:
            failure.get_loop().call_soon_threadsafe(_raise_in, failure, error)
            if stop.wait(RESCUE):
                return
        # There is no service, or its loop is blocked, which nothing watches any more.
        logger.critical("leases.failed", exc_info=error)
        logging.shutdown()
        self._die(EXIT_BLOCKED)

    def _renew(self) -> bool:
        try:
            if self._redis is None:
                self._redis = self._connect()
            for holding in self._holdings:
                holding.renew(self._redis)
        except (RedisError, OSError) as error:
            logger.warning("leases.not_renewed", extra={"error": f"{type(error).__name__}: {error}"})
            self._close()
            return False
        return True

    def _close(self) -> None:
        redis, self._redis = self._redis, None
        if redis is not None:
            redis.close()

    def _touch(self) -> None:
        if self._health_file is not None and self.watch.silence() < HEALTHY_WITHIN:
            try:
                self._health_file.touch()
            except OSError as error:
                logger.warning("health_file.not_written", extra={"error": str(error)})


def _raise_in(waiting: asyncio.Future[None], error: Exception) -> None:
    if not waiting.done():
        waiting.set_exception(error)
