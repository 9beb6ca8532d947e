"""Watches the event loop from another thread: reports what blocks it, and ends a process whose loop hangs."""

import asyncio
import logging
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable
from time import monotonic

logger = logging.getLogger("rota.loop")

#: The loop is to be heard of this often, seconds.
BEAT = 0.5
#: The lag is the worst of so many beats: one that was bad between two scrapes must show.
REMEMBERED = 30
#: Exit status of a process whose loop was blocked past the limit (EX_SOFTWARE).
EXIT_BLOCKED = 70
#: The innermost frames that are shown of what blocks.
_FRAMES = 12


class LoopWatch:
    """`beat` is called by the loop, `look` by the thread that watches it.

    A loop silent for `report_after` seconds is reported with the stack that blocks it, and once more when it is free,
    with how long it took. One silent for longer than `limit` seconds ends the process by `die(EXIT_BLOCKED)`.
    """

    def __init__(self, *, report_after: float, limit: float, die: Callable[[int], object]) -> None:
        self._report_after = report_after
        self._limit = limit
        self._die = die
        self._reported = False
        self._longest = 0.0
        self._lateness: deque[float] = deque(maxlen=REMEMBERED)
        self.begin()

    def begin(self) -> None:
        """The loop runs in the calling thread, from now on."""
        self._loop_thread = threading.get_ident()
        self._heard = monotonic()

    def beat(self, late: float | None = None) -> None:
        """The loop is alive; at least every BEAT seconds. `late` is how late it woke for this, if that was measured."""
        now = monotonic()
        self._longest = max(self._longest, now - self._heard)
        self._heard = now
        if late is not None:
            self._lateness.append(late)

    def silence(self) -> float:
        """Seconds since the loop was last heard of."""
        return monotonic() - self._heard

    def lag(self) -> float:
        """How late the loop was at its worst in the last quarter of a minute, or is now; seconds."""
        return max(0.0, self.silence() - BEAT, *self._lateness)

    def look(self) -> bool:
        """Report what there is to report; False if the process was to end."""
        silence = self.silence()
        if silence > self._report_after:
            if not self._reported:
                self._reported = True
                logger.warning("loop.blocked", extra={"seconds": round(silence, 1), "stack": self._stack()})
        elif self._reported:
            self._reported = False
            blocked, self._longest = self._longest, 0.0
            logger.warning("loop.free", extra={"blocked": round(blocked, 1)})
        else:
            self._longest = 0.0
        if silence <= self._limit:
            return True
        logger.critical("loop.hung", extra={"seconds": round(silence, 1), "stack": self._stack()})
        logging.shutdown()
        self._die(EXIT_BLOCKED)
        return False

    def _stack(self) -> str:
        frame = sys._current_frames().get(self._loop_thread)
        return "".join(traceback.format_stack(frame)[-_FRAMES:]) if frame else "(no frame)"


class LoopBeat:
    """The service by which an event loop is heard of: it tells a watch, twice a second, and how late it woke."""

    name = "loop-beat"
    may_end = False

    def __init__(self, watch: LoopWatch) -> None:
        self._watch = watch

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            await self._beat()

    async def _beat(self) -> None:
        due = monotonic() + BEAT
        await asyncio.sleep(BEAT)
        self._watch.beat(max(0.0, monotonic() - due))
