"""Counts the jobs that this process enqueued, by queue and job: those of its clients, and what its workers fan out."""

from collections import Counter
from collections.abc import Iterable, Sequence
from threading import Lock

from rota.seams import Outgoing
from rota.telemetry.metrics.tally import OTHER, Labels


class Names:
    """The jobs that may be named in labels: those that the code of this process declares, as (queue, task)."""

    def __init__(self, declared: Iterable[Labels] = ()) -> None:
        self._declared: set[Labels] = set()
        self._queues: set[str] = set()
        self.learn(declared)

    def learn(self, declared: Iterable[Labels]) -> None:
        """Add jobs to those that may be named."""
        self._declared.update(declared)
        self._queues = {queue for queue, _ in self._declared}

    def label(self, queue: str, task: str) -> Labels:
        """Return the labels of a job of this name, with `other` in place of what is not known."""
        if (queue, task) in self._declared:
            return (queue, task)
        return (queue if queue in self._queues else OTHER, OTHER)


class EnqueueCounter:
    """A sender: counts each job once, when it was created. Clients in several threads may share it.

    A job that is enqueued by its name alone, or that a plan names, counts under its name only if it is one of `names`.
    """

    def __init__(self) -> None:
        self.names = Names()
        # A job of 200 costs 0.1 µs, as C adds them up, and one alone 0.3.
        self._counts = Counter[Labels]()
        self._lock = Lock()

    def created(self, jobs: Sequence[Outgoing]) -> None:
        label = self.names.label
        if len(jobs) == 1:
            job = jobs[0]
            with self._lock:
                self._counts[(job.queue, job.task) if job.declared else label(job.queue, job.task)] += 1
            return
        labels = [(job.queue, job.task) if job.declared else label(job.queue, job.task) for job in jobs]
        with self._lock:
            self._counts.update(labels)

    def read(self) -> list[tuple[Labels, float]]:
        """Return the counts so far, which only grow."""
        return [(labels, float(number)) for labels, number in list(self._counts.items())]


#: The counter of this process: one for all its clients and workers, since a scrape shows one number for a process.
ENQUEUED = EnqueueCounter()
