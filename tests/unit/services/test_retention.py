"""Old jobs leave the audit table by themselves, also where its tables come later than the leader."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from rota.process.tasks import end
from rota.services import retention
from rota.services.retention import Retention
from rota.settings.database_url import DatabaseTarget
from rota.store import audit
from rota.store.engine import Database
from rota.store.migrations import migrate
from rota.store.queries import Wanted, list_jobs
from tests.waiting import until

DAY = 86_400.0


async def test_old_jobs_are_deleted_also_where_the_tables_come_later(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "EVERY", 0.01)
    target = DatabaseTarget.from_url(database_url)
    task = asyncio.create_task(Retention(lambda: Database(target, most=1), 90 * DAY).run())
    database = Database(target)
    try:
        await migrate(database)
        await write(database, old=91, young=89)
        await until(lambda: names(database, ["young"]), "the old job is deleted")
        await write(database, old=91)
        await until(lambda: names(database, ["young"]), "the next one is too")
    finally:
        await end([task])
        await database.close()


async def write(database: Database, **days: int) -> None:
    """Write jobs by the number of days since they finished."""
    now = datetime.now(UTC)
    rows = [
        {"id": name, "queue": "q", "name": "n", "status": "COMPLETED", "event": f"{1:015}-{1:010}.{1:05}"}
        | {"finished_at": now - timedelta(days=age)}
        for name, age in days.items()
    ]
    async with database.write() as connection:
        await audit.upsert(connection, rows)


async def names(database: Database, expected: list[str]) -> bool:
    async with database.read() as connection:
        return [row["id"] for row in await list_jobs(connection, Wanted())] == expected
