"""The fake server of a bench and the clients on it: one for coroutines, one that blocks."""

import asyncio
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


def clients() -> tuple[ArqRedis, FakeRedis]:
    """Two clients on a new, empty server: arq's, with our serializers, and a blocking one."""
    server = FakeServer(version=(7,))
    pool = FakeAsyncRedis(server=server, connection_pool_class=_Pool).connection_pool
    redis = ArqRedis(
        pool, job_serializer=envelopes.job_serializer, job_deserializer=envelopes.job_deserializer
    )
    return redis, FakeRedis(server=server)
