"""A job, and a lifespan that hangs where HANGS says: at its start or its end.

"deaf", it ignores every cancellation; "blocking", it blocks the event loop.
"""

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.faults.jobs_for_faults.on_loop import work

__all__ = ["lifespan", "work"]

HANGS = os.environ["HANGS"].split()


@asynccontextmanager
async def lifespan() -> AsyncIterator[None]:
    if "start" in HANGS:
        await _hang()
    yield
    if "end" in HANGS:
        await _hang()


async def _hang() -> None:
    logging.getLogger("jobs").warning("hangs")
    if "blocking" in HANGS:
        time.sleep(60)
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            if "deaf" not in HANGS:
                raise
