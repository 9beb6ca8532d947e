"""Rows of jobs, written and written again, on SQLite and on PostgreSQL."""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from rota.settings.database_url import DatabaseTarget
from rota.store import audit, migrations
from rota.store.engine import Database
from rota.store.faults import Fenced, StoreError
from rota.store.schema import Row, jobs, quarantine
from rota.store.values import clean
from tests.databases import PostgresServer, new_schema

AT = datetime(2026, 11, 30, 12, 0, 0, 123456, tzinfo=UTC)


def event(number: int) -> str:
    """Return the position of an event that comes `number` seconds after AT."""
    return f"{int(AT.timestamp() * 1000) + number * 1000:015}-{0:010}.{0:05}"


def row(number: int = 0, job: str = "email:a", **known: Any) -> Row:
    return {
        "id": job,
        "queue": "email",
        "name": "send",
        "status": "PENDING",
        "event": event(number),
        **known,
    }


async def write(database: Database, *rows: Row) -> None:
    async with database.write() as connection:
        await audit.upsert(connection, rows, stream="rota:records")


async def record(
    database: Database, old: str, new: str, *rows: Row, epoch: int = 1, fail: bool = False
) -> None:
    """Write rows and move the cursor, as a recorder does; or write the rows, and fail."""
    async with database.write() as connection:
        await audit.upsert(connection, rows)
        await audit.advance(connection, "s", old, new, epoch)
        if fail:
            raise ZeroDivisionError


async def found(database: Database) -> dict[str, Row]:
    async with database.read() as connection:
        return {one["id"]: dict(one) for one in (await connection.execute(select(jobs))).mappings()}


async def put_aside(database: Database) -> Sequence[Any]:
    async with database.read() as connection:
        return (await connection.execute(select(quarantine))).all()


async def test_a_row_keeps_everything_that_it_is_given(database: Database) -> None:
    given = row(
        tenant="acme",
        payload='{"to": "Zoë 🚲"}',
        status="FAILED",
        reason="timeout",
        attempts=4,
        error="boom",
        error_key="k",
        progress=12.5,
        message="half",
        result="[]",
        log="x" * 100_000,
        enqueued_at=AT,
        due_at=AT,
        started_at=AT,
        finished_at=AT,
        worker="w",
        version="1.2",
        flow="f",
        parent="p",
    )
    await write(database, given)
    assert await found(database) == {"email:a": given}


async def test_an_event_changes_what_it_knows_and_nothing_else(database: Database) -> None:
    await write(database, row(0, enqueued_at=AT, payload="{}"))
    await write(database, row(1, status="RUNNING", started_at=AT, attempts=1))
    await write(database, row(2, status="COMPLETED", result="7", finished_at=AT))
    one = (await found(database))["email:a"]
    assert (one["payload"], one["attempts"], one["started_at"], one["result"]) == ("{}", 1, AT, "7")
    assert (one["status"], one["enqueued_at"], one["event"]) == ("COMPLETED", AT, event(2))


async def test_an_event_that_does_not_know_the_name_leaves_it(database: Database) -> None:
    await write(database, row(0), row(0, job="email:b", name=""))
    await write(database, row(1, name="", status="RUNNING"))
    rows = await found(database)
    assert {job: (one["name"], one["status"]) for job, one in rows.items()} == {
        "email:a": ("send", "RUNNING"),
        "email:b": ("", "PENDING"),
    }


async def test_an_event_that_came_late_or_twice_changes_nothing(database: Database) -> None:
    await write(database, row(2, status="COMPLETED", result="7"))
    await write(database, row(2, status="PENDING", result=None), row(1, job="email:b"))
    await write(database, row(1, status="RUNNING", worker="w"))
    one = (await found(database))["email:a"]
    assert (one["status"], one["result"], one["worker"]) == ("COMPLETED", "7", None)


async def test_a_job_whose_enqueueing_nobody_saw_begins_with_the_event_that_was_seen(
    database: Database,
) -> None:
    await write(database, row(3, status="RUNNING", started_at=AT))
    began = (await found(database))["email:a"]["enqueued_at"]
    assert (began - AT).total_seconds() == pytest.approx(3, abs=0.01)
    await write(database, row(4, status="COMPLETED"))
    assert (await found(database))["email:a"]["enqueued_at"] == began


async def test_an_id_that_is_used_again_begins_its_row_again(database: Database) -> None:
    await write(database, row(0, status="FAILED", error="boom", finished_at=AT, enqueued_at=AT))
    await write(database, row(1, status="PENDING", error=None, finished_at=None, enqueued_at=None))
    one = (await found(database))["email:a"]
    assert (one["status"], one["error"], one["finished_at"]) == ("PENDING", None, None)
    assert one["enqueued_at"] > AT


async def test_two_rows_of_one_job_in_a_batch_are_one(database: Database) -> None:
    await write(database, row(1, status="RUNNING", worker="w"), row(0, payload="{}"), row(2, result="7"))
    one = (await found(database))["email:a"]
    assert (one["worker"], one["payload"], one["result"], one["event"]) == ("w", "{}", "7", event(2))


