"""What this process enqueued, by queue and job: one count over its clients, and what its workers fan out."""

from collections import Counter
from collections.abc import Iterable

from rota.seams import Outgoing
from rota.telemetry.metrics.tally import Names, SharedTally

ENQUEUED = SharedTally()
#: What is known by name alone (a job that was enqueued so, the items of a plan) counts under it if it is among these.
JOBS = Names()


def count(jobs: Iterable[Outgoing]) -> None:
    """These were put, whose names are those of jobs that this process has in its code."""
    for labels, number in Counter((job.queue, job.task) for job in jobs).items():
        ENQUEUED.add(labels, number)
