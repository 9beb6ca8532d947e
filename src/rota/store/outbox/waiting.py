"""The rows of the outbox as the relay sees them: those that wait, and what became of them.

All times are those of the database's clock, so that two leaders on machines of different clocks agree.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, delete, func, literal, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from rota.store.schema import Row, jobs, outbox

#: How long a transaction that holds rows may stand still before PostgreSQL gives them free, in ms.
_STANDSTILL = 30_000
#: From the sending of a row to the first look for what became of it, in seconds.
FIRST_LOOK = 60.0

_WAITS = (outbox.c.sent_at.is_(None), outbox.c.refused.is_(None))


@dataclass(frozen=True, slots=True)
class Backlog:
    """The rows that wait to be sent: how many, and the seconds for which the oldest does."""

    rows: int = 0
    oldest: float = 0.0


def now_of(connection: AsyncConnection) -> ColumnElement[Any]:
    """Return the time of the database's clock, for a statement."""
    if connection.dialect.name == "sqlite":
        return literal(datetime.now(UTC), outbox.c.created_at.type)
    # That of the transaction's beginning: an index can answer what is compared with it.
    return func.now()


def ended() -> ColumnElement[bool]:
    """Return the condition that the end of a row's job is in the audit table, told after the row was sent."""
    of_row = (jobs.c.id == outbox.c.id, jobs.c.event > outbox.c.place, jobs.c.finished_at.is_not(None))
    # What vanished has not ended: a row that is here goes again.
    return select(jobs.c.id).where(*of_row, func.coalesce(jobs.c.reason, "") != "vanished").exists()


async def oldest_waiting(connection: AsyncConnection, namespace: str) -> float | None:
    """Return for how many seconds the first of the rows waits; None where none does."""
    question = (
        select(outbox.c.created_at, now_of(connection).label("now"))
        .where(*_WAITS, outbox.c.namespace == namespace)
        .order_by(outbox.c.key)
        .limit(1)
    )
    found = (await connection.execute(question)).first()
    return None if found is None else _seconds(found.now, found.created_at)


async def count_waiting(connection: AsyncConnection, namespace: str) -> int:
    """Return how many rows of a namespace wait to be sent."""
    question = select(func.count()).select_from(outbox).where(*_WAITS, outbox.c.namespace == namespace)
    return await connection.scalar(question) or 0


async def backlogs(connection: AsyncConnection) -> dict[str, Backlog]:
    """Return what waits, by the namespace that it waits for."""
    question = (
        select(
            outbox.c.namespace,
            func.count(),
            func.min(outbox.c.created_at).label("first"),
            now_of(connection).label("now"),
        )
        .where(*_WAITS)
        .group_by(outbox.c.namespace)
    )
    found = await connection.execute(question)
    return {row.namespace: Backlog(row[1], _seconds(row.now, row.first)) for row in found}


async def count_refused(connection: AsyncConnection) -> int:
    """Return how many rows were refused, and stay to be looked at."""
    return (
        await connection.scalar(select(func.count()).select_from(outbox).where(outbox.c.refused.is_not(None)))
        or 0
    )


async def lock_waiting(connection: AsyncConnection, namespace: str, most: int) -> list[Row]:
    """Return rows that wait, the oldest first, and hold them until the end of the transaction.

    Rows that another relay holds are left out. `age` is the time since a row was written, in seconds.
    """
    if connection.dialect.name == "postgresql":
        await connection.execute(text(f"SET LOCAL idle_in_transaction_session_timeout = {_STANDSTILL}"))
    found = await connection.execute(waiting(now_of(connection), namespace, most))
    return [dict(row) | {"age": _seconds(row["now"], row["created_at"])} for row in found.mappings()]


def waiting(now: ColumnElement[Any], namespace: str, most: int) -> Select[Any]:
    """Return the statement that asks for rows that wait, and holds them."""
    due = or_(outbox.c.look_at.is_(None), outbox.c.look_at <= now)
    return (
        select(outbox, now.label("now"))
        .where(*_WAITS, outbox.c.namespace == namespace, due)
        .order_by(outbox.c.key)
        .limit(most)
        .with_for_update(skip_locked=True)
    )


async def note_sent(
    connection: AsyncConnection, keys: Sequence[str], *, birth: str, place: str, now: datetime
) -> None:
    """Write down that rows were sent, to the Redis of this birth mark, at this place among its records."""
    if not keys:
        return
    look_at = now + timedelta(seconds=FIRST_LOOK)
    await connection.execute(
        update(outbox)
        .where(outbox.c.key.in_(keys))
        .values(sent_at=now, sends=outbox.c.sends + 1, birth=birth, place=place, look_at=look_at)
    )


async def note_moved(connection: AsyncConnection, key: str, job_id: str) -> None:
    """Write down that a row took the place of another job, and is now `job_id`."""
    await connection.execute(update(outbox).where(outbox.c.key == key).values(id=job_id))


async def drop_former(connection: AsyncConnection, namespace: str, key: str, job_id: str) -> None:
    """Remove a namespace's rows that were sent under the id of a newer one: their job is over, or was replaced."""
    of_id = (outbox.c.id == job_id, outbox.c.namespace == namespace)
    former = (*of_id, outbox.c.key != key, outbox.c.sent_at.is_not(None))
    await connection.execute(delete(outbox).where(*former))


async def note_refused(connection: AsyncConnection, key: str, why: str) -> None:
    """Write down that a row will not be sent, and why: it stays to be looked at."""
    await connection.execute(update(outbox).where(outbox.c.key == key).values(refused=why))


async def put_off(connection: AsyncConnection, keys: Sequence[str], until: datetime) -> None:
    """Let rows wait, or be looked at, no sooner than `until`."""
    if keys:
        await connection.execute(update(outbox).where(outbox.c.key.in_(keys)).values(look_at=until))


async def drop(connection: AsyncConnection, keys: Sequence[str]) -> None:
    """Remove rows that are of no more use."""
    if keys:
        await connection.execute(delete(outbox).where(outbox.c.key.in_(keys)))


async def still_unsent(connection: AsyncConnection, keys: Sequence[str]) -> dict[str, int]:
    """Return those of the rows of which nothing says yet that they were sent, with how often they were before."""
    question = select(outbox.c.key, outbox.c.sends).where(outbox.c.key.in_(keys), outbox.c.sent_at.is_(None))
    return {row.key: row.sends for row in await connection.execute(question)}


def _seconds(now: datetime, then: datetime) -> float:
    return max(0.0, (_aware(now) - _aware(then)).total_seconds())


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
