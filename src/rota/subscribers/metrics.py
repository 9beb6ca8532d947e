"""Counts every attempt by job and outcome, how long it ran and how long it waited, for a scrape to read.

Names come from the registry of jobs. Whatever else a payload says it is counts as `other`, so that strangers cannot
make the series grow.
"""

from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING

from rota.event import Event, EventType
from rota.series import SECONDS
from rota.tally import OTHER, Buckets, Labels, Spread, Tally

if TYPE_CHECKING:
    from rota.metrics import Metrics

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

    def wants(self, event_type: EventType) -> bool:
        """Starts and ends."""
        return event_type in _WANTED

    def __call__(self, event: Event) -> None:
        """One more."""
        kind = event.type
        counts = self._jobs.get((event.queue, event.task)) or self._other(event.queue, event.task)
        if kind is EventType.STARTED:
            counts.waits.add(event.waited or 0.0)
        elif kind is EventType.COMPLETED:
            counts.completed += 1
            counts.durations.add(event.duration or 0.0)
        elif kind in counts.ended:
            counts.ended[kind] += 1
            if kind is EventType.DEAD and event.reason in _NEVER_RAN:
                if event.reason in _REJECTED:
                    self.rejected.add((event.queue, event.reason))
            elif event.duration is not None:
                counts.durations.add(event.duration)

    def lost(self, queue: str, task: str) -> None:
        """An attempt ended that was this worker's no longer; what it came to counts for nothing."""
        counts = self._jobs.get((queue, task)) or self._other(queue, task)
        counts.ended[EventType.LOST] += 1

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

    def _other(self, queue: str, task: str) -> "_Counts":
        return self._jobs.setdefault((queue, task if task in self._builtin else OTHER), _Counts())

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
