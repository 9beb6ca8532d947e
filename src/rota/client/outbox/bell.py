"""Wakes the relay after a commit, from the process that has committed: one at a time, and nobody waits for it."""

import asyncio
import contextlib
from typing import Any

from rota.server.outage import FAULTS
from rota.wire.leading.outbox import OutboxKeys


class Bell:
    """The bell of a client on an event loop. It may be rung from anywhere; without a loop, nothing happens."""

    def __init__(self, redis: Any, namespace: str) -> None:
        self._redis = redis
        self._keys = OutboxKeys(namespace)
        self._ringing: asyncio.Task[None] | None = None

    def __call__(self) -> None:
        """Ring soon, on the loop that runs here. The relay looks each second in any case."""
        if self._ringing is not None and not self._ringing.done():
            return
        with contextlib.suppress(RuntimeError):
            loop = asyncio.get_running_loop()
            self._ringing = loop.create_task(self.ring())

    async def ring(self) -> None:
        """Ring, and let it go where Redis does not answer."""
        with contextlib.suppress(*FAULTS):
            await self._keys.ring(self._redis)
