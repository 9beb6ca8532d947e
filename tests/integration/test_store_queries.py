"""The questions of the API and the dashboard to the table of jobs, and the indexes that answer them.

STORE_ROWS makes the table on which PostgreSQL's plans are looked at as large as it may become.
"""

import asyncio
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Delete, func, text

from rota.settings.database_url import DatabaseTarget
from rota.store import audit, figures, queries, retention
from rota.store.engine import Database
from rota.store.migrations import migrate
from rota.store.outbox import sent, waiting
from rota.store.queries import (
    Position,
    Wanted,
    count_by_status,
    end_of_look,
    list_jobs,
    one_job,
    some_jobs,
)
from rota.store.schema import Row
from tests.databases import PostgresServer, new_schema

ROWS = int(os.environ.get("STORE_ROWS", "20000"))
_LARGE = 1_000_000
AT = datetime(2026, 11, 30, 12, tzinfo=UTC)


def row(number: int, **known: Any) -> Row:
    at = AT + timedelta(seconds=number // 3)
    return {
        "id": f"email:{number:03}",
        "queue": "email",
        "name": "send",
        "status": "PENDING",
        "event": f"{int(at.timestamp() * 1000):015}-0000000000.00000",
        "enqueued_at": at,
        **known,
    }


async def write(database: Database, *rows: Row) -> None:
    async with database.write() as connection:
        await audit.upsert(connection, rows)


async def ids(database: Database, wanted: Wanted, **options: Any) -> list[str]:
    async with database.read() as connection:
        return [one["id"] for one in await list_jobs(connection, wanted, **options)]


async def test_a_job_is_found_by_its_id_and_its_tenant(database: Database) -> None:
    odd = "email:\0\udcff" + "x" * 3_000
    await write(database, row(1, tenant="acme", payload="{}"), row(2, id=odd))
    async with database.read() as connection:
        one = await one_job(connection, "email:001", tenant="acme")
        assert one
        assert (one["payload"], one["enqueued_at"]) == ("{}", AT)
        assert await one_job(connection, "email:001") == one
        assert await one_job(connection, "email:001", tenant="other") is None
        assert await one_job(connection, "email:404") is None
        assert await one_job(connection, odd)


@pytest.mark.parametrize("field", ["tenant", "queue", "status", "name", "flow"])
async def test_a_list_has_the_newest_jobs_that_are_wanted_page_by_page(
    database: Database, field: str
) -> None:
    await write(database, *(row(n, **{field: "a" if n % 2 else "b"}) for n in range(40)))
    given: dict[str, Any] = {field: "a"}
    wanted = Wanted(**given)
    expected = [f"email:{n:03}" for n in range(39, 0, -2)]
    assert await ids(database, wanted) == expected
    async with database.read() as connection:
        first = await list_jobs(connection, wanted, limit=7)
        second = await list_jobs(connection, wanted, after=Position.of(first[-1]), limit=7)
    assert [one["id"] for one in first + second] == expected[:14]
    assert not {"payload", "result", "log"} & first[0].keys()


async def test_a_page_is_not_moved_by_jobs_that_come_meanwhile(database: Database) -> None:
    await write(database, *(row(n) for n in range(10)))
    async with database.read() as connection:
        first = await list_jobs(connection, Wanted(), limit=5)
    await write(database, *(row(n) for n in range(10, 13)))
    assert await ids(database, Wanted(), after=Position.of(first[-1])) == [
        f"email:{n:03}" for n in range(4, -1, -1)
    ]


async def test_conditions_are_joined(database: Database) -> None:
    await write(database, *(row(n, status="FAILED", error_key=f"k{n % 3}") for n in range(9)))
    await write(database, row(9, error_key="k0"))
    assert await ids(database, Wanted(error_key="k0")) == ["email:006", "email:003", "email:000"]
    later = Wanted(error_key="k0", since=AT + timedelta(seconds=1), until=AT + timedelta(seconds=2))
    assert await ids(database, later) == ["email:003"]


async def test_a_list_is_read_back_to_its_beginning(database: Database) -> None:
    await write(database, *(row(n, status="FAILED" if n % 2 else "COMPLETED") for n in range(40)))
    for wanted, step in ((Wanted(), 1), (Wanted(status="FAILED"), 2)):
        place = Position(row(11)["enqueued_at"], "email:011")
        newer = await ids(database, wanted, after=place, limit=3, newer=True)
        assert newer == [f"email:{11 + step * n:03}" for n in (1, 2, 3)]


async def test_a_list_of_a_queue_has_all_statuses_in_their_order(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "LOOKED_AT", 1)
    statuses = ("PENDING", "RUNNING", "COMPLETED", "FAILED", "CANCELLED")
    await write(database, *(row(n, status=statuses[n * 7 % 5]) for n in range(20)), row(20, queue="other"))
    wanted = Wanted(queue="email")
    expected = [f"email:{n:03}" for n in range(19, -1, -1)]
    assert await ids(database, wanted) == expected
    place = Position(row(9)["enqueued_at"], "email:009")
    assert await ids(database, wanted, after=place, limit=4) == expected[11:15]
    assert await ids(database, wanted, after=place, limit=4, newer=True) == expected[9:5:-1]
    async with database.read() as connection:
        assert await end_of_look(connection, wanted) is None


async def test_conditions_without_an_index_are_looked_for_among_so_many_rows(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "LOOKED_AT", 10)
    await write(database, *(row(n, status="FAILED" if n % 9 == 0 else "COMPLETED") for n in range(28)))
    wanted, found = Wanted(status="FAILED"), []
    async with database.read() as connection:
        place: Position | None = None
        for _ in range(3):
            page = await list_jobs(connection, wanted, after=place)
            found.append([one["id"] for one in page])
            place = await end_of_look(connection, wanted, after=place)
        assert await end_of_look(connection, Wanted(), after=place) is None, (
            "an index has led to all of these"
        )
    assert (found, place) == ([["email:027", "email:018"], ["email:009"], ["email:000"]], None)


async def test_of_an_error_the_beginning_is_listed_and_a_payload_where_it_is_asked_for(
    database: Database,
) -> None:
    large = '"' + "x" * queries.LONGEST_PAYLOAD + '"'
    await write(database, row(1, error="E: " + "x" * 9_000, payload="{}"), row(2, payload=large))
    async with database.read() as connection:
        second, first = await list_jobs(connection, Wanted(), payloads=True)
        assert (len(first["error"]), first["payload"], second["payload"]) == (500, "{}", None)


async def test_jobs_are_found_by_several_ids(database: Database) -> None:
    await write(database, row(1, tenant="acme"), row(2))
    async with database.read() as connection:
        found = await some_jobs(connection, ["email:001", "email:002", "email:404"])
        assert {one["id"] for one in found} == {"email:001", "email:002"}
        (own,) = await some_jobs(connection, ["email:001", "email:002"], tenant="acme")
        assert own["id"] == "email:001"


async def test_jobs_are_counted_by_status_up_to_a_bound(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await write(database, *(row(n, status="FAILED" if n < 3 else "COMPLETED") for n in range(5)))
    await write(database, row(5, queue="bulk", status="FAILED"), row(6, queue="other", status="FAILED"))
    async with database.read() as connection:
        of_email = {"COMPLETED": 2, "FAILED": 3, "CANCELLED": 0}
        assert await count_by_status(connection, ["email"]) == of_email
        monkeypatch.setattr(queries, "COUNTED", 2)
        assert await count_by_status(connection, ["bulk", "email"]) == {**of_email, "FAILED": 2}


# Retention


async def test_what_finished_long_ago_is_deleted_in_portions_and_nothing_else(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(UTC)
    old, young = now - timedelta(days=91), now - timedelta(days=89)
    await write(database, *(row(n, finished_at=old) for n in range(25)))
    await write(database, row(25, finished_at=young), row(26))
    portions: list[int] = []
    real = retention.deletion

    def seen(ids: Sequence[str], before: datetime) -> Delete:
        portions.append(len(ids))
        return real(ids, before)

    monkeypatch.setattr(retention, "deletion", seen)
    assert await retention.sweep(database, 90 * 86_400, portion=10) == 25
    assert portions == [10, 10, 5]
    assert await ids(database, Wanted()) == ["email:026", "email:025"]
    assert await retention.sweep(database, 90 * 86_400) == 0


async def test_a_job_that_is_enqueued_again_is_not_deleted_with_its_old_run(database: Database) -> None:
    old = datetime.now(UTC) - timedelta(days=91)
    await write(database, row(1, finished_at=old), row(2, finished_at=old))
    async with database.write() as connection:
        found = (await connection.scalars(retention.oldest(datetime.now(UTC), 10))).all()
    await write(database, row(1, finished_at=None, event=row(9)["event"]))
    async with database.write() as connection:
        await connection.execute(retention.deletion(found, datetime.now(UTC)))
    assert await ids(database, Wanted()) == ["email:001"]


# The plans of PostgreSQL


@pytest.fixture(scope="module")
def full(postgres: PostgresServer) -> DatabaseTarget:
    """Return a table of many jobs of some tenants, queues and names, of which the statistics are known."""
    return asyncio.run(_filled(postgres))


async def _filled(postgres: PostgresServer) -> DatabaseTarget:
    target = DatabaseTarget.from_url(await new_schema(postgres))
    database = Database(target, patience=None)
    await migrate(database)
    for statement in (text(_FILL).bindparams(rows=ROWS), text("ANALYZE _jobs")):
        async with database.write() as connection:
            await connection.execute(statement)
    await database.close()
    return target


_FILL = """
INSERT INTO _jobs (id, tenant, queue, name, status, error_key, enqueued_at, finished_at, flow, event)
SELECT md5(n::text), 't' || n % 50, 'q' || n % 20, 'name' || n % 100,
    CASE WHEN n % 40 = 0 THEN 'FAILED' WHEN n % 100 = 1 THEN 'PENDING' ELSE 'COMPLETED' END,
    CASE WHEN n % 40 = 0 THEN 'key' || n % 200 END,
    timestamptz '2026-11-30' + n * interval '1 second', timestamptz '2026-11-30' + n * interval '1 second',
    CASE WHEN n % 50 = 0 THEN 'flow' || n % 1000 END, lpad(n::text, 32, '0')
FROM generate_series(1, cast(:rows AS integer)) AS n
"""

PLACE = Position(datetime(2026, 11, 30, tzinfo=UTC) + timedelta(seconds=ROWS // 2), "8")
OLD = datetime(2026, 11, 30, tzinfo=UTC) + timedelta(seconds=ROWS // 10)


async def plan(target: DatabaseTarget, question: Any) -> str:
    database = Database(target)
    async with database.read() as connection:
        # Of a small table PostgreSQL would rather read the whole, and sort it.
        for way in ("seqscan", "bitmapscan") if ROWS < _LARGE else ():
            await connection.execute(text(f"SET LOCAL enable_{way} = off"))
        compiled = question.compile(dialect=connection.dialect, compile_kwargs={"literal_binds": True})
        lines = (await connection.exec_driver_sql(f"EXPLAIN {compiled}")).scalars().all()
    await database.close()
    return "\n".join(lines)


@pytest.mark.parametrize("after", [None, PLACE], ids=["first", "next"])
@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (Wanted(), "_jobs_newest"),
        (Wanted(tenant="t7"), "_jobs_tenant"),
        (Wanted(tenant="t7", since=OLD), "_jobs_tenant"),
        (Wanted(queue="q0", status="FAILED"), "_jobs_queue"),
        (Wanted(name="name7"), "_jobs_name"),
    ],
    ids=["all", "tenant", "since", "queue", "name"],
)
async def test_a_page_is_read_in_the_order_of_an_index(
    full: DatabaseTarget, wanted: Wanted, index: str, after: Position | None
) -> None:
    found = await plan(full, queries.page(wanted, after, 50))
    assert f"using {index} on _jobs" in found, found
    assert "Sort" not in found, found


@pytest.mark.parametrize(
    ("wanted", "index"),
    [(Wanted(error_key="key40"), "_jobs_error"), (Wanted(flow="flow50"), "_jobs_flow")],
    ids=["error", "flow"],
)
async def test_the_jobs_of_a_flow_and_of_an_error_are_found_by_an_index(
    full: DatabaseTarget, wanted: Wanted, index: str
) -> None:
    found = await plan(full, queries.page(wanted, None, 50))
    assert index in found, found
    assert "Seq Scan" not in found, found


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (Wanted(status="FAILED"), "_jobs_newest"),
        (Wanted(tenant="t7", status="FAILED"), "_jobs_tenant"),
        (Wanted(name="name7", queue="q7"), "_jobs_name"),
    ],
    ids=["status", "tenant", "name"],
)
async def test_a_look_among_the_newest_follows_an_index_and_ends(
    full: DatabaseTarget, wanted: Wanted, index: str
) -> None:
    for newer in (False, True):
        found = await plan(full, queries.page(wanted, PLACE, 50, newer=newer))
        assert f"using {index} on _jobs" in found, found
        assert "Sort" not in found, found
        assert found.count("Limit") == 2, "the page's, and that of the rows among which it is looked for"


async def test_a_queue_is_read_by_its_index_status_by_status(full: DatabaseTarget) -> None:
    for newer in (False, True):
        found = await plan(full, queries.page(Wanted(queue="q7"), PLACE, 50, newer=newer))
        assert found.count("using _jobs_queue on _jobs") == 5, found
        assert "Seq Scan" not in found, found


async def test_jobs_are_counted_by_an_index(full: DatabaseTarget) -> None:
    for queues in (["q7"], [f"q{number}" for number in range(20)]):
        found = await plan(full, queries.count(queues, "FAILED"))
        assert "_jobs_queue" in found, found
        assert "Seq Scan" not in found, found


async def test_the_newest_of_each_name_are_read_by_its_index_and_no_more(
    full: DatabaseTarget, database: Database
) -> None:
    found = await plan(full, queries.newest("q7", ["name7", "name27"], 50))
    assert found.count("using _jobs_name on _jobs") == 2, found
    assert "Sort" not in found, found
    others = (row(8, id="video:1", queue="video"), row(9, name="other"))
    await write(database, *(row(number, name=f"n{number % 2}") for number in range(7)), *others)
    async with database.read() as connection:
        newest = await queries.newest_by_name(connection, "email", ["n0", "n1", "none"], 2)
        assert await queries.newest_by_name(connection, "email", [], 2) == []
    assert sorted((one["name"], one["enqueued_at"]) for one in newest) == [
        ("n0", AT + timedelta(seconds=1)),
        ("n0", AT + timedelta(seconds=2)),
        ("n1", AT + timedelta(seconds=1)),
        ("n1", AT + timedelta(seconds=1)),
    ]


async def test_some_jobs_are_found_by_their_ids(full: DatabaseTarget, database: Database) -> None:
    found = await plan(full, queries.some([f"{n:032x}" for n in range(30)]))
    assert "_jobs_pkey" in found, found
    assert "Seq Scan" not in found, found
    await write(database, row(1, payload="{}"), row(2), row(3))
    async with database.read() as connection:
        some = await queries.some_jobs(connection, ["email:001", "email:003", "email:404"])
    assert {one["id"] for one in some} == {"email:001", "email:003"}
    assert "payload" not in some[0]


async def test_the_figures_of_the_table_are_found_by_an_index(full: DatabaseTarget) -> None:
    found = await plan(full, figures.oldest())
    assert "_jobs_newest" in found, found
    assert "Seq Scan" not in found, found


async def test_the_figures_say_how_large_the_table_is_and_how_far_back_it_goes(database: Database) -> None:
    async with database.read() as connection:
        assert (await figures.figures_of(connection)).oldest is None
    await write(database, row(5), row(1))
    async with database.read() as connection:
        now = await figures.figures_of(connection)
    assert (now.oldest, now.waiting, now.refused) == (AT, {}, 0)
    assert now.bytes > 4096


async def test_old_jobs_are_found_by_an_index_and_deleted_by_their_ids(full: DatabaseTarget) -> None:
    found = await plan(full, retention.oldest(OLD, 5_000))
    assert "using _jobs_finished" in found, found
    assert "Sort" not in found, found
    found = await plan(full, retention.deletion([f"{n:032x}" for n in range(100)], OLD))
    assert "_jobs_pkey" in found, found
    assert "Seq Scan" not in found, found


async def test_the_rows_of_an_outbox_are_found_by_indexes_of_what_waits_and_of_what_was_sent(
    full: DatabaseTarget,
) -> None:
    found = await plan(full, waiting.waiting(func.now(), "rota", 500))
    assert "using _outbox_waiting" in found, found
    assert "Sort" not in found, found
    found = await plan(full, sent.looks(func.now(), "rota", 500))
    assert "using _outbox_sent" in found, found
    assert "Sort" not in found, found
    assert "using _jobs_pkey" in found, found
