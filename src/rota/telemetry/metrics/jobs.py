"""Counts every attempt by job and outcome, and how long it ran and waited, for a scrape to read.

The labels are the names in the registry of jobs. Any other name in a payload counts as `other`, so that payloads of
unknown jobs cannot make the series grow.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from rota.errors.payloads import REFUSALS
from rota.model.event import Event, EventType
from rota.model.history.scale import BOUNDS
from rota.seams import Counting, Selective
from rota.telemetry.metrics.series import SECONDS
from rota.telemetry.metrics.tally import OTHER, Buckets, Labels, Spread, Tally, coarser, places

if TYPE_CHECKING:
    from rota.telemetry.metrics.page import Metrics

#: The ends of attempts, but for COMPLETED.
_OUTCOMES = (
    EventType.RETRIED,
    EventType.DEAD,
    EventType.CANCELLED,
    EventType.SNOOZED,
    EventType.INTERRUPTED,
    EventType.LOST,
)
#: Times are counted once, in buckets that both the histograms and the history of queues are made of.
_FINE = tuple(sorted({*SECONDS, *BOUNDS}))
_HISTOGRAM, OF_HISTORY = places(_FINE, SECONDS), places(_FINE, BOUNDS)
_WANTED = frozenset({EventType.STARTED, EventType.COMPLETED, *_OUTCOMES})
#: Reasons of jobs that died because the worker could not read, find or validate them.
_REJECTED = frozenset({"unreadable", "unknown", "invalid"}) | REFUSALS
#: Reasons of jobs that died before their handler ran.
_NEVER_RAN = _REJECTED | {"expired", "lost"}


class JobMetrics(Selective, Counting):
    """A subscriber. `jobs`, (queue, task) each, have series of their own, which begin at 0.

    Jobs that may run on any queue, by their names in `anywhere`, have series once they run: the engine's own, and those
    that an enqueue put on another queue than theirs.
    """

    def __init__(self, jobs: Iterable[Labels], anywhere: Collection[str] = ()) -> None:
        self._jobs = {job: JobCounts() for job in jobs}
        self._anywhere = anywhere
        self.rejected = Tally()
        #: Most events are of these types, and are counted without being made.
        self.counters = {EventType.STARTED: self.started, EventType.COMPLETED: self.completed}

    def wants(self, event_type: EventType) -> bool:
        return event_type in _WANTED

    def __call__(self, event: Event) -> None:
        """Count the start or the end of an attempt."""
        if event.type is EventType.STARTED:
            self.started(event.queue, event.task, (event.waited or 0.0,))
        elif event.type is EventType.COMPLETED:
            self.completed(event.queue, event.task, (event.duration or 0.0,))
        elif event.type in _OUTCOMES:
            self._ended(event)

    def started(self, queue: str, task: str, waited: Sequence[float]) -> None:
        """Count the starts of attempts; `waited` are the seconds that they waited."""
        (self._jobs.get((queue, task)) or self._of(queue, task)).waits.add(waited)

    def completed(self, queue: str, task: str, durations: Sequence[float]) -> None:
        """Count attempts that succeeded; `durations` are the seconds that they took."""
        counts = self._jobs.get((queue, task)) or self._of(queue, task)
        counts.completed += len(durations)
        counts.durations.add(durations)

    def lost(self, queue: str, task: str) -> None:
        """Count an attempt that ended after the worker had lost its claim, whatever its outcome was."""
        self._of(queue, task).ended[EventType.LOST] += 1

    def tidy(self) -> None:
        """Sort the collected values into buckets; to be called now and then, in the thread of the events."""
        for counts in self._jobs.values():
            counts.durations.tidy()
            counts.waits.tidy()

    def read(self) -> list[tuple[Labels, "JobCounts"]]:
        """Return the counts of each job so far, by (queue, task)."""
        return list(self._jobs.items())

    def expose(self, metrics: "Metrics") -> None:
        """Provide these counts to `metrics`, which reads them at every scrape."""
        metrics.provide("arq_jobs_started_total", self._started)
        metrics.provide("arq_jobs_finished_total", self._finished)
        metrics.provide("arq_jobs_rejected_total", self.rejected.read)
        metrics.provide_histogram("arq_job_duration_seconds", self._durations)
        metrics.provide_histogram("arq_job_wait_seconds", self._waits)

    def _ended(self, event: Event) -> None:
        counts = self._of(event.queue, event.task)
        counts.ended[event.type] += 1
        if event.type is EventType.DEAD and event.reason in _NEVER_RAN:
            if event.reason in _REJECTED:
                self.rejected.add((event.queue, event.reason))
        elif event.duration is not None:
            counts.durations.add((event.duration,))

    def _of(self, queue: str, task: str) -> "JobCounts":
        known = self._jobs.get((queue, task))
        return known or self._jobs.setdefault((queue, task if task in self._anywhere else OTHER), JobCounts())

    def _started(self) -> Iterator[tuple[Labels, float]]:
        for labels, counts in self.read():
            yield labels, len(counts.waits)

    def _finished(self) -> Iterator[tuple[Labels, float]]:
        for labels, counts in self.read():
            yield (*labels, EventType.COMPLETED), counts.completed
            for outcome, number in counts.ended.items():
                yield (*labels, outcome), number

    def _durations(self) -> Iterator[Spread]:
        for labels, counts in self.read():
            if len(counts.durations):
                yield _in_histogram(counts.durations.spread(labels))

    def _waits(self) -> Iterator[Spread]:
        for labels, counts in self.read():
            if len(counts.waits):
                yield _in_histogram(counts.waits.spread(labels))


def _in_histogram(spread: Spread) -> Spread:
    return spread._replace(counts=coarser(spread.counts, _HISTOGRAM))


class JobCounts:
    """The counts of one job; the number of its waits is the number of its starts."""

    __slots__ = ("completed", "durations", "ended", "waits")

    def __init__(self) -> None:
        self.completed = 0
        self.ended: dict[str, int] = dict.fromkeys(map(str, _OUTCOMES), 0)
        self.durations = Buckets(_FINE)
        self.waits = Buckets(_FINE)
