"""Watches the event loop from another thread: reports what blocks it, and ends a process whose loop hangs."""

import asyncio
import logging
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from rota.errors.traces import stack_of
from rota.model.run import Run
from rota.process.clock import SYSTEM_CLOCK, Clock
from rota.process.last_words import last_words

logger = logging.getLogger("rota.loop")

#: From one beat of the loop to the next, in seconds.
BEAT = 0.5
#: The lag is the worst of the last beats, this many of them: a bad one between two scrapes must show.
REMEMBERED = 30
#: Exit status of a process whose loop was blocked past the limit (EX_SOFTWARE).
EXIT_BLOCKED = 70


class LoopWatch:
    """The watch on one loop: `beat` is called by the loop, `look` by the thread that watches it.

    :param report_after: a loop that is silent for this long is reported, with the stack that blocks it; when it is free
        again, so is the length of the block. In seconds.
    :param limit: a loop that is silent for longer than this ends the process. In seconds.
    :param die: ends the process with an exit status.
    :param clock: tells the time.
    """

    def __init__(
        self,
        *,
        report_after: float,
        limit: float,
        die: Callable[[int], object],
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._report_after = report_after
        self._limit = limit
        self._die = die
        self._monotonic = clock.monotonic
        self._reported = False
        self._longest = 0.0
        self._lateness: deque[float] = deque(maxlen=REMEMBERED)
        self.begin()

    def begin(self) -> None:
        """Watch the loop that runs in the calling thread, from now on."""
        self._loop_thread = threading.get_ident()
        self._heard = self._monotonic()

    def beat(self, late: float | None = None) -> None:
        """Note that the loop is alive. `late` is how late it woke for this, in seconds, if that was measured."""
        now = self._monotonic()
        self._longest = max(self._longest, now - self._heard)
        self._heard = now
        if late is not None:
            self._lateness.append(late)

    def silence(self) -> float:
        """Return the seconds since the last beat."""
        return self._monotonic() - self._heard

    def lag(self) -> float:
        """Return how late the loop was at worst in the last quarter of a minute, or is now, in seconds."""
        return max(0.0, self.silence() - BEAT, *self._lateness)

    def look(self) -> bool:
        """Report a block, or its end; return False if the process was to end."""
        silence = self.silence()
        if silence > self._report_after:
            if not self._reported:
                self._reported = True
                logger.warning("loop.blocked", extra={"seconds": round(silence, 1), **self._blocker()})
        elif self._reported:
            self._reported = False
            blocked, self._longest = self._longest, 0.0
            logger.warning("loop.free", extra={"blocked": round(blocked, 1)})
        else:
            self._longest = 0.0
        if silence <= self._limit:
            return True
        fields = {"seconds": round(silence, 1), **self._blocker()}
        last_words(lambda: logger.critical("loop.hung", extra=fields))
        self._die(EXIT_BLOCKED)
        return False

    def _blocker(self) -> dict[str, Any]:
        """Return the fields that say what the loop is at: the job, if it is within an attempt, and the stack."""
        frame = sys._current_frames().get(self._loop_thread)
        if frame is None:
            return {"stack": "(no frame)"}
        run = next(filter(None, map(_run_in, _outwards(frame))), None)
        return {**(run.log_fields if run else {}), "stack": stack_of(frame)}


def _outwards(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _run_in(frame: FrameType) -> Run | None:
    """Return the run that a frame has as `run`, as the frame has that calls a handler."""
    if "run" not in frame.f_code.co_varnames:
        return None
    run = frame.f_locals.get("run")
    return run if isinstance(run, Run) else None


class LoopBeat:
    """The service that beats for its event loop, and measures how late the loop wakes."""

    name = "loop-beat"
    may_end = False

    def __init__(self, watch: LoopWatch, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._watch = watch
        self._clock = clock

    async def run(self) -> None:
        """Beat every BEAT seconds, until cancelled."""
        while True:
            await self._beat()

    async def _beat(self) -> None:
        woken = self._clock.monotonic() + BEAT
        await asyncio.sleep(BEAT)
        self._watch.beat(max(0.0, self._clock.monotonic() - woken))
