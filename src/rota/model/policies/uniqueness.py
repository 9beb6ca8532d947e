"""Uniqueness: of the jobs that are the same by a key, one at a time, or one in a time.

The key is taken from the arguments; without one, all arguments together are the key.
"""

from dataclasses import dataclass
from typing import Literal

from rota.model.options import OnTaken, check_on_taken, check_seconds
from rota.model.policies.limits import Key, check_key

Until = Literal["started", "finished"]

_MOST_SECONDS = 365 * 86_400


@dataclass(frozen=True, slots=True)
class Unique:
    """How long a job keeps others of its key from being enqueued, and what becomes of those.

    `until` is "started", "finished" (ended for good, however it did) or a number of seconds. `delay`: seconds that
    each of them waits before it may start. Raises ValueError or TypeError for what cannot be.
    """

    key: Key | None = None
    until: Until | float = "finished"
    on_taken: OnTaken = "existing"
    delay: float = 0.0

    def __post_init__(self) -> None:
        if self.key is not None:
            check_key(self.key)
        check_on_taken(self.on_taken)
        if self.until not in ("started", "finished"):
            if isinstance(self.until, str):
                raise ValueError(
                    f'until is {self.until!r}; it is "started", "finished" or a number of seconds'
                )
            check_seconds("until", self.until, above_zero=True)
            if self.until > _MOST_SECONDS:
                raise ValueError(f"until is {self.until!r}; it is at most a year, {_MOST_SECONDS} seconds")
        check_seconds("delay", self.delay)
        if self.on_taken == "debounce" and not (self.delay and self.until == "started"):
            raise ValueError('to debounce is written debounce(5, key="document")')

    @property
    def period_ms(self) -> int:
        """How long the key is taken where that is a time, ms; else 0."""
        return 0 if isinstance(self.until, str) else max(1, round(self.until * 1000))


def unique(
    *, key: Key | None = None, until: Until | float = "finished", on_taken: OnTaken = "existing"
) -> Unique:
    """One job of a key: until it has "started" or "finished", or one in `until` seconds.

    `on_taken`: "existing" returns the job that is there, "refuse" raises JobExists, "replace" gives a job that waits
    the new arguments.
    """
    return Unique(key, until, on_taken)


def debounce(quiet: float, *, key: Key | None = None) -> Unique:
    """The last one wins: each enqueue replaces the one that waits, and it starts when none came for `quiet` seconds."""
    return Unique(key, "started", "debounce", quiet)


def throttle(period: float, *, key: Key | None = None) -> Unique:
    """The first one wins: for `period` seconds each further enqueue returns the job that is there."""
    return Unique(key, period, "existing")
