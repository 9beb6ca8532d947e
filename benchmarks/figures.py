"""The arithmetic of the benchmark: from what was seen to a figure. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from statistics import median
from typing import Self

Figures = Mapping[str, float]

#: Commands of an idle worker that are closer than this, in seconds, belong to one poll of the queue.
ONE_LOOK = 0.05
#: With fewer polls than this, no interval between polls can be computed.
FEW_LOOKS = 3


@dataclass(frozen=True, slots=True)
class Counters:
    """The counters of a server at one moment.

    `commands` counts every execution, also those inside scripts and transactions (INFO commandstats). `reads` counts
    the times that the server read from any connection (INFO stats, total_reads_processed): a request is one read, and
    so is a whole pipeline or transaction that fits 16 KiB, which makes reads the network round trips, or a little
    more. `cpu` is the server's user and system time in seconds. `sent` and `received` are the bytes that clients sent
    and received.
    """

    commands: int
    reads: int
    cpu: float
    sent: int = 0
    received: int = 0

    def since(self, earlier: Self, *, own: int) -> "Counters":
        """Subtract `earlier`, and the harness's `own` requests, though not their bytes."""
        return Counters(
            self.commands - earlier.commands - own,
            self.reads - earlier.reads - own,
            self.cpu - earlier.cpu,
            self.sent - earlier.sent,
            self.received - earlier.received,
        )


def completion_rate(samples: Sequence[tuple[float, int]], total: int) -> float:
    """Jobs a second from the first completion that was seen to the last.

    `samples` are (seconds, jobs left) in order; the first has all `total` left, the last none. Jobs that all ended
    between two samples count from the one before.
    """
    start = next(at for at, left in reversed(samples) if left == total)
    seen, left_then = next((at, left) for at, left in samples if left < total)
    end = next(at for at, left in samples if left == 0)
    return left_then / (end - seen) if left_then else total / (end - start)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the nearest-rank percentile: the smallest value that `share` (0 to 1) of all values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, ceil(share * len(ordered)) - 1)]


def steady_rate(times: Sequence[float], window: float) -> float:
    """Events a second of something that looks at intervals, from when its events happened, in order.

    Whole intervals are counted, from the first look to just before the last: a short window that happens to hold a
    look more, or one less, gives the same rate.
    """
    looks = [at for before, at in zip([float("-inf"), *times], times, strict=False) if at - before > ONE_LOOK]
    if len(looks) < FEW_LOOKS:
        return len(times) / window
    return sum(looks[0] <= at < looks[-1] for at in times) / (looks[-1] - looks[0])


def caused(events: int, calm_rate: float, seconds: float, causes: int) -> float:
    """Events that each cause had, of `events` in `seconds` of which some would have happened anyway."""
    return (events - calm_rate * seconds) / causes


def medians(measured: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Return each figure's median over its rounds."""
    return {name: median(values) for name, values in measured.items()}
