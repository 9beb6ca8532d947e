"""The rows of the outbox that were sent: whether their jobs are over, and those that have to go again."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam, delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from rota.store.outbox.waiting import ended, now_of
from rota.store.schema import outbox

#: The least and the longest time from one look for a row's job to the next, in seconds. It is the age of the sending,
#: so that a job which waits by design for days costs little.
LEAST, LONGEST = 60.0, 3600.0
#: The most rows that one statement sets back.
_PORTION = 1000

_AGAIN = {"sent_at": None, "look_at": None}


@dataclass(frozen=True, slots=True)
class SentRow:
    """A row that was sent: `place` says when, `is_over` that its end is in the audit table."""

    key: str
    id: str
    place: str
    sent_at: datetime
    is_over: bool


async def due(connection: AsyncConnection, namespace: str, most: int) -> tuple[list[SentRow], datetime]:
    """Return rows whose jobs are to be looked for now, and the time."""
    now = now_of(connection)
    found = (await connection.execute(looks(now, namespace, most))).all()
    rows = [SentRow(row.key, row.id, row.place or "", row.sent_at, bool(row.is_over)) for row in found]
    at: datetime = found[0].now if found else datetime.now(UTC)
    return rows, at


def looks(now: Any, namespace: str, most: int) -> Select[Any]:
    """Return the statement that asks for rows whose jobs are to be looked for."""
    columns = (outbox.c.key, outbox.c.id, outbox.c.place, outbox.c.sent_at)
    return (
        select(*columns, ended().label("is_over"), now.label("now"))
        .where(outbox.c.sent_at.is_not(None), outbox.c.look_at <= now, outbox.c.namespace == namespace)
        .order_by(outbox.c.look_at)
        .limit(most)
    )


async def drop_over(connection: AsyncConnection, rows: Sequence[SentRow]) -> None:
    """Remove rows whose jobs are over, unless they were sent again since."""
    if rows:
        statement = delete(outbox).where(
            outbox.c.key == bindparam("which"), outbox.c.place == bindparam("seen")
        )
        await connection.execute(statement, [{"which": row.key, "seen": row.place} for row in rows])


async def look_later(connection: AsyncConnection, rows: Sequence[SentRow], now: datetime) -> None:
    """Look for the jobs of these rows again, the later the longer ago they were sent."""
    if rows:
        statement = (
            update(outbox)
            .where(outbox.c.key == bindparam("which"), outbox.c.place == bindparam("seen"))
            .values(look_at=bindparam("later"))
        )
        later = [
            {"which": row.key, "seen": row.place, "later": now + timedelta(seconds=pause_after(row, now))}
            for row in rows
        ]
        await connection.execute(statement, later)


def pause_after(row: SentRow, now: datetime) -> float:
    """Return the seconds from this look for a row's job to the next."""
    return min(max((now - row.sent_at).total_seconds(), LEAST), LONGEST)


async def set_back(connection: AsyncConnection, rows: Sequence[SentRow]) -> int:
    """Let rows wait to be sent again, unless their end is known by now; return how many."""
    moved = 0
    statement = (
        update(outbox)
        .where(
            outbox.c.key == bindparam("which"),
            outbox.c.place == bindparam("seen"),
            outbox.c.sent_at.is_not(None),
            ~ended(),
        )
        .values(_AGAIN)
    )
    for row in rows:
        moved += (await connection.execute(statement, {"which": row.key, "seen": row.place})).rowcount
    return moved


async def has_of_others(connection: AsyncConnection, namespace: str, birth: str) -> bool:
    """Tell whether rows were sent to another Redis than the one with this birth mark."""
    question = select(outbox.c.key).where(*_of_others(namespace, birth)).limit(1)
    return (await connection.execute(question)).first() is not None


def _of_others(namespace: str, birth: str) -> tuple[ColumnElement[bool], ...]:
    return (outbox.c.namespace == namespace, outbox.c.sent_at.is_not(None), outbox.c.birth != birth)


async def set_back_of_others(
    connection: AsyncConnection, namespace: str, birth: str, after: str
) -> tuple[str | None, int]:
    """Let a portion of the rows that were sent to another Redis wait again, and remove those whose jobs are over.

    The portion is that behind the key `after`. Return its last key, None where none is left; and how many wait now.
    """
    of_others = _of_others(namespace, birth)
    found = (
        await connection.execute(
            select(outbox.c.key, ended().label("is_over"))
            # Without its place each portion would be looked for among all that were set back before.
            .where(outbox.c.key > after, *of_others)
            .order_by(outbox.c.key)
            .limit(_PORTION)
        )
    ).all()
    over = [row.key for row in found if row.is_over]
    again = [row.key for row in found if not row.is_over]
    if over:
        await connection.execute(delete(outbox).where(outbox.c.key.in_(over), *of_others))
    if again:
        await connection.execute(update(outbox).where(outbox.c.key.in_(again), *of_others).values(_AGAIN))
    return found[-1].key if found else None, len(again)
