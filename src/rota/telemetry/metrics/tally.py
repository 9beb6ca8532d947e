"""Tallies: what is counted while jobs run, as plain numbers that cost next to nothing to add to.

One thread adds, and any may read at any time: a scrape waits for nobody, and nobody for it. Where several threads add,
`SharedTally` has them take turns.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from operator import add
from threading import Lock
from typing import NamedTuple

#: What stands for every name that is not known: a label's values must not grow with what strangers send.
OTHER = "other"

#: So many values are sorted into buckets at once.
_TIDY = 500

#: The values of a series' labels, in their order.
Labels = tuple[str, ...]


class Tally:
    """Counts by labels, such as `(queue, task)`. Those of `begin` are there from the beginning, at 0.

    A rate is read from what was added between two scrapes: a counter that first shows as 1 never rose.
    """

    __slots__ = ("_counts",)

    def __init__(self, begin: Iterable[Labels] = ()) -> None:
        self._counts: defaultdict[Labels, float] = defaultdict(float)
        self._counts.update(dict.fromkeys(begin, 0.0))

    def add(self, labels: Labels, number: float = 1) -> None:
        """So many more."""
        self._counts[labels] += number

    def read(self) -> list[tuple[Labels, float]]:
        """The counts so far."""
        return list(self._counts.items())


class SharedTally(Tally):
    """One that several threads may add to."""

    __slots__ = ("_turn",)

    def __init__(self) -> None:
        super().__init__()
        self._turn = Lock()

    def add(self, labels: Labels, number: float = 1) -> None:
        """So many more."""
        with self._turn:
            super().add(labels, number)


class Spread(NamedTuple):
    """How the values under some labels were spread: how many fell into each bucket, and their sum."""

    labels: Labels
    counts: tuple[int, ...]
    sum: float


class Buckets:
    """Values counted by how large they are. `bounds` are upper ones, in rising order; the last bucket has none.

    Adding is appending to a list, which is sorted into the buckets when it is long: a tenth of what a search for each
    value's bucket costs.
    """

    __slots__ = ("_bounds", "_state", "add")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        # In one value, so that whoever reads sees each value once: in the buckets, or still in the list.
        self._state = _State((0,) * (len(bounds) + 1), 0.0, [])
        #: One more value.
        self.add = self._state.values.append

    def spread(self, labels: Labels) -> Spread:
        """What there is so far, under these labels."""
        counts, total, _ = self._sorted()
        return Spread(labels, counts, total)

    def tidy(self) -> None:
        """Sort into the buckets what was added; to be called now and then by the thread that adds."""
        if len(self._state.values) >= _TIDY:
            self._state = self._sorted()
            self.add = self._state.values.append

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


class Names:
    """The jobs that may be named in a label: those that the code declares, (queue, task) each."""

    def __init__(self, known: Iterable[Labels] = ()) -> None:
        self._known: set[Labels] = set()
        self._queues: set[str] = set()
        self.learn(known)

    def learn(self, known: Iterable[Labels]) -> None:
        """Know these too."""
        self._known.update(known)
        self._queues = {queue for queue, _ in self._known}

    def label(self, queue: str, task: str) -> Labels:
        """The labels for a job of this name; a stranger's are `other`."""
        if (queue, task) in self._known:
            return (queue, task)
        return (queue if queue in self._queues else OTHER, OTHER)
