"""Databases that cannot be used: each fault is one sentence, says whether it may pass, and shows no password."""

import asyncio
import ssl
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import select, text

from rota.settings.database_url import DatabaseTarget
from rota.store import audit
from rota.store.engine import Database, asyncpg_arguments
from rota.store.faults import StoreError, explain
from rota.store.migrations import migrate
from rota.store.schema import Row, jobs
from tests.databases import PASSWORD, PostgresServer, new_schema
from tests.servers import free_port
from tests.waiting import until

ROW: Row = {
    "id": "a",
    "queue": "q",
    "name": "n",
    "status": "PENDING",
    "event": "000000000000001-0000000000.00000",
}


async def fault(url: str, statement: str = "SELECT 1", patience: float = 30.0) -> StoreError:
    """Return what one statement on the database of `url` raises."""
    database = Database(DatabaseTarget.from_url(url), patience=patience)
    try:
        with pytest.raises(StoreError) as caught:
            await run(database, statement)
    finally:
        await database.close()
    assert PASSWORD not in str(caught.value)
    assert str(caught.value).startswith(("the PostgreSQL ", "the SQLite file "))
    return caught.value


async def run(database: Database, statement: str) -> None:
    async with database.write() as connection:
        await connection.execute(text(statement))


async def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)
    writer.close()


async def test_a_server_that_is_not_there() -> None:
    one = await fault(f"postgresql://127.0.0.1:{free_port()}/rota")
    assert "is not listening: start it, or correct DATABASE_URL" in str(one)
    assert one.transient


async def test_a_host_that_nobody_knows() -> None:
    assert "has a host name that nobody knows" in str(await fault("postgresql://rota.invalid/rota"))


async def test_a_server_that_does_not_answer() -> None:
    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        one = await fault(f"postgresql://127.0.0.1:{port}/rota?connect_timeout=1&sslmode=disable")
    assert ("does not answer in time" in str(one), one.transient) == (True, True)


async def test_a_wrong_password(postgres: PostgresServer) -> None:
    one = await fault(postgres.tcp_url(f"not-{PASSWORD}"))
    assert ("refuses this user or password" in str(one), one.transient) == (True, False)


async def test_a_database_that_does_not_exist(postgres: PostgresServer) -> None:
    one = await fault(postgres.tcp_url(name="nothing"))
    assert ("has no database of that name" in str(one), one.transient) == (True, False)


async def test_a_server_without_tls(postgres: PostgresServer) -> None:
    assert "speaks no TLS" in str(await fault(f"{postgres.tcp_url()}?sslmode=require"))


@pytest.mark.parametrize(
    ("statement", "sentence", "transient"),
    [
        ("SELECT * FROM _jobs", "has no tables of rota's: run `rota migrate`", False),
        ("SELECT pg_sleep(10)", "does not answer in time", True),
        ("SELECT pg_terminate_backend(pg_backend_pid())", "broke the connection: start it", True),
        ("SELECT 1/0", "refuses a statement (SQLSTATE 22012)", False),
    ],
)
async def test_a_statement_that_fails(
    postgres: PostgresServer, statement: str, sentence: str, transient: bool
) -> None:
    one = await fault(await new_schema(postgres), statement, patience=1.0)
    assert (sentence in str(one), one.transient) == (True, transient), str(one)


async def test_a_standby_takes_no_writes(postgres: PostgresServer) -> None:
    url = await new_schema(postgres)
    database = Database(DatabaseTarget.from_url(url))
    await migrate(database)
    await database.close()
    one = await fault(f"{url}%20-cdefault_transaction_read_only%3Don", "DELETE FROM _jobs")
    assert ("takes no writes, as a standby does" in str(one), one.transient) == (True, True)


async def test_a_connection_that_was_ended_is_replaced(postgres: PostgresServer) -> None:
    database = Database(DatabaseTarget.from_url(await new_schema(postgres)), most=1)
    async with database.read() as connection:
        pid = await connection.scalar(text("SELECT pg_backend_pid()"))
    other = Database(DatabaseTarget.from_url(postgres.url()))
    await run(other, f"SELECT pg_terminate_backend({pid}, 5000)")
    await run(database, "SELECT 1")
    await other.close()
    await database.close()


# SQLite


