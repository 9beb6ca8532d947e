"""Working off the queues of a bench: the clock jumps to whatever is due next, and that is run."""

from collections import Counter
from collections.abc import Sequence

from rota.testing.clock import BenchClock
from rota.testing.journal import Journal
from rota.testing.worker import Worker

#: A complaint names this many jobs.
_NAMED = 5


async def drain(
    workers: Sequence[Worker], clock: BenchClock, journal: Journal, *, end: float, max_jobs: int
) -> int:
    """Run what is due until `end` (seconds since 1970); return how many attempts that were.

    Raises AssertionError when `max_jobs` attempts were not enough.
    """
    attempts = 0
    while True:
        due = [(at, index) for index, worker in enumerate(workers) if (at := worker.due()) is not None]
        if not due or min(due)[0] > end:
            return attempts
        if attempts >= max_jobs:
            raise AssertionError(_endless(workers, max_jobs))
        at, index = min(due)
        clock.move_to(at)
        attempts += await workers[index].work()
        journal.settle_up()


def _endless(workers: Sequence[Worker], max_jobs: int) -> str:
    ran = sum((worker.ran for worker in workers), Counter[str]())
    most = ", ".join(f"{task} {times} times" for task, times in ran.most_common(_NAMED))
    return (
        f"drain() ran {max_jobs} attempts and jobs are left ({most}); a job that enqueues or snoozes itself for ever "
        "needs drain(until=...), a long test a higher max_jobs"
    )
