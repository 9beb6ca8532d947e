"""PostgreSQL is away while jobs come evenly: they run on, and their rows are all there once it is back.

Redis has the limits of the production compose file. OUTAGE_SECONDS and OUTAGE_RATE (jobs a second) set another size
than that of the full run, 300 s at 300 jobs a second, or of its sample.
"""

import asyncio
import os
import random
import re
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

import pytest
from sqlalchemy import func, select

from rota import Client
from rota.settings.database_url import DatabaseTarget
from rota.store.audit import cursor
from rota.store.engine import Database
from rota.store.schema import jobs, quarantine
from tests.databases import PostgresServer, new_schema
from tests.faults.conftest import client_of
from tests.faults.fleet import FULL, SEED, Fleet, sized
from tests.faults.jobs_for_faults.on_loop import carry
from tests.processes import ROOT
from tests.servers import RedisServer
from tests.waiting import until

SECONDS = float(os.environ.get("OUTAGE_SECONDS", sized(300, 3)))
RATE = int(os.environ.get("OUTAGE_RATE", "300"))
#: How much of the workers' rate the outage may cost. In the seconds of a sample the machine's own pauses weigh more.
ALLOWED = 0.05 if FULL else 0.3
BALLAST = "x" * 1024
#: Jobs are enqueued this often, in seconds.
EVERY = 0.1


def shipped() -> Iterator[str]:
    """Yield the options of the Redis of the production compose file that say how much it keeps, and where."""
    text = (ROOT / "deploy" / "redis" / "redis.conf").read_text("utf-8")
    for name, value in re.findall(r"(?m)^(appendonly|appendfsync|maxmemory|maxmemory-policy) (\S+)$", text):
        yield from (f"--{name}", value)


@pytest.fixture
def redis_as_shipped(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path / "redis", *shipped())
    server.start()
    yield server
    server.stop()


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """Yield a PostgreSQL that the test may stop. Its user may not be allowed to see pytest's folders."""
    server = PostgresServer(Path(tempfile.gettempdir()) / f"rota-postgres-{uuid4().hex[:12]}")
    server.join()
    yield server
    server.leave()


@pytest.fixture
async def own_database_url(own_postgres: PostgresServer) -> str:
    return await new_schema(own_postgres)


@pytest.fixture
async def own_database(own_database_url: str) -> AsyncIterator[Database]:
    database = Database(DatabaseTarget.from_url(own_database_url))
    yield database
    await database.close()


class Arrivals:
    """Jobs that are enqueued evenly while a block lasts; all of them have been counted after it."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._is_over = asyncio.Event()
        self.count = 0

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._arrive())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._is_over.set()
        await self._task

    async def _arrive(self) -> None:
        began = time.monotonic()
        while not self._is_over.is_set():
            due = int((time.monotonic() - began) * RATE) - self.count
            if due:
                await self._client.enqueue_many(carry.call(ballast=BALLAST) for _ in range(due))
                self.count += due
            await asyncio.sleep(EVERY)


async def test_while_postgresql_is_away_jobs_run_on_and_no_row_is_missing_afterwards(
    tmp_path: Path,
    redis_as_shipped: RedisServer,
    own_postgres: PostgresServer,
    own_database_url: str,
    own_database: Database,
) -> None:
    fleet = Fleet(tmp_path, redis_as_shipped.url)
    try:
        async with client_of(redis_as_shipped) as client:
            await fleet.start(2, database_url=own_database_url, events_maxlen=10_000)
            await until(lambda: client.redis.exists("rota:recording"), "recording is switched on")
            before, away, count = await run_through(fleet, client, own_postgres)
            await until(lambda: caught_up(client.redis, own_database), "the table has caught up", 120)
        assert all(worker.alive for worker in fleet.workers)
        assert set(fleet.ledger.times("end").values()) == {1}
    finally:
        fleet.close()
    sys.stdout.write(f"{count} jobs; a second before {before:.1f}, while PostgreSQL was away {away:.1f}\n")
    assert away >= before * (1 - ALLOWED)
    await assert_rows(own_database, count)
    logged = [event for worker in fleet.workers for event in worker.events()]
    names = [event["event"] for event in logged]
    assert {"recorder.database_away", "recorder.database_back"} <= set(names)
    # At the full size the records come near their bound: jobs without progress lose nothing of it by the first level.
    assert {event["left_out"] for event in logged if event["event"] == "recorder.filling"} <= {"progress"}
    assert not {"recorder.full", "recorder.lost"} & set(names)


async def run_through(fleet: Fleet, client: Client, postgres: PostgresServer) -> tuple[float, float, int]:
    """Let jobs come before, during and after the outage; return the rates of both, and how many jobs there were."""
    async with Arrivals(client) as arrivals:
        await until(lambda: len(fleet.ledger.entries("end")) >= RATE, "jobs run")
        before = await rate(fleet, sized(30, 2) + random.Random(SEED).random())
        postgres.stop()
        away = await rate(fleet, SECONDS)
        postgres.start()
    await until(lambda: len(fleet.ledger.entries("end")) >= arrivals.count, "all jobs have run")
    return before, away, arrivals.count


async def rate(fleet: Fleet, seconds: float) -> float:
    """Return how many jobs end a second from now on."""
    began, ended = time.monotonic(), len(fleet.ledger.entries("end"))
    await asyncio.sleep(seconds)
    return (len(fleet.ledger.entries("end")) - ended) / (time.monotonic() - began)


async def caught_up(redis: Any, database: Database) -> bool:
    last = (await redis.xinfo_stream("rota:records"))["last-generated-id"].decode()
    async with database.read() as connection:
        return bool(await cursor(connection, "rota:records") == last)


async def assert_rows(database: Database, count: int) -> None:
    """Check that each of `count` jobs has one row, with its end and its payload, and that none was put aside."""
    async with database.read() as connection:
        found = await connection.execute(
            select(jobs.c.status, jobs.c.attempts, func.count(), func.count(jobs.c.payload)).group_by(
                jobs.c.status, jobs.c.attempts
            )
        )
        assert [tuple(row) for row in found] == [("COMPLETED", 1, count, count)]
        assert await connection.scalar(select(func.count()).select_from(quarantine)) == 0
