"""A job that takes its time, to show progress, concurrency, cancelling and shutting down.

It shows that what a job is given has bounds: a client that may enqueue it must not be able to hold a slot for a day.
"""

import asyncio
from typing import Annotated

from pydantic import Field

from rota import Run, job

LONGEST = 300
_REPORTS = 20


@job(timeout=LONGEST + 30)
async def sleep(run: Run, seconds: Annotated[float, Field(ge=0, le=LONGEST)]) -> float:
    """Sleep for `seconds`, report progress twenty times on the way, and return `seconds`."""
    for done in range(_REPORTS):
        run.progress(100 * done / _REPORTS, f"{seconds * (1 - done / _REPORTS):.1f} s left")
        await asyncio.sleep(seconds / _REPORTS)
    return seconds
