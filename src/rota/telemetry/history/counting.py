"""What a process has counted of its queues since it was asked last, from the counts that its metrics are made of.

So a history costs a job nothing: the numbers are there, and only what has changed is looked at.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import sub
from typing import NamedTuple

from rota.model.history.tallies import OUTCOMES, Counts, Tallies
from rota.telemetry.metrics.jobs import OF_HISTORY, JobCounts, JobMetrics
from rota.telemetry.metrics.tally import Labels, coarser

_LOST = OUTCOMES.index("lost")


class _Seen(NamedTuple):
    """The counts of one job as they were at the last time."""

    outcomes: tuple[int, ...] = (0,) * len(OUTCOMES)
    waits: tuple[int, ...] = (0,) * (OF_HISTORY[-1] + 1)
    runs: tuple[int, ...] = (0,) * (OF_HISTORY[-1] + 1)


class Deltas:
    """The differences from one time to the next.

    :param metrics: the counts of the process, which only grow.
    :param lost: returns the lost jobs that the workers of this process have claimed again so far, by queue.
    """

    def __init__(self, metrics: JobMetrics, lost: Callable[[], Mapping[str, int]]) -> None:
        self._metrics = metrics
        self._lost = lost
        self._seen: dict[Labels, _Seen] = {}
        self._seen_lost: dict[str, int] = {}
        self._found: dict[str, Tallies] = {}

    def take(self) -> dict[str, Tallies]:
        """Return what was counted since the last call, by queue; nothing of a queue on which nothing happened."""
        for _ in self._look():
            pass
        return self._taken()

    async def take_in_turns(self) -> dict[str, Tallies]:
        """Return the same, and let the event loop go on after each job; what is cut off here is taken the next time."""
        for _ in self._look():
            await asyncio.sleep(0)
        return self._taken()

    def _look(self) -> Iterator[None]:
        """Find what has changed: a fifth of a millisecond for each job that ran, after which it yields."""
        for labels, counts in self._metrics.read():
            more = self._of_job(labels, counts)
            if more is not None:
                self._found.setdefault(labels[0], Tallies()).add(more)
                yield
        for queue, lost in self._lost().items():
            if more_lost := lost - self._seen_lost.get(queue, 0):
                self._found.setdefault(queue, Tallies()).add(Tallies({_LOST: more_lost}))
                self._seen_lost[queue] = lost

    def _taken(self) -> dict[str, Tallies]:
        found, self._found = self._found, {}
        return {queue: tallies for queue, tallies in found.items() if tallies}

    def _of_job(self, labels: Labels, counts: JobCounts) -> Tallies | None:
        seen = self._seen.get(labels, _Seen())
        outcomes = _outcomes(counts)
        # Most jobs of a process rest.
        if outcomes == seen.outcomes and len(counts.waits) == sum(seen.waits):
            return None
        now = _Seen(
            outcomes,
            coarser(counts.waits.spread(labels).counts, OF_HISTORY),
            coarser(counts.durations.spread(labels).counts, OF_HISTORY),
        )
        self._seen[labels] = now
        return Tallies(*(_difference(new, old) for new, old in zip(now, seen, strict=True)))


def _outcomes(counts: JobCounts) -> tuple[int, ...]:
    # An attempt whose lease was lost ends on two workers: it is counted by the one that takes its job over.
    ended = counts.ended | {"completed": counts.completed, "lost": 0}
    return tuple(ended[name] for name in OUTCOMES)


def _difference(new: Sequence[int], old: Sequence[int]) -> Counts:
    return {place: number for place, number in enumerate(map(sub, new, old)) if number}
