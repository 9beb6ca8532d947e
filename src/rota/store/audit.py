"""Writes what became of jobs into their rows, and how far the stream of events has been read, in one transaction."""

import logging
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import cache, lru_cache
from operator import itemgetter
from typing import Any

from sqlalchemy import bindparam, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from rota.store.faults import Fenced, is_of_a_row, kind_of
from rota.store.schema import Row, jobs, quarantine, recorder
from rota.store.values import clean, moment_of

logger = logging.getLogger("rota.database")

#: A recorder that stands still for so long within its transaction is cut off by PostgreSQL, in milliseconds.
STANDSTILL_MS = 15_000

#: The position before the first entry of a stream.
START = "0-0"


async def upsert(connection: AsyncConnection, rows: Sequence[Row], *, stream: str = "") -> None:
    """Write rows, or what is known of them, within the transaction of `connection`.

    A row has `id`, `queue`, `name` (empty if unknown), `status` and `event`. Columns that it leaves out stay as they
    are, or empty where the job has no row yet. A row counts only if its event is later than that in the table, so a
    batch may be repeated. Of two rows of one job the later one wins, column by column.

    A row that the database does not take is put aside, into `_quarantine` under the name of its `stream`, and the
    others are written. Faults of the database itself are raised, and undo the transaction.
    """
    alike: dict[tuple[str, ...], list[Row]] = {}
    for row in _folded(map(clean, rows)):
        # An event that does not say the name of its job leaves it as it is.
        known = _in_order(tuple(row if row["name"] else row.keys() - {"name"}))
        alike.setdefault(known, []).append(row)
        # A row that an event without it begins must have its place in the lists, which are ordered by this.
        row["enqueued_at"] = row.get("enqueued_at") or moment_of(row["event"])
    for known, batch in alike.items():
        await _write(connection, known, batch, stream)


@lru_cache(1000)
def _in_order(columns: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(columns))


def _folded(rows: Iterable[Row]) -> Iterable[Row]:
    """Return one row a job: a statement must not meet a row twice."""
    found: dict[Any, Row] = {}
    for row in rows:
        other = found.setdefault(row["id"], row)
        if other is not row:
            is_later = row["event"] > other["event"]
            found[row["id"]] = {**other, **row} if is_later else {**row, **other}
    return found.values()


async def _write(
    connection: AsyncConnection, known: tuple[str, ...], rows: Sequence[Row], stream: str
) -> None:
    """Write rows of which the same columns are known; where one fails, halve them until it is found."""
    try:
        async with connection.begin_nested():
            if connection.dialect.name == "sqlite":
                await connection.execute(_statement(known), rows)
            else:
                await _send(connection, known, rows)
    except Exception as error:
        if not is_of_a_row(error):
            raise
        if len(rows) == 1:
            await _put_aside(connection, rows[0], stream, kind_of(error))
            return
        middle = len(rows) // 2
        await _write(connection, known, rows[:middle], stream)
        await _write(connection, known, rows[middle:], stream)


async def _send(connection: AsyncConnection, known: tuple[str, ...], rows: Sequence[Row]) -> None:
    """Write rows into PostgreSQL, as one array a column: a statement for each row takes the server twice as long."""
    names = _in_order(tuple({*known, "name", "enqueued_at"}))
    arrays = dict(zip(names, zip(*map(itemgetter(*names), rows), strict=True), strict=True))
    # Of a row that begins most columns are empty, in all rows.
    filled = tuple(name for name, values in arrays.items() if any(one is not None for one in values))
    # The driver takes all values as they are. For SQLAlchemy to look at each of them takes longer than to send a row.
    await connection.exec_driver_sql(_as_sent(known, names, filled), tuple(map(arrays.__getitem__, filled)))


@cache
def _type_of(name: str) -> str:
    dialect: Any = postgresql
    return str(jobs.c[name].type.compile(dialect.dialect()))


@lru_cache(200)
def _as_sent(known: tuple[str, ...], names: tuple[str, ...], filled: tuple[str, ...]) -> str:
    """Return what PostgreSQL is sent: `filled` are the columns of the arrays, other columns are empty in all rows."""
    types = {name: _type_of(name) for name in names}
    given = ", ".join(f"${number}::{types[name]}[]" for number, name in enumerate(filled, 1))
    values = ", ".join(name if name in filled else f"NULL::{types[name]}" for name in names)
    changed = ", ".join(f"{name} = excluded.{name}" for name in known if name != "id")
    return (
        f"INSERT INTO {jobs.name} ({', '.join(names)}) SELECT {values} FROM unnest({given}) AS new"  # noqa: S608
        f" ({', '.join(filled)}) ON CONFLICT (id) DO UPDATE SET {changed} WHERE {jobs.name}.event < excluded.event"
    )


@cache
def _statement(known: tuple[str, ...]) -> Any:
    """Return the statement that writes the columns `known` of one row after the other.

    A new row is given a name and `enqueued_at` in any case.
    """
    insert = sqlite.insert(jobs).values({name: bindparam(name) for name in {*known, "name", "enqueued_at"}})
    new = insert.excluded
    return insert.on_conflict_do_update(
        index_elements=[jobs.c.id],
        set_={name: new[name] for name in known if name != "id"},
        where=jobs.c.event < new.event,
    )


async def _put_aside(connection: AsyncConnection, row: Row, stream: str, kind: str) -> None:
    # The row may hold what nobody should read in a log, and the database's own words may quote it.
    logger.error("database.row_put_aside", extra={"job": row["id"], "error": kind})
    position = {"stream": stream, "position": row["event"]}
    found = await connection.execute(select(quarantine.c.at).filter_by(**position))
    if found.first() is None:
        error = f"{kind}: job {row['id']}"
        await connection.execute(quarantine.insert().values(**position, error=error, at=datetime.now(UTC)))


async def cursor(connection: AsyncConnection, stream: str) -> str:
    """Return the id of the last entry of `stream` that is in the table; START if there is none."""
    found = await connection.scalar(select(recorder.c.last_id).where(recorder.c.stream == stream))
    return found or START


async def advance(connection: AsyncConnection, stream: str, old: str, new: str, epoch: int) -> None:
    """Move the cursor of `stream` from `old` to `new`, in the transaction that writes what was read between.

    Called before `upsert`, it lets two recorders wait for each other here and nowhere else. Raises Fenced where the
    cursor is not at `old`, or a recorder of a later `epoch` has moved it: then the transaction must be undone.
    """
    if connection.dialect.name != "sqlite":
        # A process that stands still here holds the cursor's row, for which the next leader waits.
        await connection.exec_driver_sql(f"SET LOCAL idle_in_transaction_session_timeout = {STANDSTILL_MS}")
    now = datetime.now(UTC)
    moved = await connection.execute(
        update(recorder)
        .where(recorder.c.stream == stream, recorder.c.last_id == old, recorder.c.epoch <= epoch)
        .values(last_id=new, epoch=epoch, updated_at=now)
    )
    if moved.rowcount == 0 and old == START:
        kind = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
        first = kind(recorder).values(stream=stream, last_id=new, epoch=epoch, updated_at=now)
        moved = await connection.execute(first.on_conflict_do_nothing())
    if moved.rowcount == 0:
        raise Fenced(stream, old)
