"""What a queue is asked for, worked out from counters that are looked at again and again: arrivals, and time a job.

An execution that ended and one that waits or runs have both arrived: arrivals are what ended, and by how much more is
there now. So nobody has to count at the door, where stock clients come in too.
"""

from collections import deque
from dataclasses import dataclass

#: Means are taken over this, seconds.
WINDOW = 120.0
#: With fewer executions than this, the time a job takes is that of all there ever were.
ENOUGH = 10


@dataclass(frozen=True, slots=True)
class Sample:
    """The counters of a queue at a time, seconds: executions ended and their slot-seconds since ever; ready; active."""

    at: float
    ended: int
    busy: float
    ready: int
    active: int

    @property
    def backlog(self) -> int:
        """What has arrived and not ended."""
        return self.ready + self.active


class Demand:
    """The samples of the last `window` seconds, and what follows from them."""

    def __init__(self, window: float = WINDOW) -> None:
        self._window = window
        self._samples: deque[Sample] = deque()

    def add(self, sample: Sample) -> None:
        """The latest sample. Counters that went back (an emptied Redis) begin a new history."""
        last = self._samples[-1] if self._samples else None
        if last and (sample.ended < last.ended or sample.busy < last.busy or sample.at < last.at):
            self._samples.clear()
        self._samples.append(sample)
        # The first one stays at the window's far end or just before it.
        while len(self._samples) > 1 and self._samples[1].at <= sample.at - self._window:
            self._samples.popleft()

    def job_seconds(self, otherwise: float) -> float:
        """How long a job keeps its slot, seconds; `otherwise` while none has ended."""
        if not self._samples:
            return otherwise
        first, last = self._samples[0], self._samples[-1]
        ended = last.ended - first.ended
        if ended >= ENOUGH:
            return (last.busy - first.busy) / ended
        return last.busy / last.ended if last.ended else otherwise

    def arrivals(self, job_seconds: float) -> float:
        """Executions that come to be due, a second: a mean over the window, or over a job's time if that is longer.

        What ran at the window's beginning says what came before it: slots in which jobs of that length run are filled
        at such a rate. That counts until the window is full, and after it for jobs that are longer than the window.
        """
        if not self._samples:
            return 0.0
        first, last = self._samples[0], self._samples[-1]
        seen = last.at - first.at
        came = max(0, last.ended - first.ended + last.backlog - first.backlog)
        if job_seconds <= 0:
            return came / max(self._window, seen)
        before = first.active * max(0.0, 1 - seen / job_seconds)
        rate = (came + before) / max(self._window, seen, job_seconds)
        return rate if seen >= self._window else max(rate, first.active / job_seconds)
