"""The jobs as rota has them: typed, and found by discovery in a worker with JOBS_PACKAGE=benchmarks.jobs."""

import asyncio
import time

from benchmarks import ledger
from rota import Run, job

QUEUE = "bench"


@job(queue=QUEUE)
async def noop(run: Run, number: int) -> int:
    """Nothing but being run."""
    ledger.note(number)
    return number


@job(queue=QUEUE)
async def nap(run: Run, number: int) -> int:
    """A wait of 5 ms, as on a fast database."""
    ledger.note(number)
    await asyncio.sleep(0.005)
    return number


@job(queue=QUEUE)
async def stamp(run: Run, number: int) -> int:
    """The monotonic clock, in nanoseconds, when the body began; it is one clock for all processes of a machine."""
    now = time.monotonic_ns()
    ledger.note(number)
    return now
