"""The outbox on a real Redis and real databases: a job runs once where its transaction is committed, and never else."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from rota import Client, Run, job
from rota.server.target import RedisTarget
from rota.store.engine import Database
from tests.outboxes import Leader, rows_of, running
from tests.servers import RedisServer
from tests.waiting import until
from tests.workers import serving

RAN: list[int] = []


@job
async def count(run: Run, number: int) -> int:
    RAN.append(number)
    return number


@pytest.fixture(autouse=True)
def ran() -> None:
    RAN.clear()


@pytest.fixture
async def leader(target: RedisTarget, database: Database) -> AsyncIterator[Leader]:
    leader = Leader(target, database.target)
    async with running(leader.services):
        yield leader


@pytest.fixture
async def client(server: RedisServer, leader: Leader) -> AsyncIterator[Client]:
    async with serving(server.url, count) as works:
        yield works.client


@pytest.fixture
def sessions(database: Database) -> async_sessionmaker[AsyncSession]:
    return async_sessionmaker(database.engine)


async def test_what_is_committed_runs_once_and_what_is_rolled_back_never(
    client: Client, database: Database, sessions: Any
) -> None:
    async with sessions() as session:
        handle = await client.outbox(session).enqueue(count, 1)
        await session.commit()
    async with sessions() as session:
        await client.outbox(session).enqueue(count, 2)
        await session.rollback()
    async with sessions.begin() as session:
        many = await client.outbox(session).enqueue_many(count.call(number) for number in range(3, 200))
    await until(lambda: len(RAN) >= 198)
    assert await handle.result(timeout=5) == 1
    assert await many[0].result(timeout=5) == 3
    assert sorted(RAN) == [1, *range(3, 200)]
    assert {row["sends"] for row in await rows_of(database)} == {1}
