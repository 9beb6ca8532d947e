"""Counts the round trips to Redis that a page waits for one after the other: what is under way together is one."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextvars import ContextVar
from typing import Any

import pytest
from redis.asyncio.connection import ConnectionPool

#: Whether what runs belongs to the page; the tasks that it starts inherit it.
_counts: ContextVar[bool] = ContextVar("counts", default=False)


class Trips:
    """A gate in front of Redis that lets through together what has come, once all that went before is answered."""

    def __init__(self) -> None:
        self.count = 0
        self._waiting: list[asyncio.Future[None]] = []
        self._under_way = 0

    async def begin(self) -> None:
        going = asyncio.get_running_loop().create_future()
        self._waiting.append(going)
        await going

    def end(self) -> None:
        """Note that something that went through is answered."""
        self._under_way -= 1

    async def open(self) -> None:
        """Let through what comes, trip by trip, until cancelled."""
        while True:
            # All that the page does at once has come by then.
            await asyncio.sleep(0.005)
            if self._waiting and not self._under_way:
                going, self._waiting = self._waiting, []
                self.count += 1
                self._under_way = len(going)
                for one in going:
                    one.set_result(None)


@contextlib.asynccontextmanager
async def counting(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Trips]:
    """Yield the count of the trips of what runs within."""
    trips, get, release = Trips(), ConnectionPool.get_connection, ConnectionPool.release

    async def counted_get(self: ConnectionPool, *args: Any, **options: Any) -> Any:
        if _counts.get():
            await trips.begin()
        return await get(self, *args, **options)

    async def counted_release(self: ConnectionPool, connection: Any) -> None:
        if _counts.get():
            trips.end()
        await release(self, connection)

    with monkeypatch.context() as patch:
        patch.setattr(ConnectionPool, "get_connection", counted_get)
        patch.setattr(ConnectionPool, "release", counted_release)
        opening = asyncio.create_task(trips.open())
        token = _counts.set(True)
        try:
            yield trips
        finally:
            _counts.reset(token)
            opening.cancel()
