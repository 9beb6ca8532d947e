"""How many requests of a key of the API are let in: a number of them in a time, and a number at once."""

import math
import re
from dataclasses import dataclass

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_TEXT = re.compile(r"([1-9][0-9]{0,6})/([smhd])", re.ASCII)
#: The most requests that a rate, or a burst, can have.
MOST = 1_000_000


@dataclass(frozen=True, slots=True)
class RequestRate:
    """A rate of requests: `most` in a second, a minute, an hour or a day (`per`: s, m, h, d).

    :param burst: how many may come at once, after as long a rest.
    """

    most: int
    per: str
    burst: int

    @classmethod
    def parse(cls, text: str, burst: int | None = None) -> "RequestRate":
        """Return the rate that a text such as `100/s` says; without a burst as many at once. Raises ValueError."""
        found = _TEXT.fullmatch(text)
        if not found or int(found[1]) > MOST:
            raise ValueError(f"the rate {text[:40]!r} is not written as 100/s, 100/m, 100/h or 100/d")
        most = int(found[1])
        at_once = most if burst is None else burst
        if type(at_once) is not int or not 1 <= at_once <= MOST:
            raise ValueError(f"the burst is {at_once!r}; it is a number of requests, 1 to {MOST}")
        return cls(most, found[2], at_once)

    def __str__(self) -> str:
        return f"{self.most}/{self.per}"

    @property
    def interval_us(self) -> int:
        """The time from one request to the next at an even pace, in microseconds."""
        return max(1, round(_SECONDS[self.per] * 1_000_000 / self.most))

    @property
    def window(self) -> int:
        """The time after which a whole burst may come again, in whole seconds."""
        return math.ceil(self.interval_us * self.burst / 1_000_000)


def check_most_jobs(most: int) -> int:
    """Return a quota of jobs. Raises ValueError for a number that is none."""
    if type(most) is not int or not 1 <= most <= MOST:
        raise ValueError(f"the quota is {most!r}; it is a number of jobs, 1 to {MOST}")
    return most
