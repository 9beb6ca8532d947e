"""The stages of a pipeline; the last one writes down what it got."""

import asyncio

from rota import Run, each, job, pipeline
from tests.faults.jobs_for_faults.ledger import note


@job
async def split(run: Run, *, count: int) -> list[int]:
    """The items."""
    note(run, "start")
    await asyncio.sleep(0.01)
    return list(range(count))


@job
async def square(run: Run, number: int) -> int:
    """Some work on one."""
    note(run, "start")
    await asyncio.sleep(0.01)
    return number * number


@job
async def gather(run: Run, squares: list[int]) -> int:
    """All of them; the ledger has a line for a list that is complete and in order, and for one that is not."""
    complete = squares == [number * number for number in range(len(squares))]
    note(run, f"merge-{len(squares)}" if complete else "merge-wrong")
    await asyncio.sleep(0.01)
    return sum(squares)


squares = pipeline(split, each(square), gather)
