"""Tables are made once, by the process that comes first, and an older rota leaves newer tables as they are."""

import asyncio
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, inspect, text

from rota.settings.database_url import DatabaseTarget
from rota.store.engine import Database
from rota.store.faults import SchemaBehind, StoreError
from rota.store.migrations import LATEST, STEPS, Step, check, migrate, prepare, script, version
from rota.store.schema import metadata
from tests.databases import PostgresServer, new_schema, programs

NEXT = Step(LATEST + 1, ("ALTER TABLE _jobs ADD COLUMN colour text DEFAULT 'red'",))


@pytest.fixture
def target(database_url: str) -> DatabaseTarget:
    return DatabaseTarget.from_url(database_url)


def shape(connection: Connection) -> dict[str, Any]:
    """Return what there is of rota's tables: columns with their types, keys, and indexes."""
    look = inspect(connection)
    return {
        name: (
            {one["name"]: (str(one["type"]), one["nullable"]) for one in look.get_columns(name)},
            look.get_pk_constraint(name)["constrained_columns"],
            {
                str(one["name"]): (one["column_names"], "where" in str(one.get("dialect_options")))
                for one in look.get_indexes(name)
            },
        )
        for name in metadata.tables
    }


async def shape_of(database: Database) -> dict[str, Any]:
    async with database.read() as connection:
        return await connection.run_sync(shape)


async def test_the_steps_make_what_the_code_knows(
    target: DatabaseTarget, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    other = f"sqlite:///{tmp_path}/other.db"
    if not target.is_sqlite:
        other = await new_schema(request.getfixturevalue("postgres"))
    by_steps, by_code = Database(target), Database(DatabaseTarget.from_url(other))
    await migrate(by_steps)
    async with by_code.write() as connection:
        await connection.run_sync(metadata.create_all)
    assert _alike(await shape_of(by_steps)) == _alike(await shape_of(by_code))
    await by_steps.close()
    await by_code.close()


def _alike(shapes: dict[str, Any]) -> dict[str, Any]:
    """Take out what SQLite says of the same column in two ways, and the collations, which only the steps know."""
    names = {"NUMERIC": "TIMESTAMP", "DATETIME": "TIMESTAMP"}
    names |= dict.fromkeys(("REAL", "DOUBLE", "DOUBLE PRECISION"), "DOUBLE")
    for columns, key, _ in shapes.values():
        for name, (kind, null) in columns.items():
            plain = kind.partition(" COLLATE")[0]
            columns[name] = names.get(plain, plain), null and name not in key
    return shapes


async def test_many_processes_that_start_at_once_make_the_tables_once(target: DatabaseTarget) -> None:
    databases = [Database(target) for _ in range(8)]
    made = await asyncio.gather(*(migrate(one) for one in databases))
    assert sorted(made) == [[] for _ in range(7)] + [[step.version for step in STEPS]]
    for one in databases:
        await check(one)
        await one.close()


async def test_an_older_rota_goes_on_with_newer_tables(target: DatabaseTarget) -> None:
    newer = Database(target)
    assert await migrate(newer) == [step.version for step in STEPS]
    assert await migrate(newer, [*STEPS, NEXT]) == [NEXT.version]
    assert await migrate(newer) == []
    await check(newer)
    async with newer.read() as connection:
        assert await version(connection) == NEXT.version
    await newer.close()


async def test_steps_are_made_all_or_none(target: DatabaseTarget) -> None:
    database = Database(target)
    wrong = Step(NEXT.version + 1, ("ALTER TABLE _nothing ADD COLUMN colour text",))
    with pytest.raises(StoreError):
        await migrate(database, [*STEPS, NEXT, wrong])
    async with database.read() as connection:
        assert await version(connection) == 0
    assert await migrate(database, [*STEPS, NEXT]) == [*(step.version for step in STEPS), NEXT.version]
    await database.close()


@pytest.mark.parametrize(("mode", "found"), [("auto", LATEST), ("check", 0), ("off", 0)])
async def test_a_start_does_what_the_setting_says(target: DatabaseTarget, mode: Any, found: int) -> None:
    if mode == "check":
        with pytest.raises(SchemaBehind, match="has no tables of rota's: run `rota migrate`"):
            await prepare(target, mode)
    else:
        await prepare(target, mode)
    database = Database(target)
    async with database.read() as connection:
        assert await version(connection) == found
    await database.close()


async def test_tables_of_an_older_rota_are_told_by_their_versions(target: DatabaseTarget) -> None:
    database = Database(target)
    await migrate(database)
    async with database.write() as connection:
        await connection.execute(text("UPDATE _rota_schema SET version = version - 100"))
    await database.close()
    with pytest.raises(SchemaBehind, match=f"version {LATEST - 100}, and this rota needs {LATEST}"):
        await prepare(target, "check")


# The script that an administrator runs


async def test_the_script_makes_the_tables_in_psql_and_may_be_run_twice(postgres: PostgresServer) -> None:
    url = await new_schema(postgres)
    for _ in range(2):
        subprocess.run(
            [programs() / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", url],
            input="\n".join(script()),
            text=True,
            check=True,
            capture_output=True,
        )
    await prepare(DatabaseTarget.from_url(url), "check")


async def test_the_script_makes_the_tables_of_sqlite(tmp_path: Path) -> None:
    for _ in range(2):
        connection = sqlite3.connect(tmp_path / "jobs.db")
        connection.executescript("\n".join(script(is_sqlite=True)))
        connection.close()
    await prepare(DatabaseTarget(str(tmp_path / "jobs.db")), "check")


async def test_a_user_who_may_not_make_tables_is_told_what_helps(postgres: PostgresServer) -> None:
    url = await new_schema(postgres)
    owner = Database(DatabaseTarget.from_url(url))
    async with owner.write() as connection:
        schema = await connection.scalar(text("SELECT current_schema()"))
        await connection.execute(text(f"CREATE ROLE {schema} LOGIN"))
        await connection.execute(text(f"GRANT USAGE ON SCHEMA {schema} TO {schema}"))
    guest = DatabaseTarget.from_url(url.replace("postgresql://rota@", f"postgresql://{schema}@"))
    with pytest.raises(StoreError, match="let the owner of the database run `rota migrate`"):
        await prepare(guest, "auto")
    await migrate(owner)
    async with owner.write() as connection:
        await connection.execute(text(f"GRANT SELECT ON _rota_schema TO {schema}"))
    await prepare(guest, "auto")
    await owner.close()
