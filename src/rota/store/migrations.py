"""The numbered steps that make rota's tables, and run once a database, however many processes start at a time.

A step that has been released is never changed. It only adds (a table, a column that may be null or has a default, an
index), so that processes of an older rota go on beside those of a newer one. An index on a table that may be full needs
CONCURRENTLY, and so a step of its own that is made outside of the transaction.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from sqlalchemy import Connection, func, insert, inspect, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from rota.settings.database_url import DatabaseTarget
from rota.store.engine import Database
from rota.store.faults import SchemaBehind
from rota.store.schema import versions

logger = logging.getLogger("rota.database")

Mode = Literal["auto", "check", "off"]

#: The lock under which PostgreSQL's processes migrate one after the other: "rota" in ASCII, and a number of its own.
_LOCK = 0x726F7461_00000001


#: Text that sorts by its bytes, which is what SQLite does anyway. It is compared faster, and an index of it outlives a
#: change of the machine's locales.
_BYTES = ' COLLATE "C"'
#: The time in SQLite, as SQLAlchemy reads it: to the microsecond, of which SQLite knows the first three digits.
_SQLITE_NOW = "(strftime('%Y-%m-%d %H:%M:%f', 'now') || '000')"


@dataclass(frozen=True, slots=True)
class Step:
    """One version of the schema: statements that may be repeated, for both databases or for PostgreSQL alone."""

    version: int
    statements: tuple[str, ...]
    postgresql: tuple[str, ...] = ()

    def sql(self, is_sqlite: bool) -> tuple[str, ...]:
        """Return the statements for one of the two databases."""
        if is_sqlite:
            return tuple(_for_sqlite(statement) for statement in self.statements)
        return self.statements + self.postgresql


def _for_sqlite(statement: str) -> str:
    for ours, its in ((_BYTES, ""), (" bytea", " blob"), ("clock_timestamp()", _SQLITE_NOW)):
        statement = statement.replace(ours, its)
    return statement


_VERSIONS = """
CREATE TABLE IF NOT EXISTS _rota_schema (
    version integer PRIMARY KEY,
    applied_at timestamp with time zone NOT NULL
)"""

STEPS = (
    Step(
        1,
        (
            """
CREATE TABLE IF NOT EXISTS _jobs (
    id text COLLATE "C" PRIMARY KEY,
    tenant text COLLATE "C",
    queue text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    payload text,
    status text COLLATE "C" NOT NULL,
    reason text,
    attempts integer NOT NULL DEFAULT 0,
    error text,
    error_key text COLLATE "C",
    progress double precision,
    message text,
    result text,
    log text,
    enqueued_at timestamp with time zone NOT NULL,
    due_at timestamp with time zone,
    started_at timestamp with time zone,
    finished_at timestamp with time zone,
    worker text,
    version text,
    flow text COLLATE "C",
    parent text,
    event text COLLATE "C" NOT NULL
)""",
            "CREATE INDEX IF NOT EXISTS _jobs_newest ON _jobs (enqueued_at DESC, id DESC)",
            "CREATE INDEX IF NOT EXISTS _jobs_tenant ON _jobs (tenant, enqueued_at DESC, id DESC)",
            "CREATE INDEX IF NOT EXISTS _jobs_queue ON _jobs (queue, status, enqueued_at DESC, id DESC)",
            "CREATE INDEX IF NOT EXISTS _jobs_name ON _jobs (name, enqueued_at DESC, id DESC)",
            "CREATE INDEX IF NOT EXISTS _jobs_error ON _jobs (error_key, finished_at) WHERE status = 'FAILED'",
            "CREATE INDEX IF NOT EXISTS _jobs_finished ON _jobs (finished_at) WHERE finished_at IS NOT NULL",
            "CREATE INDEX IF NOT EXISTS _jobs_unfinished ON _jobs (id) WHERE finished_at IS NULL",
            "CREATE INDEX IF NOT EXISTS _jobs_flow ON _jobs (flow) WHERE flow IS NOT NULL",
            """
CREATE TABLE IF NOT EXISTS _recorder (
    stream text COLLATE "C" PRIMARY KEY,
    last_id text NOT NULL,
    epoch bigint NOT NULL,
    updated_at timestamp with time zone NOT NULL
)""",
            """
CREATE TABLE IF NOT EXISTS _quarantine (
    stream text COLLATE "C" NOT NULL,
    position text COLLATE "C" NOT NULL,
    error text NOT NULL,
    at timestamp with time zone NOT NULL,
    PRIMARY KEY (stream, position)
)""",
        ),
        # A row is written a few times and deleted once: the space of a fifth of a big table is too much to wait for.
        (
            "ALTER TABLE _jobs SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02)",
        ),
    ),
    Step(
        2,
        (
            """
