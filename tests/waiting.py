"""Waiting for a condition to come true, by looking at it repeatedly."""

import asyncio
import time
from collections.abc import Callable, Iterator
from inspect import isawaitable
from typing import Any

from rota import Client, Handle, JobInfo, State

#: The first pause between two looks, and the longest, in seconds: a look may be expensive.
_FIRST, _LONGEST = 0.002, 0.05


async def until(
    condition: Callable[..., Any],
    what: str = "what was waited for",
    seconds: float = 30.0,
) -> Any:
    """Wait until `condition`, which may ask Redis, is true, and return its value; fail with `what` after `seconds`."""
    pauses = _pauses(what, seconds)
    while not (value := await found if isawaitable(found := condition()) else found):
        await asyncio.sleep(next(pauses))
    return value


def wait_until(
    condition: Callable[..., Any], what: str = "what was waited for", seconds: float = 30.0
) -> Any:
    """Do what `until` does where no event loop runs."""
    pauses = _pauses(what, seconds)
    while not (value := condition()):
        time.sleep(next(pauses))
    return value


async def until_job(
    handle: Handle[Any], condition: Callable[[JobInfo], object], what: str = "a job changes"
) -> JobInfo:
    """Wait until `condition` is true of what is known of a job, and return that."""

    async def look() -> JobInfo | None:
        info = await handle.status()
        return info if condition(info) else None

    found: JobInfo = await until(look, what)
    return found


async def until_in(handle: Handle[Any], *states: State) -> JobInfo:
    """Wait until a job is in one of `states`, and return what is known of the job then."""
    return await until_job(handle, lambda info: info.state in states, f"{handle.id} is {' or '.join(states)}")


async def until_empty(client: Client, queue: str = "default") -> None:
    """Wait until a queue holds no job, dead ones included."""

    async def look() -> bool:
        return not any((await client.counts(queue)).values())

    await until(look, f"the queue {queue} is empty")


def _pauses(what: str, seconds: float) -> Iterator[float]:
    deadline, pause = time.monotonic() + seconds, _FIRST
    while time.monotonic() < deadline:
        yield pause
        pause = min(pause * 1.3, _LONGEST)
    raise AssertionError(f"not within {seconds:g} s: {what}")
