"""Waiting for what ends elsewhere, by asking Redis again, less and less often."""

import asyncio
from collections.abc import Awaitable, Callable

from rota.errors import ResultTimeout
from rota.process.clock import Clock

#: The pause before the second look, and the longest one, in seconds.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.5
_GROWTH = 1.5


async def wait_for(
    is_over: Callable[[], Awaitable[bool]], name: str, timeout: float | None, clock: Clock
) -> None:
    """Wait until `is_over` returns True, at most `timeout` seconds (None: without end).

    Raises ResultTimeout, which names what was waited for by `name`. Looks once even where the time is up.
    """
    deadline = None if timeout is None else clock.monotonic() + timeout
    pause = _FIRST_PAUSE
    while not await is_over():
        if deadline is not None and clock.monotonic() + pause > deadline:
            pause = max(0.0, deadline - clock.monotonic())
            if pause == 0:
                raise ResultTimeout(name, timeout or 0.0)
        await asyncio.sleep(pause)
        pause = min(pause * _GROWTH, _LONGEST_PAUSE)
