"""Coroutines: one that works, one that blocks the loop, one that kills its process."""

import asyncio
import os
import signal
import time

from rota import Run, job
from tests.faults.jobs_for_faults.ledger import note, times


@job
async def work(run: Run, seconds: float = 0.3) -> None:
    """Take some time, as a job does that waits for others."""
    note(run, "start")
    await asyncio.sleep(seconds)
    note(run, "end")


@job
async def carry(run: Run, ballast: str) -> None:
    """Take up memory in Redis until it has run."""
    note(run, "end")


@job
async def block(run: Run, seconds: float) -> None:
    """Block the event loop, the first time it runs."""
    note(run, "start")
    if times(run, "start") == 1:
        time.sleep(seconds)
    note(run, "end")


@job
async def chatter(run: Run, lines: int) -> None:
    """Write many long lines into the log."""
    note(run, "start")
    for number in range(lines):
        run.log.info("chatter", extra={"number": number, "text": "x" * 500})
    note(run, "end")


@job
async def kill(run: Run, after: float) -> None:
    """Kill the process that runs it, every time, when its neighbours are in the midst of their work."""
    note(run, "start")
    await asyncio.sleep(after)
    os.kill(os.getpid(), signal.SIGKILL)


@job
async def recount(run: Run, lines: int, pace: float) -> None:
    """Log a line now and then, and note it beside Redis once that is done."""
    note(run, "start")
    for number in range(1, lines + 1):
        run.log.info("counted", extra={"number": number})
        note(run, f"logged-{number}")
        await asyncio.sleep(pace)
    note(run, "end")
