"""The jobs as rota has them: typed, and found by discovery in a worker with JOBS_PACKAGE=benchmarks.jobs."""

import asyncio
import time

from benchmarks import ledger
from rota import Run, at_most, each, job, per_second, pipeline, unique

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


# `noop` with one policy each. The limits are so wide that nothing waits: what is measured is the price of asking.


@job(queue=QUEUE, priority=5)
async def urgent(run: Run, number: int) -> int:
    """With a priority."""
    ledger.note(number)
    return number


@job(queue=QUEUE, limit=per_second(1_000_000))
async def rated(run: Run, number: int) -> int:
    """With one rate limit for all."""
    ledger.note(number)
    return number


@job(queue=QUEUE, limit=per_second(1_000_000, key="number"))
async def rated_by_key(run: Run, number: int) -> int:
    """With a rate limit for each key, and each job of a key of its own."""
    ledger.note(number)
    return number


@job(queue=QUEUE, concurrency=at_most(1_000_000))
async def slotted(run: Run, number: int) -> int:
    """With a slot of a fleet's."""
    ledger.note(number)
    return number


@job(queue=QUEUE, unique=unique(key="number"))
async def alone(run: Run, number: int) -> int:
    """Unique by its number."""
    ledger.note(number)
    return number


@job(queue=QUEUE)
async def saving(run: Run, number: int) -> int:
    """With a checkpoint."""
    ledger.note(number)
    run.checkpoint(number)
    return number


@job(queue=QUEUE)
async def numbers(run: Run, first: int, last: int) -> list[int]:
    """The items of a pipeline."""
    return list(range(first, last))


@job(queue=QUEUE)
async def total(run: Run, numbers: list[int]) -> int:
    """What a pipeline comes to."""
    return sum(numbers)


#: `noop` for each of many numbers.
of_many = pipeline(numbers, each(noop), total)


@job(queue=QUEUE)
async def stamp(run: Run, number: int) -> int:
    """The monotonic clock, in nanoseconds, when the body began; it is one clock for all processes of a machine."""
    now = time.monotonic_ns()
    ledger.note(number)
    return now
