"""Recycling: a process that has run many jobs, or holds much memory, asks to be replaced by a fresh one.

This is for leaks that nobody has found yet. The settings are the most that is allowed; each process draws limits up
to a tenth lower, so that processes which start together do not end together.
"""

import asyncio
import logging
import random
import resource
import sys
from collections.abc import Callable
from pathlib import Path

from rota.model.event import Event, EventType
from rota.units import format_size

logger = logging.getLogger("rota.worker")

#: Exit status of a process that asks to be replaced by a fresh one (EX_TEMPFAIL).
EXIT_RECYCLE = 75
#: From one look at the memory to the next, give or take a fifth, in seconds.
LOOK_EVERY = 5.0
#: The part by which chance may lower a limit.
SPREAD = 0.1

_ENDED = frozenset(
    {EventType.COMPLETED, EventType.RETRIED, EventType.SNOOZED, EventType.DEAD, EventType.CANCELLED}
)
_STATM = Path("/proc/self/statm")


class Recycling:
    """A subscriber that counts the executions which end in this process, and a service that looks at its memory.

    :param ask: called once, with `jobs` or `memory`.
    :param after_jobs: how many executions it takes to ask; None: no number does.
    :param after_memory: how many resident bytes it takes to ask; None: no number does.
    :param chance: returns a number from 0 up to 1, for the spread.
    :param measure: returns the bytes that are resident now.
    :param advise: whether to warn of a memory limit that is too low; the process before this one may have.
    """

    name = "recycling"
    may_end = True

    def __init__(
        self,
        ask: Callable[[str], None],
        *,
        after_jobs: int | None,
        after_memory: int | None,
        chance: Callable[[], float] = random.random,
        measure: Callable[[], int] | None = None,
        advise: bool = True,
    ) -> None:
        self._ask = ask
        self._jobs = None if after_jobs is None else max(1, round(after_jobs * (1 - SPREAD * chance())))
        self._memory = None if after_memory is None else after_memory * (1 - SPREAD * chance())
        self._chance = chance
        self._measure = measure or resident
        self._advise = advise
        self._ended = 0
        self._asked = False

    def wants(self, event_type: EventType) -> bool:
        return event_type in _ENDED

    def __call__(self, event: Event) -> None:
        if event.type not in _ENDED:
            return
        self._ended += 1
        if self._jobs is not None and self._ended >= self._jobs:
            self._recycle("jobs")

    async def run(self) -> None:
        """Look at the memory until it is full, or until cancelled. Return at once where memory does not matter."""
        if self._memory is None:
            return
        if (first := self._measure()) >= self._memory and self._advise:
            advice = (
                f"RECYCLE_AFTER_MEMORY is near or below the {format_size(first)} that this process begins with: it "
                "will be recycled as soon as it has run a job"
            )
            logger.warning("settings.advice", extra={"advice": advice})
        while not self._asked:
            await asyncio.sleep(LOOK_EVERY * (0.8 + 0.4 * self._chance()))
            # A fresh process would hold as much memory as one that has run no job yet.
            if self._ended and self._measure() >= self._memory:
                self._recycle("memory")

    def _recycle(self, reason: str) -> None:
        if not self._asked:
            self._asked = True
            fields = {"reason": reason, "jobs": self._ended, "memory": format_size(self._measure())}
            logger.info("worker.recycling", extra=fields)
            self._ask(reason)


def resident() -> int:
    """Return the bytes of this process that are in memory; on macOS, which does not tell, the most that ever were."""
    try:
        pages = int(_STATM.read_bytes().split()[1])
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024
    return pages * resource.getpagesize()
