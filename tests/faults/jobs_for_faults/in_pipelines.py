"""The stages of a pipeline; the last one writes down what it got."""

import asyncio

from rota import Run, each, job, pipeline
from tests.faults.jobs_for_faults.ledger import note


@job
async def split(run: Run, *, count: int) -> list[int]:
    """Return the items of the next stage."""
    note(run, "start")
    await asyncio.sleep(0.01)
    return list(range(count))


@job
async def square(run: Run, number: int) -> int:
    """Square one item, which takes a moment."""
    note(run, "start")
    await asyncio.sleep(0.01)
    return number * number


@job
async def gather(run: Run, squares: list[int]) -> int:
    """Add up all items, and note in the ledger how many came and whether they were in order."""
    complete = squares == [number * number for number in range(len(squares))]
    note(run, f"merge-{len(squares)}" if complete else "merge-wrong")
    await asyncio.sleep(0.01)
    return sum(squares)


squares = pipeline(split, each(square), gather)
