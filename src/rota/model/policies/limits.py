"""Limits of a job or a queue: how many jobs may start in a time (a rate), and how many may run at once (slots).

Rates are enforced by GCRA, the leaky bucket that stores one number for each key: jobs start at an even pace, up to
`burst` of them at once after a pause.
"""

import math
import re
from dataclasses import dataclass
from typing import Any, Self

from rota.names import check_name
from rota.units import InvalidDuration, parse_duration

#: The name of an argument or of a part of one (`order.customer`), or several of these.
Key = str | tuple[str, ...]

_MOST = 1_000_000
_DAY = 86_400
#: The fraction of a rate's time by which a start may come early, so that a late start does not lower the rate, and one
#: step may claim several jobs. The pace is slower by the same fraction, so no window of the time exceeds the limit.
_SLACK = 0.01
_WRITTEN = re.compile(r"(?P<most>\d+) ?/ ?(?P<per>[^,]+?)(?:, ?burst ?= ?(?P<burst>\d+))?", re.ASCII)


class InvalidRate(ValueError):
    """Raised for text that is not written as a rate."""


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At most `most` starts in any `per` seconds, evenly spaced, with up to `burst` of them at once after a pause.

    `key` names the arguments whose values have a count each (None: one count for the job). Jobs with the same `name`
    share the count (None: the job's own). Raises ValueError or TypeError for an impossible value.
    """

    most: int
    per: float
    burst: int = 1
    key: Key | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        _check_count("a rate limit's number of jobs", self.most)
        _check_count("burst", self.burst)
        if isinstance(self.per, bool) or not isinstance(self.per, int | float) or not 0 < self.per <= _DAY:
            raise ValueError(f"a rate limit's time is {self.per!r}; it is a number of seconds, at most a day")
        _check_key(self.key, self.name)

    @classmethod
    def parse(cls, text: object) -> Self:
        """Read a limit as it is written in a variable: `10/1s`, `100/m,burst=20`.

        Raises InvalidRate for what is not written so, ValueError for a rate that is not possible.
        """
        written = _WRITTEN.fullmatch(text.strip()) if isinstance(text, str) else None
        if written is None:
            raise InvalidRate("it is not written as a rate")
        per = written["per"].strip()
        try:
            seconds = parse_duration(per if per[:1].isdigit() else f"1{per}")
        except InvalidDuration as error:
            raise InvalidRate("it is not written as a rate") from error
        return cls(int(written["most"]), seconds, int(written["burst"] or 1))

    @property
    def interval_us(self) -> int:
        """The time between two starts at an even pace, in microseconds."""
        return max(1, math.ceil(self.per * (1 + _SLACK) / self.most * 1_000_000))

    @property
    def tolerance_us(self) -> int:
        """The time by which a start may be earlier than at an even pace, in microseconds."""
        return (self.burst - 1) * self.interval_us + round(_SLACK * self.per * 1_000_000)

    @property
    def figures(self) -> str:
        """The limit as the scripts read it."""
        return f"{self.interval_us} {self.tolerance_us}"

    def __str__(self) -> str:
        burst = f",burst={self.burst}" if self.burst > 1 else ""
        return f"{self.most}/{self.per:g}s{burst}"


@dataclass(frozen=True, slots=True)
class SlotLimit:
    """At most `most` jobs running at once, over all processes; `key` and `name` as in RateLimit."""

    most: int
    key: Key | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        _check_count("a limit's number of jobs", self.most)
        _check_key(self.key, self.name)

    @property
    def figures(self) -> str:
        """The limit as the scripts read it."""
        return str(self.most)


def per_second(most: int, *, burst: int = 1, key: Key | None = None, name: str | None = None) -> RateLimit:
    """Limit a job to `most` starts a second: `limit=per_second(10, key="tenant")`."""
    return RateLimit(most, 1.0, burst, key, name)


def per_minute(most: int, *, burst: int = 1, key: Key | None = None, name: str | None = None) -> RateLimit:
    """Limit a job to `most` starts a minute."""
    return RateLimit(most, 60.0, burst, key, name)


def per_hour(most: int, *, burst: int = 1, key: Key | None = None, name: str | None = None) -> RateLimit:
    """Limit a job to `most` starts an hour."""
    return RateLimit(most, 3600.0, burst, key, name)


def at_most(most: int, *, key: Key | None = None, name: str | None = None) -> SlotLimit:
    """Limit a job to `most` running at once, fleet-wide: `concurrency=at_most(2, key="customer")`."""
    return SlotLimit(most, key, name)


def check_key(key: Any) -> None:
    """Raise TypeError or ValueError unless `key` names arguments: "user", "order.customer", ("user", "kind")."""
    parts = key if isinstance(key, tuple) else (key,)
    if not parts or not all(isinstance(part, str) for part in parts):
        raise TypeError(
            f'a key is {key!r}; it is the name of an argument, as "user", or several: ("user", "kind")'
        )
    for part in parts:
        if not all(name.isidentifier() or name.isdigit() for name in part.split(".")):
            raise ValueError(f'{part!r} names no argument; a key is written "user", or "order.customer"')


def _check_key(key: Any, name: str | None) -> None:
    if key is not None:
        check_key(key)
    if name is not None:
        check_name("limit", name)


def _check_count(what: str, value: Any) -> None:
    if type(value) is not int or not 1 <= value <= _MOST:
        raise ValueError(f"{what} is {value!r}; it is a whole number from 1 to {_MOST}")
