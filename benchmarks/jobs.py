"""The jobs as rota has them: typed, and found by discovery in a worker with JOBS_PACKAGE=benchmarks.jobs."""

import asyncio
import time

from benchmarks import ledger
from rota import Run, at_most, each, job, per_second, pipeline, unique

QUEUE = "bench"


@job(queue=QUEUE)
async def noop(run: Run, number: int) -> int:
    """Do nothing, so that only the worker is measured."""
    ledger.note(number)
    return number


@job(queue=QUEUE)
async def nap(run: Run, number: int) -> int:
    """Wait for 5 ms, as on a fast database."""
    await asyncio.sleep(0.005)
    ledger.note(number)
    return number


# `noop` with one policy each. The limits are so wide that no job waits: the cost of the check is measured.


@job(queue=QUEUE, priority=5)
async def urgent(run: Run, number: int) -> int:
    """Do nothing, as a job with a priority."""
    ledger.note(number)
    return number


@job(queue=QUEUE, limit=per_second(1_000_000))
async def rated(run: Run, number: int) -> int:
    """Do nothing, under one rate limit for all jobs."""
    ledger.note(number)
    return number


@job(queue=QUEUE, limit=per_second(1_000_000, key="number"))
async def rated_by_key(run: Run, number: int) -> int:
    """Do nothing, under a rate limit for each key, where each job has its own key."""
    ledger.note(number)
    return number


@job(queue=QUEUE, concurrency=at_most(1_000_000))
async def slotted(run: Run, number: int) -> int:
    """Do nothing, under a concurrency limit of the fleet."""
    ledger.note(number)
    return number


@job(queue=QUEUE, unique=unique(key="number"))
async def alone(run: Run, number: int) -> int:
    ledger.note(number)
    return number


@job(queue=QUEUE)
async def saving(run: Run, number: int) -> int:
    """Save a checkpoint, and nothing else."""
    ledger.note(number)
    run.checkpoint(number)
    return number


@job(queue=QUEUE)
async def numbers(run: Run, first: int, last: int) -> list[int]:
    """Return the items of a pipeline, as its first stage."""
    return list(range(first, last))


@job(queue=QUEUE)
async def total(run: Run, numbers: list[int]) -> int:
    """Return the number of a pipeline's items."""
    return sum(numbers)


#: A pipeline that runs `noop` for each of many numbers.
of_many = pipeline(numbers, each(noop), total)


@job(queue=QUEUE)
async def stamp(run: Run, number: int) -> int:
    """Return the monotonic clock when the body began, in nanoseconds; all processes of a machine share the clock."""
    now = time.monotonic_ns()
    ledger.note(number)
    return now
