"""How the floor talks to Redis: by redis-py, or by hiredis on a protocol of asyncio, with little in between."""

import asyncio
from collections import deque
from typing import Any, Protocol, cast
from urllib.parse import urlsplit

import hiredis
from redis.asyncio import Redis as RedisPy


class Redis(Protocol):
    """A client of Redis, as far as the floor needs one."""

    async def load(self, script: str) -> str:
        """Make the script known to the server; its name there."""

    async def run(self, script: str, queue: str, wake: str, *arguments: Any) -> Any:
        """Run a script that was loaded, with its two keys."""

    async def wait(self, key: str, seconds: int) -> None:
        """Wait for a value in a list, on a connection of its own, for some seconds at most."""


class ByRedisPy:
    """Over redis-py's pool, as most services have it."""

    def __init__(self, url: str) -> None:
        self._redis: Any = RedisPy.from_url(url)

    async def load(self, script: str) -> str:
        name: str = await self._redis.script_load(script)
        return name

    async def run(self, script: str, queue: str, wake: str, *arguments: Any) -> Any:
        return await self._redis.evalsha(script, 2, queue, wake, *arguments)

    async def wait(self, key: str, seconds: int) -> None:
        await self._redis.blpop(key, seconds)


class Wire(asyncio.Protocol):
    """One connection: commands go out as they come, answers are told in the same order."""

    def __init__(self) -> None:
        self._reader = hiredis.Reader()
        self._asked: deque[asyncio.Future[Any]] = deque()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # That of uvloop is of no class of asyncio.
        self._transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        while (answer := self._reader.gets()) is not False:
            asked = self._asked.popleft()
            if isinstance(answer, Exception):
                asked.set_exception(answer)
            else:
                asked.set_result(answer)

    def connection_lost(self, error: Exception | None) -> None:
        for asked in self._asked:
            asked.set_exception(ConnectionError("the server has closed the connection"))

    def send(self, *words: Any) -> asyncio.Future[Any]:
        asked = asyncio.get_running_loop().create_future()
        self._asked.append(asked)
        self._transport.write(hiredis.pack_command(words))
        return asked


class ByProtocol:
    """Over two connections: one for all scripts, one to wait on."""

    def __init__(self, wire: Wire, waiting: Wire) -> None:
        self._wire = wire
        self._waiting = waiting

    async def load(self, script: str) -> str:
        name: bytes = await self._wire.send("SCRIPT", "LOAD", script)
        return name.decode()

    async def run(self, script: str, queue: str, wake: str, *arguments: Any) -> Any:
        return await self._wire.send("EVALSHA", script, 2, queue, wake, *arguments)

    async def wait(self, key: str, seconds: int) -> None:
        await self._waiting.send("BLPOP", key, seconds)


async def connect(url: str, kind: str) -> Redis:
    """Connect by `redis-py` or by `protocol`."""
    if kind == "redis-py":
        return ByRedisPy(url)
    loop = asyncio.get_running_loop()
    where = urlsplit(url)
    made = [await loop.create_connection(Wire, where.hostname or "", where.port or 0) for _ in range(2)]
    return ByProtocol(*(wire for _, wire in made))
