"""Where parts read the time from: a clock is passed to them, so that a test can pass one that it moves."""

import time as system
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Clock:
    """A clock in seconds: `time` is the wall clock since 1970, `monotonic` measures spans and never goes back."""

    time: Callable[[], float] = system.time
    monotonic: Callable[[], float] = system.monotonic

    def time_ms(self) -> int:
        """Return the wall clock in milliseconds, as times are written at the wire."""
        return round(self.time() * 1000)


SYSTEM_CLOCK = Clock()
