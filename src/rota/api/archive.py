"""The audit table as the API reads it; an API without DATABASE_URL has none."""

from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any

from rota.errors import RefusedPayload
from rota.model.bulk.actions import Action
from rota.names import ids_of
from rota.settings.database_url import DatabaseTarget
from rota.store.engine import Database
from rota.wire.keys import actions_key
from rota.wire.sealing.sealed import unseal_job
from rota.wire.sealing.seals import Sealer, is_encrypted, seal_at
from rota.wire.sealing.values import open_value, sealed_in

if TYPE_CHECKING:
    from rota.store.figures import StoreFigures
    from rota.store.queries import Position, Wanted

#: A row of the table, by its columns.
Row = dict[str, Any]

#: Seconds that a question may take: a caller waits for the answer.
PATIENCE = 10.0
#: How long figures of the whole table are shown before they are asked for again, in seconds: some are counted.
_FIGURES_HOLD = 10.0


class Archive:
    """The table of all jobs, read. What it is asked raises StoreError where the database cannot be used."""

    def __init__(self, target: DatabaseTarget, sealer: Sealer | None = None) -> None:
        self._database = Database(target, patience=PATIENCE)
        self._sealer = sealer
        self._figures: tuple[StoreFigures, float] | None = None

    async def job(self, queue: str, job_id: str, *, tenant: str | None = None) -> Row | None:
        """Return the row of a job, by its id in Redis or the one that its user gave; None where there is none.

        With a tenant also for a job of another one.
        """
        from rota.store.queries import one_job  # noqa: PLC0415 - it needs an extra

        async with self._database.read() as connection:
            for one in ids_of(queue, job_id):
                row = await one_job(connection, one, tenant=tenant)
                if row is not None and row["queue"] == queue:
                    return opened(row, self._sealer)
        return None

    async def some(self, ids: Sequence[str], *, tenant: str | None = None) -> list[Row]:
        """Return the rows of these jobs that the table has, without what is large; with a tenant, of its jobs."""
        from rota.store.queries import some_jobs  # noqa: PLC0415 - it needs an extra

        async with self._database.read() as connection:
            return await some_jobs(connection, ids, tenant=tenant)

    async def jobs(
        self,
        wanted: "Wanted",
        after: "Position | None",
        limit: int,
        *,
        newer: bool = False,
        payloads: bool = False,
    ) -> "tuple[list[Row], Position | None]":
        """Return a page of jobs, the newest first, without what is large, and where the next one begins.

        None is returned in place of that where no job lies behind. With `newer` the page lies before the place, from
        there on; with `payloads` those that are not large are read.
        """
        from rota.store.queries import Position, end_of_look, list_jobs  # noqa: PLC0415 - it needs an extra

        async with self._database.read() as connection:
            rows = await list_jobs(
                connection, wanted, after=after, limit=limit + 1, newer=newer, payloads=payloads
            )
            if len(rows) > limit:
                return self._opened(rows[:limit], payloads), Position.of(rows[limit - 1])
            end = await end_of_look(connection, wanted, after=after, newer=newer)
            return self._opened(rows, payloads), end

    def _opened(self, rows: list[Row], payloads: bool) -> list[Row]:
        return [opened({**row, "result": None}, self._sealer) for row in rows] if payloads else rows

    async def counts(self, queues: Sequence[str]) -> dict[str, int]:
        """Return how many jobs of some queues have ended in each way, at most 10,000 of each."""
        from rota.store.queries import count_by_status  # noqa: PLC0415 - it needs an extra

        async with self._database.read() as connection:
            return await count_by_status(connection, queues)

    async def newest(self, queue: str, names: Sequence[str], most: int) -> list[Row]:
        """Return what became of the newest jobs of each of some names on a queue; at most `most` of each."""
        from rota.store.queries import newest_by_name  # noqa: PLC0415 - it needs an extra

        async with self._database.read() as connection:
            return await newest_by_name(connection, queue, names, most)

    async def actions(
        self, namespace: str, *, before: str | None, tenant: str | None, limit: int
    ) -> list[Action]:
        """Return the newest actions of a deployment, or those before a position; with a tenant, those on its jobs."""
        from rota.store.actions import page  # noqa: PLC0415 - it needs an extra

        async with self._database.read() as connection:
            return await page(connection, actions_key(namespace), before=before, tenant=tenant, limit=limit)

    async def figures(self) -> "StoreFigures":
        """Return how large the table is and what waits in the outbox, as it was within the last seconds."""
        from rota.store.figures import figures_of  # noqa: PLC0415 - it needs an extra

        if self._figures is None or monotonic() >= self._figures[1] + _FIGURES_HOLD:
            async with self._database.read() as connection:
                self._figures = await figures_of(connection), monotonic()
        return self._figures[0]

    async def close(self) -> None:
        await self._database.close()


def opened(row: Row, sealer: Sealer | None) -> Row:
    """Return a row with its payload and its result as they were before they were sealed.

    What this process cannot open is None, and `refused` says why.
    """
    try:
        return {**row, "payload": _payload(row, sealer), "result": _result(row, sealer)}
    except RefusedPayload as error:
        return {**row, "payload": None, "result": None, "refused": str(error)}


def _payload(row: Row, sealer: Sealer | None) -> str | None:
    text: str | None = row["payload"]
    raw = (text or "").encode("utf-8", "surrogateescape")
    if text is None or seal_at(raw) < 0:
        return text  # the table is trusted, and may be older than the keys
    if sealer is None and is_encrypted(raw):
        raise RefusedPayload("sealed")
    return unseal_job(sealer, raw, queue=row["queue"], job_id=row["id"]).decode("utf-8", "replace")


def _result(row: Row, sealer: Sealer | None) -> str | None:
    text: str | None = row["result"]
    sealed = None if text is None else sealed_in(text)
    if sealed is None:
        return text
    if sealer is None:
        raise RefusedPayload("sealed")
    found = open_value(sealer, sealed)
    if found.id != row["id"]:
        raise RefusedPayload("bad_signature")
    return found.raw.decode("utf-8", "replace")
