"""The same jobs as arq's plain functions."""

import asyncio
import time
from typing import Any

from benchmarks import ledger

Context = dict[Any, Any]


async def noop(ctx: Context, number: int) -> int:
    """Nothing but being run."""
    ledger.note(number)
    return number


async def nap(ctx: Context, number: int) -> int:
    """A wait of 5 ms, as on a fast database."""
    ledger.note(number)
    await asyncio.sleep(0.005)
    return number


async def stamp(ctx: Context, number: int) -> int:
    """The monotonic clock, in nanoseconds, when the body began; it is one clock for all processes of a machine."""
    now = time.monotonic_ns()
    ledger.note(number)
    return now


FUNCTIONS = (noop, nap, stamp)
