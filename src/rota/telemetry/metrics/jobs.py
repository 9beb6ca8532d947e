"""Counts every attempt by job and outcome, how long it ran and how long it waited, for a scrape to read.

Names come from the registry of jobs. Whatever else a payload says it is counts as `other`, so that strangers cannot
make the series grow.
"""

from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING

from rota.model.event import Event, EventType
from rota.telemetry.metrics.series import SECONDS
from rota.telemetry.metrics.tally import OTHER, Buckets, Labels, Spread, Tally

if TYPE_CHECKING:
    from rota.telemetry.metrics.page import Metrics

#: What attempts end in, but for the usual.
_OUTCOMES = (
    EventType.RETRIED,
    EventType.DEAD,
    EventType.CANCELLED,
    EventType.SNOOZED,
    EventType.INTERRUPTED,
    EventType.LOST,
)
_WANTED = frozenset({EventType.STARTED, EventType.COMPLETED, *_OUTCOMES})
#: Why a job died that was claimed in vain.
_REJECTED = frozenset({"unreadable", "unknown", "invalid"})
#: Why a job died whose handler never ran.
_NEVER_RAN = _REJECTED | {"expired", "lost"}


class JobMetrics:
    """A subscriber. `jobs` are those that have series of their own: (queue, task) each; they begin at 0.

    Those of `builtin`, the engine's own by their names, have them once they run.
    """

    def __init__(self, jobs: Iterable[Labels], builtin: Collection[str] = ()) -> None:
        self._jobs = {job: _Counts() for job in jobs}
        self._builtin = builtin
        self.rejected = Tally()
        #: Most events are of these types, and are counted without being made.
        self.counters = {EventType.STARTED: self.started, EventType.COMPLETED: self.completed}

    def wants(self, event_type: EventType) -> bool:
        """Starts and ends."""
        return event_type in _WANTED

    def __call__(self, event: Event) -> None:
        """One more."""
        if event.type is EventType.STARTED:
            self.started(event.queue, event.task, event.waited or 0.0)
        elif event.type is EventType.COMPLETED:
            self.completed(event.queue, event.task, event.duration or 0.0)
        elif event.type in _OUTCOMES:
            self._ended(event)

    def started(self, queue: str, task: str, waited: float) -> None:
        """One more attempt, after so many seconds."""
        self._of(queue, task).waits.add(waited)

    def completed(self, queue: str, task: str, duration: float) -> None:
        """One of them went well, in so many seconds."""
        counts = self._of(queue, task)
        counts.completed += 1
        counts.durations.add(duration)

    def lost(self, queue: str, task: str) -> None:
        """An attempt ended that was this worker's no longer; what it came to counts for nothing."""
        self._of(queue, task).ended[EventType.LOST] += 1

    def tidy(self) -> None:
        """Make room for more; to be called now and then, in the thread of the events."""
        for counts in self._jobs.values():
            counts.durations.tidy()
            counts.waits.tidy()

    def expose(self, metrics: "Metrics") -> None:
        """Give these counts to every scrape."""
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
            counts.durations.add(event.duration)

    def _of(self, queue: str, task: str) -> "_Counts":
        known = self._jobs.get((queue, task))
        return known or self._jobs.setdefault((queue, task if task in self._builtin else OTHER), _Counts())

    def _started(self) -> Iterator[tuple[Labels, float]]:
        for labels, counts in list(self._jobs.items()):
            yield labels, len(counts.waits)

    def _finished(self) -> Iterator[tuple[Labels, float]]:
        for labels, counts in list(self._jobs.items()):
            yield (*labels, EventType.COMPLETED), counts.completed
            for outcome, number in counts.ended.items():
                yield (*labels, outcome), number

    def _durations(self) -> Iterator[Spread]:
        for labels, counts in list(self._jobs.items()):
            if len(counts.durations):
                yield counts.durations.spread(labels)

    def _waits(self) -> Iterator[Spread]:
        for labels, counts in list(self._jobs.items()):
            if len(counts.waits):
                yield counts.waits.spread(labels)


class _Counts:
    """What is counted of one job; its starts are its waits."""

    __slots__ = ("completed", "durations", "ended", "waits")

    def __init__(self) -> None:
        self.completed = 0
        self.ended: dict[str, int] = dict.fromkeys(map(str, _OUTCOMES), 0)
        self.durations = Buckets(SECONDS)
        self.waits = Buckets(SECONDS)
