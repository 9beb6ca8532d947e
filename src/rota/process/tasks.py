"""Ending tasks for good."""

import asyncio
import time
from collections.abc import Iterable
from typing import Any

#: A cancellation that had no effect is repeated after this, in seconds.
_AGAIN = 0.1


async def end_all(seconds: float) -> list[str]:
    """Cancel every other task of the loop until all are gone, for `seconds`; return the names of those that go on."""
    pending = asyncio.all_tasks() - {asyncio.current_task()}
    deadline = time.monotonic() + seconds
    while pending and time.monotonic() < deadline:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_AGAIN)
    return [f"{task.get_name()} {getattr(task.get_coro(), '__qualname__', '')}" for task in pending]


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel `tasks` until they are gone.

    Once is not enough: Python 3.11's `wait_for`, which redis-py sends with, swallows a cancellation that arrives when
    its work is just done.
    """
    ending = set(tasks)
    pending = {task for task in ending if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_AGAIN)
    for task in ending:
        # Retrieved, or asyncio would log the error as never retrieved.
        task.cancelled() or task.exception()
