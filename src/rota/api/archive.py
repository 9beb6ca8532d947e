"""The audit table as the API reads it; an API without DATABASE_URL has none."""

from typing import TYPE_CHECKING, Any

from rota.names import ids_of
from rota.settings.database_url import DatabaseTarget
from rota.store.engine import Database

if TYPE_CHECKING:
    from rota.store.queries import Position, Wanted

#: A row of the table, by its columns.
Row = dict[str, Any]

#: Seconds that a question may take: a caller waits for the answer.
PATIENCE = 10.0


class Archive:
    """The table of all jobs, read. What it is asked raises StoreError where the database cannot be used."""

    def __init__(self, target: DatabaseTarget) -> None:
        self._database = Database(target, patience=PATIENCE)

    async def job(self, queue: str, job_id: str, *, tenant: str | None = None) -> Row | None:
        """Return the row of a job, by its id in Redis or the one that its user gave; None where there is none.

        With a tenant also for a job of another one.
        """
        from rota.store.queries import one_job  # noqa: PLC0415 - it needs an extra

        async with self._database.read() as connection:
            for one in ids_of(queue, job_id):
                row = await one_job(connection, one, tenant=tenant)
                if row is not None and row["queue"] == queue:
                    return row
        return None

    async def jobs(self, wanted: "Wanted", after: "Position | None", limit: int) -> list[Row]:
        """Return a page of jobs, the newest first, without what is large."""
        from rota.store.queries import list_jobs  # noqa: PLC0415 - it needs an extra

        async with self._database.read() as connection:
            return await list_jobs(connection, wanted, after=after, limit=limit)

    async def close(self) -> None:
        await self._database.close()
