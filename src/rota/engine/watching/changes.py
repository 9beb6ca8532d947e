"""Which keys have changed, as Redis tells a process on one connection, for all of its queues.

Redis remembers what a connection has read, and tells it of each key once, when that has changed; the key is then to be
read again. Redis would tell of every change to keys that begin with a prefix, too, but then it compares each key that
anybody writes with all prefixes: with fifty queues 7.5 µs of each job. To look one key up costs the same with any
number of them.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Iterable
from typing import Any

from rota.process.tasks import end
from rota.server.failover.following import has_left


class Changes:
    """The changes of keys on the server of a client, for all who listen in this process."""

    def __init__(self, redis: Any) -> None:
        self._redis = redis
        self._line: _Line | None = None
        self._opening = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def of(self, *keys: str) -> AsyncIterator["Ear"]:
        """Yield what hears of changes to `keys` while the block lasts. Raises what redis-py raises."""
        ear = await self._join(keys)
        try:
            yield ear
        finally:
            await ear.line.leave(ear)

    async def _join(self, keys: Iterable[str]) -> "Ear":
        async with self._opening:
            if self._line is None or self._line.is_over or await self._line.has_left():
                self._line = await _Line.open(self._redis)
            return self._line.join(keys)


class Ear:
    """Hears of the next change to each key that it has `read`: of another one, after it has read that key again."""

    def __init__(self, line: "_Line") -> None:
        self.line = line
        self._changed: set[str] = set()
        self._told = asyncio.Event()

    async def read(self, *keys: str) -> int:
        """Have Redis tell of the next change to each of its `keys`; return how many exist. Raises redis-py's errors."""
        return await self.line.read(keys)

    async def changes(self, within: float | None = None) -> set[str]:
        """Wait until Redis has told of changes; return the keys, none if it has not `within` as many seconds.

        Raises what redis-py raises.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._told.wait()
        self.line.check()
        return self.heard()

    def heard(self) -> set[str]:
        """Return the keys that Redis has told of by now."""
        self._told.clear()
        changed, self._changed = self._changed, set()
        return changed

    async def has_left(self) -> bool:
        """Tell whether it listens to a server that was the primary and is not any more."""
        return await self.line.has_left()

    def tell(self, key: str) -> None:
        """Take note that Redis has told of a change to `key`."""
        self._changed.add(key)
        self._told.set()

    def end(self) -> None:
        """Take note that nothing more is told."""
        self._told.set()


class _Line:
    """One connection, on which keys are read, and Redis tells of their changes until the connection fails."""

    def __init__(self, connection: Any) -> None:
        self.is_over = False
        self._connection = connection
        self._ears: dict[str, Ear] = {}
        #: Who waits for the replies to what was sent, in this order.
        self._reads: deque[asyncio.Future[int]] = deque()
        self._error: BaseException | None = None
        self._listening = asyncio.create_task(self._listen())

    @classmethod
    async def open(cls, redis: Any) -> "_Line":
        """Connect, as `redis` does, and have Redis remember what is read from now on. Raises what redis-py raises."""
        connection = redis.connection_pool.make_connection()
        connection.protocol = 2
        try:
            await connection.connect()
            # What Redis tells by itself comes between the replies, which the protocol before does not allow.
            for words in (("HELLO", "3"), ("CLIENT", "TRACKING", "ON")):
                await connection.send_command(*words, check_health=False)
                await connection.read_response()
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        # Silence is the ordinary case here; a dead peer is noticed by keepalive, and when a role is renewed.
        connection.socket_timeout = None
        return cls(connection)

    def join(self, keys: Iterable[str]) -> Ear:
        """Return one more ear, which hears of changes to `keys`."""
        ear = Ear(self)
        self._ears.update(dict.fromkeys(keys, ear))
        return ear

    async def leave(self, ear: Ear) -> None:
        """Tell `ear` nothing more; the last one that leaves closes the connection."""
        self._ears = {key: other for key, other in self._ears.items() if other is not ear}
        if not self._ears:
            self.is_over = True
            await end({self._listening})

    async def has_left(self) -> bool:
        """Tell whether it leads to a server that was the primary and is not any more."""
        return await has_left(self._connection)

    def check(self) -> None:
        """Raise what the connection has failed with, if it has."""
        if self._error is not None:
            raise self._error

    async def read(self, keys: Iterable[str]) -> int:
        """Read `keys`; return how many of them exist. Raises what redis-py raises."""
        self.check()
        reply: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._reads.append(reply)
        await self._connection.send_command("EXISTS", *keys, check_health=False)
        await asyncio.wait({reply})
        self.check()
        return reply.result()

    async def _listen(self) -> None:
        try:
            while True:
                self._take(await self._connection.read_response(disconnect_on_error=False))
        except Exception as error:
            self._error = error
        finally:
            self.is_over = True
            for reply in self._reads:
                reply.cancel()
            for ear in set(self._ears.values()):
                ear.end()
            await self._connection.disconnect(nowait=True)

    def _take(self, message: Any) -> None:
        if isinstance(message, int):
            reply = self._reads.popleft()
            if not reply.done():
                reply.set_result(message)
            return
        kind, keys = message
        if kind != b"invalidate":
            return
        # No keys are named where the database was emptied.
        for key in self._ears if keys is None else map(bytes.decode, keys):
            if (ear := self._ears.get(key)) is not None:
                ear.tell(key)
