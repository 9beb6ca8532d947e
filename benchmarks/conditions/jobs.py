"""Jobs in as many queues as any series has, for workers with JOBS_PACKAGE=benchmarks.conditions.jobs.

WORKER_QUEUES says which of the queues a worker serves.
"""

import asyncio
import time

from benchmarks import ledger
from rota import Job, Run, job

MOST = 50
QUEUES = tuple(f"bench{number:02}" for number in range(MOST))


async def noop(run: Run, number: int) -> None:
    """Do nothing, so that only the worker is measured."""
    ledger.note(number)


async def nap(run: Run, number: int) -> None:
    """Wait for 5 ms, as on a fast database."""
    ledger.note(number)
    await asyncio.sleep(0.005)


async def stamp(run: Run, number: int) -> int:
    """Return the monotonic clock at the body, in nanoseconds; all processes of a machine share the clock."""
    now = time.monotonic_ns()
    ledger.note(number)
    return now


TASKS: dict[str, tuple[Job[[int], int | None], ...]] = {
    body.__name__: tuple(job(queue=queue)(body) for queue in QUEUES) for body in (noop, nap, stamp)
}
# A worker finds the jobs that are attributes of its module.
globals().update({f"{task}_{one.queue}": one for task, jobs in TASKS.items() for one in jobs})
