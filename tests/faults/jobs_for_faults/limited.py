"""Jobs that wait for each other: for a turn, for a slot, or for the one of their key."""

import asyncio

from rota import Run, at_most, job, per_second, unique
from tests.faults.jobs_for_faults.ledger import note


@job(queue="rated", limit=per_second(50))
async def tick(run: Run, number: int) -> int:
    note(run, "start")
    return number


@job(queue="slotted", concurrency=at_most(2, key="key"))
async def hold(run: Run, key: str, seconds: float) -> None:
    note(run, "start")
    await asyncio.sleep(seconds)
    note(run, "end")


@job(
    queue="mixed",
    limit=per_second(200, burst=20, key="key"),
    concurrency=at_most(3, key="key"),
    unique=unique(),
)
async def everything(run: Run, key: str, number: int, seconds: float) -> None:
    """Use every kind of limit that a job can have."""
    note(run, "start")
    await asyncio.sleep(seconds)
    note(run, "end")