@pytest.fixture
async def _no_thread_stays() -> AsyncIterator[None]:
    """Wait until the threads of connections that were not made have ended, while their event loop is there."""
    before = threading.active_count()
    yield
    await until(lambda: threading.active_count() <= before, "the connection's thread has ended")


@pytest.mark.usefixtures("_no_thread_stays")
async def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert "cannot be opened" in str(await fault(f"sqlite:///{tmp_path}/no/jobs.db"))


@pytest.mark.usefixtures("_no_thread_stays")
async def test_a_file_that_is_not_sqlite_s(tmp_path: Path) -> None:
    (tmp_path / "jobs.db").write_bytes(b"something else, and long enough" * 100)
    one = await fault(f"sqlite:///{tmp_path}/jobs.db")
    assert ("is no database of SQLite" in str(one), one.transient) == (True, False)


async def test_two_processes_write_to_one_file_in_turn(tmp_path: Path) -> None:
    databases = [Database(DatabaseTarget(str(tmp_path / "jobs.db"))) for _ in range(2)]
    await migrate(databases[0])

    async def write(database: Database, name: str) -> None:
        for n in range(20):
            async with database.write() as connection:
                await audit.cursor(connection, "s")
                await audit.upsert(connection, [ROW | {"id": f"{name}{n}"}])

    await asyncio.gather(*(write(database, name) for database, name in zip(databases, "ab", strict=True)))
    async with databases[0].read() as connection:
        assert len((await connection.execute(jobs.select())).all()) == 40
    for database in databases:
        await database.close()


async def test_readers_do_not_wait_for_the_one_that_writes(tmp_path: Path) -> None:
    database = Database(DatabaseTarget(str(tmp_path / "jobs.db")))
    await migrate(database)
    async with database.write() as writing:
        await audit.upsert(writing, [ROW])
        async with database.read() as reading:
            assert (await reading.execute(jobs.select())).all() == []
    await database.close()


# PgBouncer and TLS


async def test_behind_pgbouncer_no_statement_is_left_on_a_connection(postgres: PostgresServer) -> None:
    url = f"{await new_schema(postgres)}&pgbouncer=true"
    database = Database(DatabaseTarget.from_url(url), most=1)
    await migrate(database)
    async with database.write() as connection:
        await audit.advance(connection, "s", "0-0", "1-0", 1)
        await audit.upsert(connection, [ROW, ROW | {"id": "b"}])
    async with database.write() as connection:
        await audit.upsert(connection, [ROW | {"id": str(n)} for n in range(100)])
        named = await connection.scalar(text("SELECT count(*) FROM pg_prepared_statements WHERE name <> ''"))
    assert named == 0
    await database.close()


@pytest.mark.parametrize(
    ("mode", "hostname", "verified"),
    [
        ("require", False, ssl.CERT_NONE),
        ("verify-ca", False, ssl.CERT_REQUIRED),
        ("verify-full", True, ssl.CERT_REQUIRED),
    ],
)
def test_the_certificate_is_checked_as_sslmode_says(
    mode: str, hostname: bool, verified: ssl.VerifyMode
) -> None:
    target = DatabaseTarget.from_url(f"postgresql://db/rota?sslmode={mode}")
    context = asyncpg_arguments(target, None)["ssl"]
    assert (context.check_hostname, context.verify_mode) == (hostname, verified)


@pytest.mark.parametrize(("mode", "value"), [("disable", False), ("prefer", "prefer"), ("allow", "allow")])
def test_without_certificates_asyncpg_knows_what_to_do(mode: str, value: object) -> None:
    target = DatabaseTarget.from_url(f"postgresql://db/rota?sslmode={mode}")
    assert asyncpg_arguments(target, None)["ssl"] == value


def test_faults_of_our_own_are_not_the_database_s() -> None:
    assert explain(ZeroDivisionError("secret"), DatabaseTarget()) is None
    inner = StoreError("known", transient=True)
    assert explain(inner, DatabaseTarget()) is inner


async def test_connections_are_closed_whole_where_the_closing_is_cancelled(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    other = Database(database.target)
    async with other.read() as connection:
        await connection.execute(select(1))
    closing = asyncio.create_task(other.close())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert other.engine.pool.checkedin() == 0  # type: ignore[attr-defined]
    assert caplog.text == ""
