"""How a worker waits for wake tokens: on a connection of its own, or with the other queues of its process on one.

A process of fifty queues would otherwise hold fifty connections for nothing but waiting.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from redis.asyncio.sentinel import SentinelConnectionPool

from rota.process.tasks import end
from rota.server.outage import FAULTS

#: Leaves the token of a queue to another worker.
PassOn = Callable[[], Awaitable[object]]

#: One call waits on the server for at most this long, in seconds. Each that ends is a command of an idle worker; a
#: connection that is dead and does not say so may be noticed no sooner.
LONGEST = 15.0
#: The same where Sentinel says which server is the primary. One that was replaced while it lives goes on as one for
#: some seconds, and a call that waits there hears of no token.
LONGEST_WITH_SENTINEL = 3.0
#: A token that comes while its worker looks into its queue is kept for it for this long, in seconds.
KEPT = 0.02


def longest_wait(redis: Any) -> float:
    """Return for how long one call of a client waits on its server, in seconds."""
    is_followed = isinstance(getattr(redis, "connection_pool", None), SentinelConnectionPool)
    return LONGEST_WITH_SENTINEL if is_followed else LONGEST


class Tokens(Protocol):
    """Where wakers wait for the tokens of their queues. `longest` is how long one call waits, in seconds."""

    longest: float

    async def wait(self, key: str, seconds: float, pass_on: PassOn) -> bool:
        """Take a token from the list `key`; False if none comes within `seconds`. Raises what redis-py raises.

        `pass_on` is called if the token comes when nobody waits for it any more.
        """

    def leave(self, key: str) -> None:
        """Take no more tokens from the list `key`, after the last wait."""


class OwnTokens:
    """Waits for one queue's tokens on a client whose calls may block."""

    def __init__(self, redis: Any) -> None:
        self.longest = longest_wait(redis)
        self._redis = redis

    async def wait(self, key: str, seconds: float, pass_on: PassOn) -> bool:
        """Take a token, if one comes in time."""
        return await self._redis.execute_command("BLPOP", key, f"{seconds:.3f}") is not None

    def leave(self, key: str) -> None:
        """Do nothing: no call outlasts its wait."""


class SharedTokens:
    """Waits for the tokens of all queues of a process, in one call.

    The call goes on while a worker looks into its queue, and names that queue still; a token that comes meanwhile is
    kept for a moment, and then left to another worker. From then on its queue is left out until its worker waits again,
    which interrupts the call through a list that no other process knows, the bell.

    :param redis: a client for ordinary calls.
    :param blocking: a client whose calls may wait for `longest_wait` on the server.
    :param bell: the key of the bell.
    """

    def __init__(self, redis: Any, blocking: Any, bell: str) -> None:
        self.longest = longest_wait(blocking)
        self._redis = redis
        self._blocking = blocking
        self._bell = bell
        #: The lists that the next call names, and how to pass on the tokens of each.
        self._named: dict[str, PassOn] = {}
        self._waiting: dict[str, asyncio.Future[bool]] = {}
        self._kept: dict[str, asyncio.TimerHandle] = {}
        self._called: frozenset[str] = frozenset()
        self._calls: asyncio.Task[None] | None = None
        self._beside: set[asyncio.Task[None]] = set()

    async def wait(self, key: str, seconds: float, pass_on: PassOn) -> bool:
        """Take a token, if one comes in time, or has come a moment ago."""
        self._named[key] = pass_on
        if (kept := self._kept.pop(key, None)) is not None:
            kept.cancel()
            return True
        waiting = self._waiting[key] = asyncio.get_running_loop().create_future()
        self._call_for(key)
        try:
            await asyncio.wait({waiting}, timeout=seconds)
            return waiting.done() and waiting.result()
        except asyncio.CancelledError:
            if waiting.done() and waiting.exception() is None:
                self._do(pass_on)
            raise
        finally:
            self._waiting.pop(key, None)

    def leave(self, key: str) -> None:
        """Name the list `key` no longer, from the next call on."""
        self._named.pop(key, None)

    async def close(self) -> None:
        """End the call, and what is done beside it."""
        await end({*self._beside, *filter(None, (self._calls,))})

    # The call

    def _call_for(self, key: str) -> None:
        if self._calls is None or self._calls.done():
            self._calls = asyncio.create_task(self._call_again_and_again())
        elif self._called and key not in self._called:
            self._called = frozenset()  # rung for once
            self._do(self._ring)

    async def _call_again_and_again(self) -> None:
        try:
            while named := dict(self._named):
                self._called = frozenset(named)
                reply = await self._blocking.execute_command(
                    "BLPOP", *named, self._bell, f"{self.longest:.3f}"
                )
                self._called = frozenset()
                if reply is not None and (key := reply[0].decode()) in named:
                    self._came(key, named[key])
        except FAULTS as error:
            for waiting in self._waiting.values():
                if not waiting.done():
                    waiting.set_exception(error)
        finally:
            self._called = frozenset()

    def _came(self, key: str, pass_on: PassOn) -> None:
        self._named.pop(key, None)
        waiting = self._waiting.pop(key, None)
        if waiting is not None and not waiting.done():
            # The next call begins with the others, so that a busy queue does not hide them.
            self._named[key] = pass_on
            waiting.set_result(True)
        else:
            self._kept[key] = asyncio.get_running_loop().call_later(KEPT, self._leave_to_others, key, pass_on)

    def _leave_to_others(self, key: str, pass_on: PassOn) -> None:
        del self._kept[key]
        self._do(pass_on)

    async def _ring(self) -> None:
        await self._redis.execute_command("LPUSH", self._bell, "1")
        # If this process ends before its call has taken it.
        await self._redis.execute_command("PEXPIRE", self._bell, round(LONGEST * 1000))

    def _do(self, work: Callable[[], Awaitable[object]]) -> None:
        # The task calls it: one that is cancelled before it begins leaves no coroutine that nobody awaits.
        task = asyncio.create_task(self._try(work))
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)

    async def _try(self, work: Callable[[], Awaitable[object]]) -> None:
        # Workers look into their queues by themselves as well, and the outage is logged by those that must get through.
        with contextlib.suppress(*FAULTS):
            await work()
