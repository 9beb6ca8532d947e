"""Uniqueness: of the jobs with the same key, one at a time, or one in a period.

The key names arguments; without a key, all arguments together are compared.
"""

from dataclasses import dataclass
from typing import Literal

from rota.model.options import OnTaken, check_on_taken, check_seconds
from rota.model.policies.limits import Key, check_key

Until = Literal["started", "finished"]

_MOST_SECONDS = 365 * 86_400


@dataclass(frozen=True, slots=True)
class Unique:
    """How long a job keeps other jobs with its key from being enqueued, and what an enqueue of such a job does.

    `until` is "started", "finished" (in a final state) or a number of seconds. `delay` is how long each job waits
    before it may start, in seconds. Raises ValueError or TypeError for an impossible value.
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
        """How long the key is taken if `until` is a time, in milliseconds; else 0."""
        return 0 if isinstance(self.until, str) else max(1, round(self.until * 1000))


def unique(
    *, key: Key | None = None, until: Until | float = "finished", on_taken: OnTaken = "existing"
) -> Unique:
    """Allow one job of a key: until it has "started" or "finished", or one in `until` seconds.

    `on_taken` says what a further enqueue does: "existing" returns the job that has the key, "refuse" raises JobExists,
    "replace" gives that job the new arguments if it still waits.
    """
    return Unique(key, until, on_taken)


def debounce(quiet: float, *, key: Key | None = None) -> Unique:
    """Let the last enqueue win: it replaces the waiting job, which starts after `quiet` seconds without another."""
    return Unique(key, "started", "debounce", quiet)


def throttle(period: float, *, key: Key | None = None) -> Unique:
    """Let the first enqueue win: for `period` seconds each further enqueue returns the first job."""
    return Unique(key, period, "existing")
