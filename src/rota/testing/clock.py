"""The clock of a bench: it stands still until it is moved.

The client and the engine read it through a `rota.process.clock.Clock`, which they are given. fakeredis takes no clock:
while a bench is open, a stand-in takes the place of the `time` module in fakeredis' own modules. Nothing else sees the
bench's clock, so `time.time()` and `datetime.now()` of the code under test are the machine's.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

from rota.process.clock import Clock

#: The clock by which the code at hand measures spans: set inside an attempt, and nowhere else.
INSIDE: ContextVar["BenchClock | None"] = ContextVar("rota-clock", default=None)

#: The clocks of the benches that are open, in the order of their opening.
_open: list["BenchClock"] = []


class BenchClock:
    """A clock that a test moves. `now` is in seconds since 1970.

    :param start: what it says first; None is the time of day. Raises ValueError for a datetime without a time zone.
    """

    def __init__(self, start: datetime | None = None) -> None:
        self.now = round(time.time() if start is None else seconds_of(start), 3)
        #: This clock for the parts that take one. Spans are the machine's, except inside an attempt of a bench.
        self.passed = Clock(time=lambda: self.now, monotonic=_monotonic)

    @property
    def today(self) -> datetime:
        """The time of the clock, as a datetime in UTC."""
        return datetime.fromtimestamp(self.now, UTC)

    def advance(self, seconds: float) -> None:
        """Move the clock forward. Raises ValueError for a negative number: a server's clock does not go back."""
        if seconds < 0:
            raise ValueError(f"the clock goes forward only; it cannot advance by {seconds:g} s")
        self.now = round(self.now + seconds, 6)

    def move_to(self, now: float) -> None:
        """Move the clock forward to `now`, in seconds since 1970; leave it where it is if it is past that."""
        self.now = max(self.now, round(now, 6))

    @property
    def is_open(self) -> bool:
        """Whether fake servers read the clock."""
        return self in _open

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Let every fake server read this clock while the block runs; of several clocks, the last opened one."""
        if not _open:
            _stand_in.install()
        _open.append(self)
        try:
            yield
        finally:
            _open.remove(self)
            # Benches need not be closed in the reverse order of their opening.
            if not _open:
                _stand_in.remove()


def seconds_of(moment: datetime) -> float:
    """Return the seconds from 1970 to `moment`. Raises ValueError for a datetime without a time zone."""
    if moment.utcoffset() is None:
        raise ValueError(f"{moment} has no time zone; use bench.now, or datetime(..., tzinfo=UTC)")
    return moment.timestamp()


def _monotonic() -> float:
    clock = INSIDE.get()
    return time.monotonic() if clock is None else clock.now


class _TimeOfBenches:
    """The stand-in for the `time` module."""

    monotonic = staticmethod(_monotonic)

    def __init__(self) -> None:
        self._modules: list[ModuleType] = []

    def install(self) -> None:
        """Take the place of `time` in every module of fakeredis that imports it."""
        fakes = [module for name, module in list(sys.modules.items()) if name.startswith("fakeredis.")]
        self._modules = [module for module in fakes if getattr(module, "time", None) is time]
        self._set(self)

    def remove(self) -> None:
        """Put the `time` module back into its places."""
        self._set(time)

    def _set(self, value: object) -> None:
        for module in self._modules:
            setattr(module, "time", value)  # noqa: B010 - the module's type does not say that it imports time

    def time(self) -> float:
        return _open[-1].now if _open else time.time()

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


_stand_in = _TimeOfBenches()
