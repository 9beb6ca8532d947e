"""Time inside an attempt: sleeping and timing out take no time, and everything else takes its real time.

The timers that a handler sets (`asyncio.sleep`, `asyncio.timeout`, its own job's timeout) are kept apart from the
loop's. When the loop has nothing else to do, the clock jumps to the first of them. While something outside the loop
is under way (a thread, a child process, a socket) the clock runs with the machine's instead. Timers that are set
outside the attempt, a test's own among them, are left alone.

This needs asyncio's own event loop. On another one (uvloop) an attempt takes real time, and all else stays true.
"""

import asyncio
import heapq
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import Context, copy_context
from functools import partial
from itertools import count
from typing import Any, TypeVar

from rota.testing.clock import INSIDE, BenchClock

T = TypeVar("T")

#: How long open sockets may stay silent before they count as idle, in seconds.
PATIENCE = 2.0
#: How often listeners are called while time runs with the machine's, in seconds.
_LOOK_EVERY = 0.5
#: Two times that are this near are the same, in seconds: the sums of such large floats are not exact.
_RESOLUTION = 1e-5


class VirtualTime:
    """The timers of what runs inside attempts, on the loop that runs them."""

    def __init__(self, clock: BenchClock, patience: float = PATIENCE) -> None:
        self._clock = clock
        self._patience = patience
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._numbers = count()
        self._loop: Any = None
        self._users = 0
        self._offset = 0.0
        self._errands: set[object] = set()
        self._silence = 0.0
        self._listeners: list[Callable[[], bool]] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        """Let attempts be started on the running loop while the block runs."""
        loop = asyncio.get_running_loop()
        if hasattr(loop, "_selector"):
            self._users += 1
            if self._users == 1:
                self._take_over(loop)
        try:
            yield
        finally:
            if self._users:
                self._users -= 1
                if not self._users:
                    self._give_back()

    def task(self, attempt: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Return a task that runs an attempt in virtual time."""
        context = copy_context()
        if self._users:
            context.run(INSIDE.set, self._clock)
        return asyncio.get_running_loop().create_task(attempt, context=context)

    @contextmanager
    def listening(self, look: Callable[[], bool]) -> Iterator[None]:
        """Call `look` before time passes, while the block runs; it returns True if it has changed something."""
        self._listeners.append(look)
        try:
            yield
        finally:
            self._listeners.remove(look)

    @contextmanager
    def outside(self) -> Iterator[None]:
        """Keep time from jumping while the block runs: it waits for something that the loop cannot see."""
        errand = object()
        self._errands.add(errand)
        try:
            yield
        finally:
            self._errands.discard(errand)

    def forget(self) -> None:
        """Stop waiting for the threads that an attempt left behind."""
        self._errands.clear()

    # The loop's own methods, while attempts run on it

    def _take_over(self, loop: Any) -> None:
        if loop is not self._loop:
            self._loop, self._offset = loop, loop.time() - self._clock.now
        self._silence = 0.0
        self._select: Callable[[float | None], list[Any]] = loop._selector.select
        self._call_at: Callable[..., asyncio.TimerHandle] = loop.call_at
        self._in_executor: Callable[..., asyncio.Future[Any]] = loop.run_in_executor
        self._real_time: Callable[[], float] = loop.time
        self._undo = ExitStack()
        self._undo.callback(_replaced(loop._selector, "select", self._wait))
        self._undo.callback(_replaced(loop, "call_at", self._set_timer))
        self._undo.callback(_replaced(loop, "run_in_executor", self._run_in_executor))
        self._undo.callback(_replaced(loop, "time", self._now))

    def _give_back(self) -> None:
        self._undo.close()
        self.forget()
        # What a handler left running in the background goes on in the machine's time.
        timers, self._timers = self._timers, []
        for when, _, timer in timers:
            self._loop.call_later(max(0.0, when - self._virtual_now()), _fire, timer)

    def _virtual_now(self) -> float:
        return self._clock.now + self._offset

    def _now(self) -> float:
        return self._real_time() if INSIDE.get() is not self._clock else self._virtual_now()

    def _set_timer(
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        if INSIDE.get() is not self._clock:
            return self._call_at(when, callback, *args, context=context)
        timer = asyncio.TimerHandle(when, callback, args, self._loop, context or copy_context())
        heapq.heappush(self._timers, (when, next(self._numbers), timer))
        return timer

    def _run_in_executor(self, executor: Any, call: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        future = self._in_executor(executor, call, *args)
        self._errands.add(future)
        future.add_done_callback(self._errands.discard)
        return future

    # What the loop does when it has nothing to do

    def _wait(self, timeout: float | None) -> list[Any]:
        events = self._select(0)
        idle = timeout is None or timeout > 0
        if events or not idle:
            self._silence = 0.0 if events else self._silence
            return events
        while self._timers and self._timers[0][2].cancelled():
            heapq.heappop(self._timers)
        if not self._timers:
            return self._select(timeout)
        if any(look() for look in self._listeners):
            return []
        if self._errands or (self._sockets() and self._silence < self._patience):
            events = self._wait_for_real(timeout)
        else:
            self._clock.move_to(self._timers[0][0] - self._offset)
            self._silence = 0.0
        self._fire()
        return events

    def _sockets(self) -> bool:
        # One is the pipe by which other threads wake the loop.
        return len(self._loop._selector.get_map()) > 1

    def _wait_for_real(self, timeout: float | None) -> list[Any]:
        limit = min(_LOOK_EVERY, max(0.0, self._timers[0][0] - self._virtual_now()))
        if not self._errands:
            limit = min(limit, self._patience - self._silence)
        started = time.monotonic()
        events = self._select(limit if timeout is None else min(timeout, limit))
        elapsed = time.monotonic() - started
        self._clock.advance(elapsed)
        self._silence = 0.0 if events else self._silence + elapsed
        return events

    def _fire(self) -> None:
        now = self._virtual_now() + _RESOLUTION
        while self._timers and self._timers[0][0] <= now:
            timer = heapq.heappop(self._timers)[2]
            self._loop.call_soon(_fire, timer)


def _fire(timer: asyncio.TimerHandle) -> None:
    if not timer.cancelled():
        timer._run()


def _replaced(owner: Any, name: str, method: Callable[..., Any]) -> Callable[[], None]:
    """Put `method` in the place of `owner`'s own; return a function that undoes that."""
    before = vars(owner).get(name)
    setattr(owner, name, method)
    return partial(delattr, owner, name) if before is None else partial(setattr, owner, name, before)
