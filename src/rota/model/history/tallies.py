"""What was counted of a queue in some time, and the text as which it lies in Redis.

A text has three parts, `<outcomes>|<waits>|<run times>`, each with the numbers that are not 0, by their places. The
place of a number stands before it, and is left out where the number before it is its neighbour. Numbers have 26 as
their base: digits are letters from a, which is 0, and the last one is a capital. So `0buHE5B` is 1203 at place 0, 4 at
place 1 and 1 at place 5. A minute takes half of what it would in decimals, and an empty one nothing. The key of an hour
has a line for each minute in which something happened: `<minute> <text>`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, reduce
from typing import Self

#: The outcomes of attempts, each at its place.
OUTCOMES = ("completed", "retried", "dead", "cancelled", "lost", "snoozed", "interrupted")
#: The highest place that is read.
_FURTHEST = 99
_BASE = 26

_LINE = re.compile(r"^(\d\d?) (\w*)\|(\w*)\|(\w*)$", re.MULTILINE | re.ASCII)
_RUN = re.compile(r"(?<!\d)(\d{1,2})([a-zA-Z]+)")
_NUMBER = re.compile(r"[a-z]{0,9}[A-Z]")

Counts = dict[int, int]


@dataclass(frozen=True, slots=True)
class Tallies:
    """The counts of a queue, by place: outcomes by that in OUTCOMES, waits and run times by that on the scale."""

    outcomes: Counts = field(default_factory=dict)
    waits: Counts = field(default_factory=dict)
    runs: Counts = field(default_factory=dict)

    def add(self, other: "Tallies") -> None:
        """Add the counts of another to these."""
        for own, more in (
            (self.outcomes, other.outcomes),
            (self.waits, other.waits),
            (self.runs, other.runs),
        ):
            if not own:
                own.update(more)
                continue
            for place, number in more.items():
                own[place] = own.get(place, 0) + number

    def __bool__(self) -> bool:
        return any(any(counts.values()) for counts in (self.outcomes, self.waits, self.runs))

    def text(self) -> str:
        """Return the text that `read` reads."""
        return "|".join(map(_text, (self.outcomes, self.waits, self.runs)))

    @classmethod
    def read(cls, outcomes: str, waits: str, runs: str) -> Self:
        """Return the counts of the three parts of a text, and pass over what is none."""
        return cls(_counts(outcomes), _counts(waits), _counts(runs))


def minutes_in(hour: bytes) -> Iterator[tuple[int, Tallies]]:
    """Yield the minutes of an hour's text in which something was counted; lines that are none are passed over."""
    for line in _LINE.finditer(hour.decode("utf-8", "replace")):
        minute, *parts = line.groups()
        if int(minute) < 60:  # noqa: PLR2004 - of an hour
            yield int(minute), Tallies.read(*parts)


def _text(counts: Mapping[int, int]) -> str:
    text: list[str] = []
    following = -1
    for place in sorted(counts):
        if counts[place] > 0:
            text.append(
                _written(counts[place]) if place == following else f"{place}{_written(counts[place])}"
            )
            following = place + 1
    return "".join(text)


def _written(number: int) -> str:
    digits = chr(ord("A") + number % _BASE)
    while number := number // _BASE:
        digits = chr(ord("a") + number % _BASE) + digits
    return digits


def _counts(text: str) -> Counts:
    counts: Counts = {}
    for first, run in _RUN.findall(text):
        place = int(first)
        for digits in _NUMBER.findall(run):
            if place <= _FURTHEST and (number := _number(digits)):
                counts[place] = number
            place += 1
    return counts


@lru_cache(maxsize=_BASE**2 + _BASE)
def _number(digits: str) -> int:
    # Two digits are enough for most numbers of a minute.
    return reduce(lambda number, digit: number * _BASE + ord(digit) - ord("a"), digits.lower(), 0)
