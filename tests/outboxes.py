"""The outbox in tests: the relay, the reconciler and the recorder as a leader runs them, in the test's own loop."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from rota.process.clock import SYSTEM_CLOCK
from rota.server import connections
from rota.server.target import RedisTarget
from rota.services.figures import Figures
from rota.services.leadership import Leadership
from rota.wire.leading.outbox import OutboxKeys

if TYPE_CHECKING:
    from rota.settings.database_url import DatabaseTarget
    from rota.store.engine import Database
    from rota.store.schema import Row


class Leader:
    """The services of a leader for the outbox, on a server and a database, under one epoch."""

    def __init__(self, redis: RedisTarget, database: "DatabaseTarget", epoch: int = 1) -> None:
        from rota.services.bound import RecordsBound
        from rota.services.outbox.reconciler import Reconciler
        from rota.services.outbox.relay import Relay
        from rota.services.recorder import Recorder
        from rota.store.engine import Database

        self.term = Leadership(epoch, SYSTEM_CLOCK.monotonic() + 600)
        self.figures = Figures()
        keys = OutboxKeys("rota")

        def open_redis() -> Any:
            return connections.async_client(redis)

        def open_database() -> Database:
            return Database(database)

        self.relay = Relay(open_redis, open_database, keys, self.term, self.figures.outbox)
        self.reconciler = Reconciler(open_redis, open_database, keys, self.term, self.figures.outbox)
        self.recorder = Recorder(open_redis, open_database, "rota", self.term, self.figures)
        self.bound = RecordsBound(open_redis, "rota", 256 << 20)

    @property
    def services(self) -> list[Any]:
        """All of them."""
        return [self.bound, self.recorder, self.relay, self.reconciler]


@asynccontextmanager
async def running(services: Sequence[Any]) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Run services while the block lasts. Whatever one raises is raised at its end."""
    tasks = [asyncio.create_task(service.run()) for service in services]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
    for end in ends:
        if isinstance(end, Exception):
            raise end


async def rows_of(database: "Database") -> "list[Row]":
    """Return the rows of the outbox, the oldest first."""
    from sqlalchemy import select

    from rota.store.schema import outbox

    async with database.read() as connection:
        found = await connection.execute(select(outbox).order_by(outbox.c.key))
        return [dict(row) for row in found.mappings()]
