"""The command about the database: `rota migrate` makes rota's tables, looks for them, or prints their SQL."""

import asyncio
from typing import Annotated

import typer

from rota.cli import screen
from rota.cli.progress import Progress
from rota.errors import RotaError
from rota.settings.database_url import DatabaseTarget
from rota.settings.load import load


def add_to(cli: typer.Typer) -> None:
    cli.command(rich_help_panel="The database")(migrate)


def migrate(
    *,
    check: Annotated[
        bool, typer.Option("--check", help="change nothing, and end with 1 if the tables are behind")
    ] = False,
    sql: Annotated[
        bool, typer.Option("--sql", help="only print the SQL that makes them, for an administrator")
    ] = False,
) -> None:
    """Make or change rota's tables in the database of DATABASE_URL, where DATABASE_MIGRATE leaves that to you."""
    target = load().database
    if sql:
        _print(target)
    elif target is None:
        raise RotaError("DATABASE_URL is not set, so there is no database; set it, or see --sql")
    elif check:
        asyncio.run(_check(target))
    else:
        asyncio.run(_migrate(target))


def _print(target: DatabaseTarget | None) -> None:
    # Without a database it is PostgreSQL's, which is what an administrator is asked for.
    target = target or DatabaseTarget()
    _need_extra(target)
    from rota.store.migrations import script  # noqa: PLC0415 - an extra

    for statement in script(target.is_sqlite):
        for line in statement.splitlines():
            screen.say(line)


async def _check(target: DatabaseTarget) -> None:
    _need_extra(target)
    from rota.store import migrations  # noqa: PLC0415 - an extra

    await migrations.prepare(target, "check")
    screen.say(f"{target} has rota's tables")


async def _migrate(target: DatabaseTarget) -> None:
    _need_extra(target)
    from rota.store.engine import Database  # noqa: PLC0415 - an extra
    from rota.store.migrations import migrate  # noqa: PLC0415

    database = Database(target, patience=None)
    try:
        left = "; they are made all or none, so the tables are as they were"
        with Progress("steps made", left=left, after=0.0) as at:
            made = await migrate(database, moved=at.moved)
    finally:
        await database.close()
    screen.say(f"{target}: {f'its tables are now those of version {made[-1]}' if made else 'nothing to do'}")


def _need_extra(target: DatabaseTarget) -> None:
    from rota.store.engine import need_extra  # noqa: PLC0415

    need_extra(target)
