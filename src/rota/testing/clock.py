"""The clock of a bench: it stands still until it is moved, and the fake server and the engine read it.

The client and the engine are given a `rota.process.clock.Clock` that reads it. fakeredis takes no clock, so while a
bench is open, fakeredis finds a stand-in where it looks for the `time` module. Nothing else sees this clock:
`time.time()` and `datetime.now()` of the code under test are the machine's own.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

from rota.process import clock as process

#: The clock that runs for the code at hand: set inside an attempt, and nowhere else.
INSIDE: ContextVar["Clock | None"] = ContextVar("rota-clock", default=None)

_open: list["Clock"] = []


class Clock:
    """A clock in seconds since 1970 that starts at `start`, None for the time of day.

    Raises ValueError for a start without a time zone.
    """

    def __init__(self, start: datetime | None = None) -> None:
        self.now = round(time.time() if start is None else seconds_of(start), 3)
        #: The same clock for the parts of the engine, to which a clock is passed.
        self.passed = process.Clock(time=lambda: self.now, monotonic=_monotonic)

    @property
    def today(self) -> datetime:
        """The time as a datetime in UTC."""
        return datetime.fromtimestamp(self.now, UTC)

    def advance(self, seconds: float) -> None:
        """Move the clock forward. Raises ValueError for a number below 0: a server's clock is not turned back."""
        if seconds < 0:
            raise ValueError(f"the clock goes forward only; it cannot advance by {seconds:g} s")
        self.now = round(self.now + seconds, 6)

    def move_to(self, now: float) -> None:
        """Move the clock forward to `now`, or leave it where it is if that is past."""
        self.now = max(self.now, round(now, 6))

    @property
    def is_open(self) -> bool:
        """Whether fake servers read it."""
        return self in _open

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Let every fake server read this clock while the block runs."""
        replaced = _replace() if not _open else None
        _open.append(self)
        try:
            yield
        finally:
            _open.remove(self)
            if replaced is not None:
                _restore(replaced)


def seconds_of(moment: datetime) -> float:
    """Return the seconds from 1970 to `moment`. Raises ValueError for one without a time zone."""
    if moment.utcoffset() is None:
        raise ValueError(f"{moment} has no time zone; use bench.now, or datetime(..., tzinfo=UTC)")
    return moment.timestamp()


def _monotonic() -> float:
    clock = INSIDE.get()
    return time.monotonic() if clock is None else clock.now


class _Time:
    """A stand-in for the `time` module, where fakeredis looks for it."""

    monotonic = staticmethod(_monotonic)

    def time(self) -> float:
        return _open[-1].now if _open else time.time()

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


_Replaced = list[tuple[ModuleType, str, object]]


def _replace() -> _Replaced:
    fakes = [module for name, module in list(sys.modules.items()) if name.startswith("fakeredis.")]
    readers = [module for module in fakes if getattr(module, "time", None) is time]
    replaced: _Replaced = [(module, "time", time) for module in readers]
    stand_in = _Time()
    for module in readers:
        setattr(module, "time", stand_in)  # noqa: B010 - the module's type does not say that it imports time
    return replaced


def _restore(replaced: _Replaced) -> None:
    for module, name, original in replaced:
        setattr(module, name, original)
