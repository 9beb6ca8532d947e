"""The same jobs as arq's plain functions."""

import asyncio
import time
from typing import Any

from benchmarks import ledger

Context = dict[Any, Any]


async def noop(ctx: Context, number: int) -> int:
    """Do nothing, so that only the worker is measured."""
    ledger.note(number)
    return number


async def nap(ctx: Context, number: int) -> int:
    """Wait for 5 ms, as on a fast database."""
    await asyncio.sleep(0.005)
    ledger.note(number)
    return number


async def stamp(ctx: Context, number: int) -> int:
    """Return the monotonic clock when the body began, in nanoseconds; all processes of a machine share the clock."""
    now = time.monotonic_ns()
    ledger.note(number)
    return now


FUNCTIONS = (noop, nap, stamp)
