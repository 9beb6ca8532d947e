"""The outbox: a job that is enqueued in your own transaction runs if that is committed, and never else."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from rota import Client, Run, job
from tests.servers import RedisServer
from tests.waiting import until
from tests.workers import Works, standing

SENT: list[int] = []


@job
async def send_receipt(run: Run, order_id: int) -> str:
    SENT.append(order_id)
    return f"receipt {order_id}"


@pytest.fixture
async def engine(works: Works, server: RedisServer, tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    """Yield the application's database, which is the workers' too, while one of them leads."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/shop.db")
    async with standing(server.url, __name__, DATABASE_URL=f"sqlite:///{tmp_path}/shop.db"):
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


async def test_a_row_stays_until_the_end_of_its_job_is_known(client: Client, engine: AsyncEngine) -> None:
    """What Redis loses until then is sent again. The leader looks a minute after a row was sent, and here at once."""
    async with AsyncSession(engine) as session, session.begin():
        handle = await client.outbox(session).enqueue(send_receipt, order_id=3)
    await until(lambda: 3 in SENT)
    assert await handle.result(timeout=10) == "receipt 3"

    async def is_gone() -> bool:
        async with engine.begin() as connection:
            await connection.execute(text("UPDATE _outbox SET look_at = '2026-01-01 00:00:00.000000'"))
            return not await connection.scalar(text("SELECT count(*) FROM _outbox"))

    await until(is_gone)
