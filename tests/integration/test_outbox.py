"""The outbox on a real Redis and real databases: a job runs once where its transaction is committed, and never else."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

import rota
from rota import Client, JobFailed, OutboxUnusable, Run, State, SyncClient, job, pipeline, unique
from rota.server.target import RedisTarget
from rota.services.outbox import relay
from rota.settings.database_url import DatabaseTarget
from rota.settings.load import load
from rota.store.engine import Database
from rota.store.schema import outbox
from rota.wire.leading.outbox import OutboxKeys
from tests.databases import PostgresServer, new_schema
from tests.holders import WAYS, WAYS_OF_POSTGRESQL, Clients, Way
from tests.outboxes import Leader, rows_of, running
from tests.servers import RedisServer, free_port
from tests.waiting import until
from tests.workers import serving

RAN: list[int] = []
HEADERS: list[dict[str, str]] = []


@job
async def count(run: Run, number: int) -> int:
    RAN.append(number)
    HEADERS.append(dict(run.headers))
    return number


@job(unique=unique(key="number"), priority=3)
async def only(run: Run, number: int) -> int:
    RAN.append(number)
    return number


@pytest.fixture(autouse=True)
def ran(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin with nothing that has run, and a relay that looks more often than in use."""
    RAN.clear()
    HEADERS.clear()
    monkeypatch.setattr(relay, "EVERY", 0.1)


@pytest.fixture
async def leader(target: RedisTarget, database: Database) -> AsyncIterator[Leader]:
    leader = Leader(target, database.target)
    async with running(leader.services):
        yield leader


@pytest.fixture
async def client(server: RedisServer, leader: Leader) -> AsyncIterator[Client]:
    async with serving(server.url, count, only) as works:
        yield works.client


@pytest.fixture
def sync_client(server: RedisServer) -> Iterator[SyncClient]:
    with rota.connect_sync(load({"REDIS_URL": server.url})) as client:
        yield client


@pytest.fixture
def sessions(database: Database) -> async_sessionmaker[AsyncSession]:
    return async_sessionmaker(database.engine)


@pytest.fixture
def postgresql_only(database_url: str) -> None:
    if database_url.startswith("sqlite"):
        pytest.skip("PostgreSQL alone has it")


async def test_what_is_committed_runs_once_and_what_is_rolled_back_never(
    client: Client, database: Database, sessions: Any
) -> None:
    async with sessions() as session:
        handle = await client.outbox(session).enqueue(count, 1)
        await session.commit()
    async with sessions() as session:
        await client.outbox(session).enqueue(count, 2)
        await session.rollback()
    async with sessions.begin() as session:
        many = await client.outbox(session).enqueue_many(count.call(number) for number in range(3, 200))
    await until(lambda: len(RAN) >= 198)
    assert await handle.result(timeout=5) == 1
    assert await many[0].result(timeout=5) == 3
    assert sorted(RAN) == [1, *range(3, 200)]
    assert {row["sends"] for row in await rows_of(database)} == {1}


async def each_way(way: Way, clients: Clients, url: str) -> None:
    await way(clients, url, count.call(1), True)
    await way(clients, url, count.call(2), False)
    await way(clients, url, count.call(3), True)
    await until(lambda: {1, 3} <= set(RAN))
    assert sorted(RAN) == [1, 3]


@pytest.mark.parametrize("way", WAYS)
async def test_each_holder_of_a_transaction_is_written_through(
    client: Client, sync_client: SyncClient, database_url: str, way: str
) -> None:
    await each_way(WAYS[way], Clients(client, sync_client), database_url)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("way", WAYS_OF_POSTGRESQL)
async def test_each_connection_of_postgresql_is_written_through(
    client: Client, sync_client: SyncClient, database_url: str, way: str
) -> None:
    await each_way(WAYS_OF_POSTGRESQL[way], Clients(client, sync_client), database_url)


