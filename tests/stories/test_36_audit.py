"""The audit table: with `DATABASE_URL` each job has a row, which tells of it long after Redis has forgotten it."""

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from rota import Client, Run, fixed, headers, job
from tests.servers import RedisServer
from tests.waiting import until
from tests.workers import Works, standing

Row = dict[str, Any]


@job(max_attempts=2, backoff=fixed(0, jitter=0))
async def charge(run: Run, card: str) -> str:
    if card == "expired":
        raise ValueError(f"the card of order {run.id} has expired")
    return "paid"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "audit.db"


@pytest.fixture(autouse=True)
async def leader(works: Works, server: RedisServer, file: Path) -> AsyncIterator[None]:
    """Let one process lead: it makes the table, and writes it. SQLite is for development; you will use PostgreSQL."""
    async with standing(server.url, __name__, DATABASE_URL=f"sqlite:///{file}"):
        # Jobs that are enqueued before the leader has switched recording on have no row.
        await until(lambda: works.client.redis.exists("rota:recording"))
        yield


def rows(file: Path, where: str) -> list[Row]:
    """Ask the table, which is an ordinary one; none, until the leader has made it."""
    with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as database:
        database.row_factory = sqlite3.Row
        if not database.execute("SELECT * FROM sqlite_master WHERE name = '_jobs'").fetchall():
            return []
        return [dict(row) for row in database.execute(f"SELECT * FROM _jobs WHERE {where}")]


async def test_a_row_tells_what_became_of_a_job(client: Client, file: Path) -> None:
    with headers(tenant="acme"):
        handle = await client.enqueue(charge, card="good")
    assert await handle.result(timeout=10) == "paid"
    # Rows follow within a second; no job waits for them.
    (row,) = await until(lambda: rows(file, "status = 'COMPLETED'"))
    assert (row["id"], row["queue"], row["name"], row["tenant"]) == (handle.id, "default", "charge", "acme")
    assert (row["attempts"], row["result"]) == (1, '"paid"')
    assert row["enqueued_at"] <= row["started_at"] <= row["finished_at"]


async def test_failures_of_one_cause_have_one_key(client: Client, file: Path) -> None:
    handles = await client.enqueue_many(charge.call("expired") for _ in range(3))

    def failed() -> list[Row]:
        found = rows(file, "status = 'FAILED'")
        return found if len(found) == len(handles) else []

    found = await until(failed)
    assert {row["attempts"] for row in found} == {2}
    assert len({row["error"] for row in found}) == 3, "each message names its own order"
    assert len({row["error_key"] for row in found}) == 1
