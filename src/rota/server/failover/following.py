"""Connections that leave a primary which the sentinels no longer name, although it still answers.

It may live on for ten seconds and more after another took its place: after a failover that was asked for, or where the
network had parted it from the sentinels. What is written to it then is lost. redis-py asks the sentinels for each new
connection alone, and leaves the old ones where they are until they fail.
"""

import asyncio
import contextlib
import time
from typing import Any

from redis import sentinel as plain
from redis.asyncio import sentinel as aio
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import ReadOnlyError, RedisError
from redis.exceptions import TimeoutError as NoAnswer
from redis.utils import str_if_bytes

#: Seconds between two questions to the sentinels, for all connections of a pool that are in use.
EVERY = 1.0
#: The same after a question that none of them answered.
_AFTER_SILENCE = 10.0
#: The longest time that a command waits for the answer, in seconds.
_PATIENCE = 0.5

_PRIMARY = ("SENTINEL GET-MASTER-ADDR-BY-NAME",)
_FAULTS = (Disconnected, NoAnswer)


class Sentinels(aio.Sentinel):
    """The sentinels, asked for the primary alone.

    redis-py asks for all that they know of it, which names the old one until the last replica has turned to the new.
    """

    async def discover_master(self, service_name: str) -> tuple[str, int]:
        """Return the address of the primary, by the first sentinel that knows one. Raises MasterNotFoundError."""
        said = []
        for number, sentinel in enumerate(self.sentinels):
            try:
                address = await sentinel.execute_command(*_PRIMARY, service_name)  # type: ignore[no-untyped-call]
            except _FAULTS as error:
                said.append(f"{sentinel} - {error!r}")
                continue
            if address:
                _go_first(self.sentinels, number)
                return _read(address)
        raise aio.MasterNotFoundError(_unknown(service_name, said))


class BlockingSentinels(plain.Sentinel):
    """The sentinels of connections that block, asked for the primary alone."""

    def discover_master(self, service_name: str) -> tuple[str, int]:
        """Return the address of the primary, by the first sentinel that knows one. Raises MasterNotFoundError."""
        said = []
        for number, sentinel in enumerate(self.sentinels):
            try:
                address = sentinel.execute_command(*_PRIMARY, service_name)  # type: ignore[no-untyped-call]
            except _FAULTS as error:
                said.append(f"{sentinel} - {error!r}")
                continue
            if address:
                _go_first(self.sentinels, number)
                return _read(address)
        raise plain.MasterNotFoundError(_unknown(service_name, said))


def _go_first(sentinels: list[Any], number: int) -> None:
    """Have the sentinel that answered asked first the next time."""
    sentinels[0], sentinels[number] = sentinels[number], sentinels[0]


def _read(address: Any) -> tuple[str, int]:
    return str(str_if_bytes(address[0])), int(address[1])


def _unknown(name: str, said: list[str]) -> str:
    return f"No master found for {name!r}" + (f" : {', '.join(said)}" if said else "")


class FollowingPool(aio.SentinelConnectionPool):
    """The connections to the primary of a group, or to its replicas."""

    def __init__(self, service_name: str, sentinel_manager: Any, **options: Any) -> None:
        super().__init__(service_name, sentinel_manager, **options)  # type: ignore[no-untyped-call]
        self._due = 0.0

    async def get_master_address(self) -> tuple[str, int]:
        """Ask the sentinels for the primary. Raises redis-py's MasterNotFoundError."""
        self._due = time.monotonic() + EVERY
        address: tuple[str, int] = await super().get_master_address()  # type: ignore[no-untyped-call]
        return address

    def leads_to(self, address: tuple[str, int]) -> bool:
        """Tell whether the primary is at `address`, by what was said in the last second; False where that is older."""
        return not self.is_master or (time.monotonic() < self._due and self.master_address == address)

    async def has_left(self, address: tuple[str, int]) -> bool:
        """Tell whether the primary is another server than that at `address`, by what was said in the last second."""
        if not self.is_master:
            return False
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + _AFTER_SILENCE
            with contextlib.suppress(RedisError, OSError, TimeoutError):
                async with asyncio.timeout(_PATIENCE):
                    await self.get_master_address()
        return self.master_address not in (None, address)


class Following:
    """A mixin before a connection class of redis-py's asyncio: a command goes to the server that is the primary now."""

    @property
    def is_ready(self: Any) -> bool:
        """Whether a command may be sent at once: the sentinels need not be asked before."""
        is_ready: bool = super().is_ready  # type: ignore[misc]
        return is_ready and bool(self.connection_pool.leads_to((self.host, self.port)))

    async def send_packed_command(self: Any, command: Any, check_health: bool = True) -> None:
        """Send a packed command, over a new connection where the old one leads to another server."""
        if check_health and self.is_connected and await has_left(self):
            await self.disconnect(nowait=True)
        await super().send_packed_command(command, check_health)  # type: ignore[misc]

    async def read_response(self: Any, *args: Any, **options: Any) -> Any:
        """Return the next reply. Raises redis-py's ConnectionError where the server is a primary no more."""
        try:
            return await super().read_response(*args, **options)  # type: ignore[misc]
        except ReadOnlyError:
            if not self.connection_pool.is_master:
                raise
            # The next connection asks the sentinels.
            await self.disconnect()
            raise Disconnected("The previous master is now a slave") from None


class BlockingFollowing:
    """A mixin before a blocking connection class of redis-py: a command goes to the server that is the primary now."""

    def send_packed_command(self: Any, command: Any, check_health: bool = True) -> None:
        """Send a packed command, over a new connection where the old one leads to another server."""
        if check_health and self._sock and self._has_left():
            self.disconnect()
        super().send_packed_command(command, check_health)  # type: ignore[misc]

    def _has_left(self: Any) -> bool:
        # A proxy of the pool that all its connections share, and nothing else has: it keeps when to ask again.
        pool = self.connection_pool
        if not pool.is_master:
            return False
        if time.monotonic() >= getattr(pool, "due", 0.0):
            pool.due = time.monotonic() + _AFTER_SILENCE
            with contextlib.suppress(RedisError, OSError):
                pool.get_master_address()
                pool.due = time.monotonic() + EVERY
        return pool.master_address not in (None, (self.host, self.port))


async def has_left(connection: Any) -> bool:
    """Tell whether `connection` leads to a server that was the primary and is not any more."""
    pool = getattr(connection, "connection_pool", None)
    # A connection has its pool by a proxy, whose class is another.
    if not isinstance(pool, FollowingPool):
        return False
    return await pool.has_left((connection.host, connection.port))
