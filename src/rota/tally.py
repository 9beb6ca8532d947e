"""Tallies: what is counted while jobs run, as plain numbers that cost next to nothing to add to.

A tally is written by whoever counts and read by whoever scrapes, from another thread. Writers take turns, which matters
only where several threads count; readers wait for nobody, and nobody for them.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from threading import Lock
from typing import NamedTuple

#: What stands for every name that is not known: a label's values must not grow with what strangers send.
OTHER = "other"

#: The values of a series' labels, in their order.
Labels = tuple[str, ...]


class Tally:
    """Counts by labels, such as `(queue, task)`."""

    __slots__ = ("_counts", "_lock")

    def __init__(self) -> None:
        self._counts: defaultdict[Labels, float] = defaultdict(int)
        self._lock = Lock()

    def add(self, labels: Labels, number: float = 1) -> None:
        """So many more."""
        with self._lock:
            self._counts[labels] += number

    def start(self, labels: Iterable[Labels]) -> None:
        """Show these from the first scrape on, at 0: a rate needs to see where a counter began."""
        with self._lock:
            for one in labels:
                self._counts[one] += 0

    def read(self) -> list[tuple[Labels, float]]:
        """The counts so far. May be called from any thread."""
        return list(self._counts.items())


class Spread(NamedTuple):
    """How the values under some labels were spread: how many fell into each bucket, and their sum."""

    labels: Labels
    counts: tuple[int, ...]
    sum: float


class Spreads:
    """Values by labels, counted into buckets. `bounds` are upper ones, in rising order; the last bucket has none."""

    __slots__ = ("_bounds", "_lock", "_spreads")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._spreads: dict[Labels, tuple[list[int], list[float]]] = {}
        self._lock = Lock()

    def add(self, labels: Labels, value: float) -> None:
        """One more value."""
        with self._lock:
            found = self._spreads.get(labels)
            if found is None:
                found = self._spreads[labels] = ([0] * (len(self._bounds) + 1), [0.0])
            counts, total = found
            counts[bisect_left(self._bounds, value)] += 1
            total[0] += value

    def read(self) -> Iterator[Spread]:
        """The spreads so far. May be called from any thread."""
        for labels, (counts, total) in list(self._spreads.items()):
            yield Spread(labels, tuple(counts), total[0])


class Names:
    """The jobs that may be named in a label: those that the code declares. All others are `other`."""

    def __init__(self, known: Iterable[tuple[str, str]] = ()) -> None:
        self._known = {pair: pair for pair in known}
        self._queues = {queue for queue, _ in self._known}

    def learn(self, known: Iterable[tuple[str, str]]) -> None:
        """Know these too: (queue, task) each."""
        for pair in known:
            self._known[pair] = pair
            self._queues.add(pair[0])

    def of(self, queue: str, task: str) -> Labels:
        """The labels for a job of this name."""
        pair = (queue, task)
        return self._known.get(pair) or (queue if queue in self._queues else OTHER, OTHER)
