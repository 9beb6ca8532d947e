"""Tallies: plain numbers, counted while jobs run, that cost next to nothing to add to.

One thread adds, and any thread may read at any time: neither a scrape nor a job ever waits for the other.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from operator import add
from typing import NamedTuple

#: The label for every unknown name: the values of a label must not grow with the payloads that strangers write.
OTHER = "other"

#: A list of values this long is sorted into the buckets.
_TIDY = 500

#: The values of a series' labels, in their order.
Labels = tuple[str, ...]


class Tally:
    """Counts by labels, such as `(queue, task)`.

    Label sets in `begin` start at 0. Otherwise a counter's first scrape would already read 1, and `rate()` would miss
    that increase.
    """

    __slots__ = ("_counts",)

    def __init__(self, begin: Iterable[Labels] = ()) -> None:
        self._counts: defaultdict[Labels, float] = defaultdict(float)
        self._counts.update(dict.fromkeys(begin, 0.0))

    def add(self, labels: Labels, number: float = 1) -> None:
        self._counts[labels] += number

    def read(self) -> list[tuple[Labels, float]]:
        return list(self._counts.items())


class Spread(NamedTuple):
    """How the values under one set of labels are distributed: the number of values in each bucket, and their sum."""

    labels: Labels
    counts: tuple[int, ...]
    sum: float


def places(fine: Sequence[float], coarse: Sequence[float]) -> tuple[int, ...]:
    """Return where each bucket of fine bounds lies among those of coarse bounds, which are among the fine ones."""
    return (*(bisect_left(coarse, bound) for bound in fine), len(coarse))


def coarser(counts: Sequence[int], where: Sequence[int]) -> tuple[int, ...]:
    """Return counts of fine buckets as counts of coarse ones, by the places that `places` told."""
    sums = [0] * (where[-1] + 1)
    for place, count in zip(where, counts, strict=True):
        sums[place] += count
    return tuple(sums)


class Buckets:
    """Values counted by size. `bounds` are upper bounds, in rising order; the last bucket has no bound.

    To add values is to extend a list, and a long list is sorted into the buckets at once. That costs a tenth of
    searching each value's bucket.
    """

    __slots__ = ("_bounds", "_state", "add")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        # One attribute, so that a reader in another thread sees each value once: in the buckets, or still in the list.
        self._state = _State((0,) * (len(bounds) + 1), 0.0, [])
        #: Adds the values of an iterable.
        self.add = self._state.values.extend

    def spread(self, labels: Labels) -> Spread:
        """Return what was added so far, under these labels."""
        counts, total, _ = self._sorted()
        return Spread(labels, counts, total)

    def tidy(self) -> None:
        """Sort what was added into the buckets, if it is much; the thread that adds calls this now and then."""
        if len(self._state.values) >= _TIDY:
            self._state = self._sorted()
            self.add = self._state.values.extend

    def _sorted(self) -> "_State":
        counts, total, added = self._state
        values = sorted(added)
        below = [0, *(bisect_right(values, bound) for bound in self._bounds), len(values)]
        more = (high - low for low, high in pairwise(below))
        return _State(tuple(map(add, counts, more)), total + sum(values), [])

    def __len__(self) -> int:
        counts, _, added = self._state
        return sum(counts) + len(added)


class _State(NamedTuple):
    counts: tuple[int, ...]
    sum: float
    values: list[float]