async def test_a_batch_of_all_kinds_is_written_whole(database: Database) -> None:
    await write(
        database, *(row(n, job=f"email:{n}", **({"log": "x"} if n % 3 else {})) for n in range(3_000))
    )
    assert len(await found(database)) == 3_000


# Values that are not what they should be


async def test_what_is_not_text_is_made_text(database: Database) -> None:
    await write(
        database,
        row(payload='{"a": "\0\ud800"}', error="\udcff", progress=float("inf"), attempts=10**30),
        row(job="email:\0\udcff", started_at=AT.replace(tzinfo=None)),
    )
    rows = await found(database)
    one = rows["email:a"]
    assert (one["payload"], one["error"], one["progress"]) == ('{"a": "\ufffd\ufffd"}', "\ufffd", None)
    assert one["attempts"] == 2**31 - 1
    assert rows["email:\\x00\\xff"]["started_at"] == AT
    assert await put_aside(database) == []


@pytest.mark.parametrize("letter", ["x", "ÿ", "🚲"])
async def test_an_id_of_any_length_is_found_by_an_index(database: Database, letter: str) -> None:
    ids = [letter * 5_000 + ending for ending in ("a", "b")]
    await write(database, *(row(job=one, tenant=one, name=one) for one in ids))
    assert set(await found(database)) == {clean({"id": one})["id"] for one in ids}
    assert len(await found(database)) == 2


async def test_a_row_that_is_not_taken_is_put_aside_and_the_others_are_written(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    wrong: dict[int, Row] = {17: {"started_at": "secret"}, 42: {"message": object()}, 63: {"queue": None}}
    with caplog.at_level(logging.ERROR):
        await write(database, *(row(n, job=f"email:{n}", **wrong.get(n, {})) for n in range(100)))
    assert len(await found(database)) == 97
    aside = await put_aside(database)
    assert {(one.stream, one.position) for one in aside} == {("rota:records", event(n)) for n in wrong}
    assert {one.error.partition(": ")[2] for one in aside} == {f"job email:{n}" for n in wrong}
    assert "secret" not in caplog.text + str(aside)
    await write(database, row(17, job="email:17", started_at="secret"))
    assert len(await put_aside(database)) == 3


async def test_a_fault_of_the_database_puts_no_row_aside(database: Database) -> None:
    async with database.write() as connection:
        await connection.exec_driver_sql("ALTER TABLE _jobs RENAME COLUMN log TO journal")
    with pytest.raises(StoreError, match="has tables of an older rota: run `rota migrate`") as caught:
        await write(database, row(), row(job="email:b", log="x"))
    assert isinstance(caught.value.__cause__, DBAPIError)
    assert await put_aside(database) == []


# The cursor


async def cursor(database: Database, stream: str = "s") -> str:
    async with database.read() as connection:
        return await audit.cursor(connection, stream)


async def test_the_cursor_moves_with_the_rows_or_not_at_all(database: Database) -> None:
    assert await cursor(database) == "0-0"
    await record(database, "0-0", "5-0", row())
    with pytest.raises(ZeroDivisionError):
        await record(database, "5-0", "6-0", row(job="email:b"), fail=True)
    assert await cursor(database) == "5-0"
    assert set(await found(database)) == {"email:a"}


@pytest.mark.parametrize(
    ("old", "epoch"), [("0-0", 3), ("4-0", 3), ("5-0", 1)], ids=["first", "behind", "epoch"]
)
async def test_a_recorder_that_is_not_the_last_one_is_fenced(
    database: Database, old: str, epoch: int
) -> None:
    await record(database, "0-0", "5-0", epoch=2)
    with pytest.raises(Fenced, match="has to read again"):
        await record(database, old, "6-0", row(), epoch=epoch)
    assert await found(database) == {}


async def test_a_recorder_that_stands_still_in_its_transaction_holds_up_the_next_one_for_a_time_only(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "STANDSTILL_MS", 100)
    database = Database(DatabaseTarget.from_url(await new_schema(postgres)))
    await migrations.migrate(database)
    await record(database, "0-0", "5-0")
    try:

        async def stand_still() -> None:
            async with database.write() as stopped:
                await audit.advance(stopped, "s", "5-0", "6-0", 1)
                # It does nothing more, and the next one waits for its row until PostgreSQL has had enough.
                await record(database, "5-0", "7-0", row(), epoch=2)
                await audit.upsert(stopped, [row(job="email:b")])

        with pytest.raises(StoreError) as cut:
            await stand_still()
        assert cut.value.transient
        assert await cursor(database) == "7-0"
        assert set(await found(database)) == {"email:a"}
    finally:
        await database.close()


async def test_a_later_epoch_goes_on_where_the_last_one_was(database: Database) -> None:
    for old, new, epoch in (("0-0", "5-0", 2), ("5-0", "6-0", 7), ("6-0", "7-0", 7)):
        await record(database, old, new, epoch=epoch)
    assert await cursor(database) == "7-0"
    assert await cursor(database, "other") == "0-0"