async def waits_for_the_bell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the relay wait for its bell alone, and return when it does."""
    waits = asyncio.Event()

    async def hear(self: OutboxKeys, redis: Any, _: float) -> None:
        waits.set()
        while not await redis.execute_command("BLPOP", self._bell, "0.5"):
            pass

    monkeypatch.setattr(OutboxKeys, "hear", hear)
    await waits.wait()


async def test_an_application_wakes_the_relay_after_its_commit(
    client: Client, sync_client: SyncClient, sessions: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await waits_for_the_bell(monkeypatch)
    async with sessions.begin() as session:
        async with session.begin_nested():
            await client.outbox(session).enqueue(count, 1)
        await session.execute(text("SELECT 1"))
    await until(lambda: RAN == [1])


@pytest.mark.parametrize("way", ["Session", "Django"])
async def test_an_application_without_an_event_loop_does_so_too(
    client: Client, sync_client: SyncClient, database_url: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await waits_for_the_bell(monkeypatch)
    await WAYS[way](Clients(client, sync_client), database_url, count.call(1), True)
    await until(lambda: RAN == [1])


async def test_a_row_has_all_that_an_enqueue_takes(client: Client, database: Database, sessions: Any) -> None:
    async with sessions.begin() as session:
        box = client.outbox(session)
        with rota.headers(tenant="acme"):
            mine = await box.enqueue(count.options(id="mine"), 1)
            later = await box.enqueue(count.options(delay=3600, timeout=9.0), 2)
        first = await box.enqueue(only, 3)
        named = await box.enqueue_by_name("count", {"number": 4}, queue="other", priority=9)
    assert (mine.id, named.queue) == ("default:mine", "other")
    await until(lambda: {1, 3} <= set(RAN))
    assert HEADERS == [{"tenant": "acme"}]
    assert (await later.status()).state is State.DELAYED
    due, now = (await later.status()).due_at, (await mine.status()).enqueued_at
    assert due
    assert now
    assert 3590 < (due - now).total_seconds() < 3610
    assert (await named.status()).state is State.WAITING
    assert await first.result(timeout=5) == 3
    assert {row["tenant"] for row in await rows_of(database)} == {"acme", None}


async def test_what_is_taken_when_a_row_is_sent_is_decided_by_the_jobs_own_rule(
    client: Client,
    database: Database,
    sessions: Any,
    leader: Leader,
    caplog: pytest.LogCaptureFixture,
) -> None:
    waits = count.options(id="one", delay=3600)
    async with sessions.begin() as session:
        box = client.outbox(session)
        await box.enqueue(waits, 1)
        await box.enqueue(waits, 2)
        await box.enqueue(waits.options(on_taken="existing"), 3)
        await box.enqueue(count.options(id="one", on_taken="replace"), 4)
        await box.enqueue(count.options(id="two"), 5)
    await until(lambda: leader.figures.outbox.refused == 1)
    await until(lambda: RAN == [5])
    (refused, replaced, _) = await rows_of(database)
    assert refused["refused"] == "the job default:one has its id or its unique key"
    assert (replaced["id"], replaced["refused"]) == ("default:one", None)
    assert "outbox.row_refused" in caplog.messages
    assert await client.cancel("default", "one") == "cancelled"


async def test_an_id_may_be_used_again_while_its_first_row_is_still_there(
    client: Client, database: Database, sessions: Any
) -> None:
    for number in (1, 2, 3):
        async with sessions.begin() as session:
            handle = await client.outbox(session).enqueue(count.options(id="again"), number)
        await until(lambda number=number: RAN[-1:] == [number])
        await handle.result(timeout=5)
    assert RAN == [1, 2, 3]
    (row,) = await rows_of(database)
    assert row["id"] == "default:again"


async def test_a_sent_row_of_another_deployment_is_left_though_its_id_is_used_again_here(
    client: Client, database: Database, sessions: Any
) -> None:
    sent = {"id": "default:same", "namespace": "other", "queue": "default", "name": "n", "payload": b"{}"}
    async with sessions.begin() as session:
        await session.execute(
            outbox.insert(), sent | {"key": "0", "sent_at": datetime.now(UTC), "place": "9"}
        )
        await client.outbox(session).enqueue(count.options(id="same"), 1)
    await until(lambda: RAN == [1])
    assert [row["namespace"] for row in await rows_of(database)] == ["other", "rota"]


# Bad input


async def test_rows_that_are_wrong_hold_up_no_other(
    client: Client, database: Database, sessions: Any, redis: Any, leader: Leader
) -> None:
    columns = "key, id, namespace, queue, name, payload"
    insert = f"INSERT INTO _outbox ({columns}) VALUES (:key, :id, 'rota', :queue, 'n', :p)"
    await redis.set("arq:queue:taken", "by another program")
    async with sessions.begin() as session:
        for key, job_id, queue, payload in (
            ("1", "1", "No Queue!", b"{}"),
            ("2", "2", "taken", b"{}"),
            ("3", "3", "default", b"\xff{"),
            ("4", "x" * 901, "default", b"{}"),
        ):
            await session.execute(text(insert), {"key": key, "id": job_id, "queue": queue, "p": payload})
        await client.outbox(session).enqueue(count, 1)
    await until(lambda: leader.figures.outbox.sent == 2)
    await until(lambda: RAN == [1])
    by_key = {row["key"]: row for row in await rows_of(database)}
    assert "queue name 'No Queue!' is not allowed" in by_key["1"]["refused"]
    assert "its id has more than 900 bytes" in by_key["4"]["refused"]
    assert (by_key["2"]["sent_at"], by_key["2"]["refused"]) == (None, None)
    assert by_key["2"]["look_at"] is not None
    with pytest.raises(JobFailed, match="UnreadablePayload"):
        await client.handle("default", "3").result(timeout=5)


@pytest.mark.parametrize("way", ["AsyncSession", "Session", "Django"])
async def test_without_its_table_an_error_says_what_to_do(
    server: RedisServer, database_url: str, way: str
) -> None:
    with rota.connect_sync(load({"REDIS_URL": server.url})) as sync_client:
        async with serving(server.url, count) as works:
            clients = Clients(works.client, sync_client)
            with pytest.raises(OutboxUnusable, match="there is no table _outbox where .* let `rota migrate`"):  # noqa: RUF043
                await WAYS[way](clients, database_url, count.call(1), True)


async def test_a_user_without_the_right_to_insert_is_told_so(
    server: RedisServer, postgres: PostgresServer
) -> None:
    url = await new_schema(postgres)
    import asyncpg

    from rota.store.engine import asyncpg_arguments
    from rota.store.migrations import migrate

    database = Database(DatabaseTarget.from_url(url))
    await migrate(database)
    connection = await asyncpg.connect(**asyncpg_arguments(database.target, 30))
    role = f"web_{free_port()}"
    await connection.execute(
        f"CREATE ROLE {role}; GRANT USAGE ON SCHEMA {url.rpartition('%3D')[2]} TO {role}"
    )
    async with serving(server.url, count) as works:
        await connection.execute(f"SET ROLE {role}")
        with pytest.raises(OutboxUnusable, match="GRANT INSERT ON _outbox"):
            await works.client.outbox(connection).enqueue(count, 1)
        await connection.execute(f"RESET ROLE; GRANT INSERT ON _outbox TO {role}; SET ROLE {role}")
        await works.client.outbox(connection).enqueue(count, 1)
    assert len(await rows_of(database)) == 1
    await connection.execute(f"RESET ROLE; DROP OWNED BY {role}; DROP ROLE {role}")
    await connection.close()
    await database.close()


async def test_redis_is_not_asked(
    sessions: Any, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    away = load({"REDIS_URL": f"redis://127.0.0.1:{free_port()}/0"})
    with caplog.at_level(logging.WARNING), rota.connect_sync(away) as sync_client:
        handle = await asyncio.to_thread(put_and_commit, sync_client, database.target)
    assert [row["id"] for row in await rows_of(database)] == [handle.id]


def put_and_commit(client: SyncClient, target: DatabaseTarget) -> Any:
    from sqlalchemy import create_engine
    from sqlalchemy.orm import Session

    engine = (
        create_engine(f"sqlite:///{target.path}")
        if target.is_sqlite
        else create_engine("postgresql+psycopg://", creator=lambda: connect(target))
    )
    with Session(engine) as session:
        handle = client.outbox(session).enqueue(count, 1)
        session.commit()
    engine.dispose()
    return handle


def connect(target: DatabaseTarget) -> Any:
    import psycopg

    ((host, port),) = target.hosts
    where: Any = {"host": host, "port": port, "user": target.username, "dbname": target.name}
    where |= target.session or {}
    return psycopg.connect(**where)


async def test_what_is_no_job_is_refused(client: Client, sessions: Any) -> None:
    many: Any = pipeline(count, name="many")
    call: Any = count.call(1)
    async with sessions.begin() as session:
        with pytest.raises(TypeError, match="a pipeline cannot be enqueued in a transaction"):
            await client.outbox(session).enqueue(many, 1)
        with pytest.raises(TypeError, match="a call of count is no job"):
            await client.outbox(session).enqueue(call)
        with pytest.raises(rota.InvalidPayload):
            await client.outbox(session).enqueue(count, "seven")  # type: ignore[arg-type]
