"""How many jobs arrive at a queue and how long a job takes, worked out from samples of its counters.

A job arrives when it comes to be due. Each execution that ended has arrived, and so has each job that waits or runs:
arrivals are the executions that ended, plus the growth of the backlog. So enqueues need not be counted, which stock
clients make too.
"""

from collections import deque
from dataclasses import dataclass

#: Means are taken over this time, in seconds.
WINDOW = 120.0
#: With fewer executions than this in the window, the mean time of a job is taken over all executions ever.
ENOUGH = 10


@dataclass(frozen=True, slots=True)
class Sample:
    """A queue's counters at one moment.

    :param at: when, in seconds of the server's clock.
    :param ended: executions that ended since ever.
    :param busy: the slot-seconds that they took.
    :param ready: jobs that wait for a slot now.
    :param active: jobs that run now.
    """

    at: float
    ended: int
    busy: float
    ready: int
    active: int

    @property
    def backlog(self) -> int:
        """The jobs that have arrived and not ended."""
        return self.ready + self.active


class History:
    """The samples of one queue over the last `window` seconds."""

    def __init__(self, window: float = WINDOW) -> None:
        self._window = window
        self._samples: deque[Sample] = deque()

    def add(self, sample: Sample) -> None:
        """Add the latest sample. Counters that went back (an emptied Redis) begin a new history."""
        last = self._samples[-1] if self._samples else None
        if last and (sample.ended < last.ended or sample.busy < last.busy or sample.at < last.at):
            self._samples.clear()
        self._samples.append(sample)
        # The first sample stays at the window's far end or just before it.
        while len(self._samples) > 1 and self._samples[1].at <= sample.at - self._window:
            self._samples.popleft()

    def job_seconds(self, otherwise: float) -> float:
        """Return how long a job keeps its slot, in seconds; `otherwise` while no job has ended."""
        if not self._samples:
            return otherwise
        first, last = self._samples[0], self._samples[-1]
        ended = last.ended - first.ended
        if ended >= ENOUGH:
            return (last.busy - first.busy) / ended
        return last.busy / last.ended if last.ended else otherwise

    def arrivals(self, job_seconds: float) -> float:
        """Return the arrivals a second, as a mean over the window, or over a job's time if that is longer.

        The jobs that ran at the window's beginning tell what came before it: slots in which jobs of that length run
        are filled at a certain rate. That counts until the window is full, and from then on for jobs that take longer
        than the window.
        """
        if not self._samples:
            return 0.0
        first, last = self._samples[0], self._samples[-1]
        seen = last.at - first.at
        arrived = max(0, last.ended - first.ended + last.backlog - first.backlog)
        if job_seconds <= 0:
            return arrived / max(self._window, seen)
        before = first.active * max(0.0, 1 - seen / job_seconds)
        rate = (arrived + before) / max(self._window, seen, job_seconds)
        return rate if seen >= self._window else max(rate, first.active / job_seconds)
