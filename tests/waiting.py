"""Waiting for what is to come true, by looking again and again."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from inspect import isawaitable

#: From one look to the next at first, and at last: a look may be dear, seconds.
_FIRST, _LAST = 0.002, 0.05


async def until(
    condition: Callable[[], object | Awaitable[object]],
    what: str = "what was waited for",
    seconds: float = 30.0,
) -> None:
    """Look until `condition`, which may ask Redis, is true; fails with `what` after `seconds`."""
    pauses = _pauses(what, seconds)
    while not (await found if isawaitable(found := condition()) else found):
        await asyncio.sleep(next(pauses))


def wait_until(
    condition: Callable[[], object], what: str = "what was waited for", seconds: float = 30.0
) -> None:
    """The same where no event loop runs."""
    pauses = _pauses(what, seconds)
    while not condition():
        time.sleep(next(pauses))


def _pauses(what: str, seconds: float) -> Iterator[float]:
    deadline, pause = time.monotonic() + seconds, _FIRST
    while time.monotonic() < deadline:
        yield pause
        pause = min(pause * 1.3, _LAST)
    raise AssertionError(f"not within {seconds:g} s: {what}")
