"""The fake server of a bench and the clients on it: one for coroutines, one that blocks."""

import asyncio
from collections.abc import Callable
from typing import Any

from arq.connections import ArqRedis
from fakeredis import FakeAsyncRedis, FakeRedis, FakeServer
from redis.asyncio.connection import AbstractConnection, ConnectionPool

from rota.wire import envelopes


class _Pool(ConnectionPool):
    """Connections of the running loop: a bench may be used in one `asyncio.run` after another."""

    _loop: asyncio.AbstractEventLoop | None = None

    async def get_connection(self, *args: Any, **kwargs: Any) -> AbstractConnection:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop = loop
            self.reset()  # type: ignore[no-untyped-call] # redis-py leaves it untyped
        connection: AbstractConnection = await super().get_connection(*args, **kwargs)
        return connection


class BenchRedis(ArqRedis):
    """arq's client, which calls `changed` after each script, while all that the script wrote is still there."""

    changed: Callable[[], None] = staticmethod(lambda: None)

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send a command, and call `changed` if it was a script."""
        try:
            return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        finally:
            if args[0] in ("EVALSHA", "EVAL"):
                self.changed()


def clients() -> tuple[BenchRedis, FakeRedis]:
    """Two clients on a new, empty server: arq's, with our serializers, and a blocking one."""
    server = FakeServer(version=(7,))
    pool = FakeAsyncRedis(server=server, connection_pool_class=_Pool).connection_pool
    redis = BenchRedis(
        pool, job_serializer=envelopes.job_serializer, job_deserializer=envelopes.job_deserializer
    )
    return redis, FakeRedis(server=server)
