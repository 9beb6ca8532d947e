"""The fake server of a bench and the clients on it: one for coroutines, and those that block."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from arq.connections import ArqRedis
from fakeredis import FakeAsyncRedis, FakeRedis, FakeServer
from redis.asyncio.connection import AbstractConnection, ConnectionPool

from rota.client.bridge import refuse_on_a_loop
from rota.client.client import Client
from rota.wire import envelopes

T = TypeVar("T")


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


class BenchBridge:
    """The way of a blocking client to the client of a bench: an event loop for each call."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def ask(self, question: Callable[[Client], Awaitable[T]], *, longer: float | None = 0.0) -> T:
        """Ask the client, and return its answer; the fake server keeps nobody waiting."""
        refuse_on_a_loop()

        async def answer() -> T:
            return await question(self._client)

        return asyncio.run(answer())

    def tell(self, question: Callable[[Client], Awaitable[object]]) -> None:
        """Do nothing: what only makes something happen sooner has no place where a test moves the clock."""

    def close(self) -> None:
        """Leave the client open: it is the bench's."""


def clients() -> tuple[BenchRedis, FakeRedis]:
    """Two clients on a new, empty server: arq's, with our serializers, and a blocking one."""
    server = FakeServer(version=(7,))
    pool = FakeAsyncRedis(server=server, connection_pool_class=_Pool).connection_pool
    redis = BenchRedis(
        pool, job_serializer=envelopes.job_serializer, job_deserializer=envelopes.job_deserializer
    )
    return redis, FakeRedis(server=server)
