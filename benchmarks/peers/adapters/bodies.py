"""The jobs as plain functions, for a system that has nothing else to give them but their number."""

import asyncio
import time

from benchmarks.ledger import note
from benchmarks.peers.adapters.common import NAP


async def noop(number: int) -> int:
    """Do nothing, so that only the system is measured."""
    note(number)
    return number


async def nap(number: int) -> int:
    """Wait for a while, as on a fast database."""
    await asyncio.sleep(NAP)
    note(number)
    return number


def blocking_noop(number: int) -> int:
    """Do nothing, so that only the system is measured."""
    note(number)
    return number


def blocking_nap(number: int) -> int:
    """Wait for a while, as on a fast database, and keep the thread."""
    time.sleep(NAP)
    note(number)
    return number