CREATE TABLE IF NOT EXISTS _outbox (
    key text COLLATE "C" PRIMARY KEY,
    id text COLLATE "C" NOT NULL,
    namespace text COLLATE "C" NOT NULL,
    queue text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    payload bytea NOT NULL,
    terms text NOT NULL DEFAULT '',
    unique_key text NOT NULL DEFAULT '',
    on_taken text NOT NULL DEFAULT 'refuse',
    due_ms bigint,
    delay_ms bigint NOT NULL DEFAULT 0,
    tenant text COLLATE "C",
    created_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
    sent_at timestamp with time zone,
    sends integer NOT NULL DEFAULT 0,
    birth text,
    place text COLLATE "C",
    look_at timestamp with time zone,
    refused text
)""",
            "CREATE INDEX IF NOT EXISTS _outbox_waiting ON _outbox (key) WHERE sent_at IS NULL AND refused IS NULL",
            "CREATE INDEX IF NOT EXISTS _outbox_sent ON _outbox (look_at) WHERE sent_at IS NOT NULL",
            "CREATE INDEX IF NOT EXISTS _outbox_id ON _outbox (id)",
        ),
        # Each row is inserted, written once or twice, and deleted: what is dead lies in the way of what waits.
        (
            "ALTER TABLE _outbox SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0)",
        ),
    ),
    Step(
        3,
        (
            """
CREATE TABLE IF NOT EXISTS _actions (
    stream text COLLATE "C" NOT NULL,
    position text COLLATE "C" NOT NULL,
    at timestamp with time zone NOT NULL,
    action text NOT NULL,
    via text NOT NULL,
    by_id text NOT NULL,
    by_name text NOT NULL,
    tenant text COLLATE "C",
    target text NOT NULL,
    count bigint NOT NULL,
    outcome text NOT NULL,
    detail text NOT NULL,
    PRIMARY KEY (stream, position)
)""",
            "CREATE INDEX IF NOT EXISTS _actions_at ON _actions (at)",
            "CREATE INDEX IF NOT EXISTS _actions_tenant ON _actions (tenant, stream, position)",
        ),
    ),
)

#: The version of the schema that this rota knows.
LATEST = STEPS[-1].version


async def prepare(target: DatabaseTarget, mode: Mode) -> None:
    """Do to the tables what DATABASE_MIGRATE says. Raises StoreError: SchemaBehind, or for a fault of the database."""
    if mode == "off":
        return
    # An index may take longer than any other statement.
    database = Database(target, patience=None, most=1)
    try:
        if mode == "auto":
            await migrate(database)
        else:
            await check(database)
    finally:
        await database.close()


async def migrate(
    database: Database,
    steps: Iterable[Step] = STEPS,
    *,
    moved: Callable[[int, int], object] = lambda done, of: None,
) -> list[int]:
    """Make the steps that are missing, all or none, and return their versions. Raises StoreError.

    Nothing is locked where none is missing. A database that a newer rota has migrated is left as it is. `moved` is told
    how many steps are made, and how many there are to make.
    """
    steps = tuple(steps)
    async with database.read() as connection:
        if await version(connection) >= steps[-1].version:
            return []
    async with database.write() as connection:
        if not database.target.is_sqlite:
            await connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
        done = await version(connection)
        missing = [step for step in steps if step.version > done]
        for number, step in enumerate(missing):
            moved(number, len(missing))
            await _make(connection, step, database.target.is_sqlite)
    made = [step.version for step in missing]
    if made:
        logger.info("database.migrated", extra={"database": str(database.target), "version": made[-1]})
    return made


async def check(database: Database) -> None:
    """Raise SchemaBehind unless the tables are those that this rota knows, or a newer one's."""
    found = await current(database)
    if found < LATEST:
        has = (
            f"has rota's tables in version {found}, and this rota needs {LATEST}"
            if found
            else "has no tables of rota's"
        )
        raise SchemaBehind(f"{database.target} {has}: run `rota migrate`, or set DATABASE_MIGRATE=auto")


async def current(database: Database) -> int:
    """Return the version of a database's tables; 0 if there are none."""
    async with database.read() as connection:
        return await version(connection)


async def version(connection: AsyncConnection) -> int:
    """Return the version of the tables; 0 if there are none."""
    if not await connection.run_sync(_has_versions):
        return 0
    found: int | None = await connection.scalar(select(func.max(versions.c.version)))
    return found or 0


def _has_versions(connection: Connection) -> bool:
    return inspect(connection).has_table(versions.name)


async def _make(connection: AsyncConnection, step: Step, is_sqlite: bool) -> None:
    for statement in (_VERSIONS, *step.sql(is_sqlite)):
        await connection.execute(text(statement))
    await connection.execute(insert(versions).values(version=step.version, applied_at=datetime.now(UTC)))


def script(is_sqlite: bool = False, steps: Iterable[Step] = STEPS) -> Iterator[str]:
    """Yield the lines of an SQL script that makes all the tables. It may be run again, and beside running processes."""
    yield "BEGIN IMMEDIATE;" if is_sqlite else "BEGIN;"
    if not is_sqlite:
        yield f"SELECT pg_advisory_xact_lock({_LOCK});"
    yield f"{_VERSIONS.strip()};"
    for step in steps:
        yield from (f"{statement.strip()};" for statement in step.sql(is_sqlite))
        values = f"({step.version}, CURRENT_TIMESTAMP)"
        yield f"INSERT INTO _rota_schema (version, applied_at) VALUES {values} ON CONFLICT DO NOTHING;"  # noqa: S608
    yield "COMMIT;"
