"""The outbox: a job that is enqueued in your own transaction runs if that is committed, and never else."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from rota import Client, Run, job
from rota.server.target import RedisTarget
from rota.settings.database_url import DatabaseTarget
from tests.outboxes import Leader, running
from tests.servers import RedisServer
from tests.waiting import until
from tests.workers import Works

SENT: list[int] = []


@job
async def send_receipt(run: Run, order_id: int) -> str:
    SENT.append(order_id)
    return f"receipt {order_id}"


@pytest.fixture
async def engine(works: Works, server: RedisServer, tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    """Yield the application's database, which is the workers' too, while one of them leads."""
    target = DatabaseTarget.from_url(f"sqlite:///{tmp_path}/shop.db")
    leader = Leader(RedisTarget.from_url(server.url), target)
    leader.recorder._migrate = "auto"
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/shop.db")
    async with running(leader.services):
        async with engine.begin() as connection:
            await connection.execute(text("CREATE TABLE orders (id integer PRIMARY KEY)"))
        await until(lambda: has_outbox(engine), "the tables are made")
        yield engine
    await engine.dispose()


async def has_outbox(engine: AsyncEngine) -> bool:
    async with engine.connect() as connection:
        found: Any = await connection.scalar(text("SELECT 1 FROM sqlite_master WHERE name = '_outbox'"))
    return bool(found)


async def test_an_order_and_its_receipt_are_one(client: Client, engine: AsyncEngine) -> None:
    SENT.clear()
    async with AsyncSession(engine) as session, session.begin():
        await session.execute(text("INSERT INTO orders (id) VALUES (1)"))
        handle = await client.outbox(session).enqueue(send_receipt, order_id=1)

    async with AsyncSession(engine) as session:
        await session.execute(text("INSERT INTO orders (id) VALUES (2)"))
        await client.outbox(session).enqueue(send_receipt, order_id=2)
        await session.rollback()

    await until(lambda: SENT)
    assert await handle.result(timeout=10) == "receipt 1"
    async with engine.connect() as connection:
        assert (await connection.scalars(text("SELECT id FROM orders"))).all() == SENT == [1]
