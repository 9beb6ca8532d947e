"""`rota doctor`: looks at everything that a deployment needs, and says of each finding what to change."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

import typer
from redis.exceptions import RedisError

from rota.app.doctor.findings import (
    Finding,
    Level,
    counted,
    of_fleet,
    of_jobs,
    of_outbox,
    of_records,
    of_secrets,
    of_settings,
    of_webhooks,
)
from rota.cli import exits, screen
from rota.cli.arguments import AsJson
from rota.cli.commands.sealing import refusals
from rota.cli.progress import Progress
from rota.client.webhooks.records import WebhookRecords
from rota.errors import RotaError
from rota.fleet.reading import read
from rota.model.registry import Registry, discover
from rota.server import connections
from rota.server.check import check_server
from rota.server.place import locate
from rota.server.rights import Rights, check_rights
from rota.services.leftovers import STRUCK, named
from rota.settings.load import Settings, load, not_as_written
from rota.wire.inventory import queues_in
from rota.wire.keys import recording_key, records_key


def add_to(cli: typer.Typer) -> None:
    cli.command(rich_help_panel="The deployment")(doctor)


def doctor(
    strict: Annotated[bool, typer.Option("--strict", help="warnings fail it, too")] = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="the settings and the jobs alone, before anything runs")
    ] = False,
    fixed: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME,NAME: HINT, variables that may be in no .env and no secret; again for others"
        ),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="without a look at each key of Redis")] = False,
    as_json: AsJson = False,
) -> None:
    """Look at Redis, the database, the settings, the jobs and the queues, and say what to change.

    Exits with 1 where something keeps jobs from running, so a deployment can ask it first.
    """
    # A service has by intention not all that stands in `.env`; what is started with --fixed is to have it.
    lines = not_as_written(_hints(fixed)) if fixed else []
    findings = [Finding(".env", Level.ERROR, line) for line in lines]
    with Progress("keys looked at", quiet=as_json) as at:
        findings += asyncio.run(_all(None if quick else at, offline=offline))
    if as_json:
        screen.value([finding._asdict() for finding in findings])
    else:
        screen.table(("about", "is", "what"), findings)
    fatal = {Level.ERROR, Level.WARNING} if strict else {Level.ERROR}
    raise typer.Exit(exits.FAILED if any(finding.level in fatal for finding in findings) else 0)


def _hints(fixed: list[str]) -> dict[str, str]:
    """Return the hint for each variable of `NAME,NAME: HINT`."""
    parted = (one.partition(":") for one in fixed)
    return {name.strip(): hint.strip() for names, _, hint in parted for name in names.split(",")}


async def _all(at: Progress | None, *, offline: bool) -> list[Finding]:
    try:
        settings = load()
    except RotaError as error:
        # Nothing else can be looked for without them.
        return [Finding("settings", Level.ERROR, line) for line in str(error).splitlines()]
    failures: list[RotaError] = []
    registry = discover(settings.jobs_package, settings.default_queue, on_failure=failures.append)
    found = [*of_jobs(registry, failures), *of_settings(settings, registry), *of_secrets(settings)]
    if offline:
        return found
    found += [finding async for finding in _of_redis(settings, registry, at)]
    found += [finding async for finding in _of_database(settings)]
    return found


# Redis


async def _of_redis(settings: Settings, registry: Registry, at: Progress | None) -> AsyncIterator[Finding]:
    server = await asyncio.to_thread(locate, settings.redis)
    try:
        if server.loneliness:
            yield Finding("redis", Level.WARNING, server.loneliness)
        async with connections.async_client(server.target) as redis:
            try:
                info = await check_server(redis)
                kind = "Valkey" if info.is_valkey else "Redis"
                yield Finding("redis", Level.OK, f"{kind} {info.version} at {server.target.safe_url}")
                for line in info.warnings:
                    yield Finding("redis", Level.WARNING, line)
                queues = settings.known_queues(registry.queues)
                records = settings.database is not None
                rights = Rights.of_worker(queues, settings.namespace, leads=settings.leader, records=records)
                await check_rights(redis, rights)
                yield Finding("rights", Level.OK, "the user may do all that a worker does")
                async for finding in _of_queues(redis, queues):
                    yield finding
                for (queue, why), count in (await refusals(redis, queues, settings.sealer)).items():
                    said = f"{counted(count, 'job')} of the first on {queue} would not run: {why}"
                    yield Finding("signing", Level.WARNING, said)
                async for finding in _of_webhooks(redis, settings):
                    yield finding
                async for finding in _of_leftovers(redis, settings.namespace, at):
                    yield finding
            except RotaError as error:
                yield Finding("redis", Level.ERROR, str(error))
            except RedisError as error:
                yield Finding("redis", Level.ERROR, f"{server.target.safe_url} answered {error}")
    except RotaError as error:
        yield Finding("redis", Level.ERROR, str(error))
    finally:
        server.close()


async def _of_queues(redis: Any, queues: tuple[str, ...]) -> AsyncIterator[Finding]:
    strays = sorted(await queues_in(redis) - set(queues))
    for finding in of_fleet(await read(redis, queues, strays), strays):
        yield finding


async def _of_leftovers(redis: Any, namespace: str, at: Progress | None) -> AsyncIterator[Finding]:
    # Where there are millions of keys, a look at each takes minutes.
    if at is not None and (left := await named(redis, namespace, at.counted)):
        yield Finding("leftovers", Level.WARNING, f"left of jobs that are gone: {left}; {STRUCK}")
    waiting = await redis.xlen(records_key(namespace))
    for finding in of_records(
        namespace, waiting, are_read=bool(await redis.exists(recording_key(namespace)))
    ):
        yield finding


async def _of_webhooks(redis: Any, settings: Settings) -> AsyncIterator[Finding]:
    for finding in of_webhooks(await WebhookRecords(redis, settings.namespace).all()):
        yield finding


# The database


async def _of_database(settings: Settings) -> AsyncIterator[Finding]:
    target = settings.database
    if target is None:
        yield Finding("database", Level.OK, "none: DATABASE_URL is not set, and jobs are not recorded")
        return
    try:
        from rota.store.engine import Database  # noqa: PLC0415 - an extra
        from rota.store.migrations import LATEST, check, current  # noqa: PLC0415

        database = Database(target)
        try:
            if settings.database_migrate == "auto" and await current(database) < LATEST:
                said = f"{target} lacks tables, which the worker process that leads makes at its start"
                yield Finding("database", Level.WARNING, said)
                return
            await check(database)
            yield Finding("database", Level.OK, f"{target}, whose tables are those of version {LATEST}")
            async for finding in _of_outbox(database, settings.namespace):
                yield finding
        finally:
            await database.close()
    except RotaError as error:
        yield Finding("database", Level.ERROR, str(error))
    except ImportError as error:
        yield Finding("database", Level.ERROR, f"DATABASE_URL needs {error.name}: install rota[database]")


async def _of_outbox(database: Any, namespace: str) -> AsyncIterator[Finding]:
    from rota.store.outbox.waiting import backlogs, count_refused  # noqa: PLC0415 - an extra

    async with database.read() as connection:
        waiting = await backlogs(connection)
        refused = await count_refused(connection)
    for finding in of_outbox(namespace, waiting, refused):
        yield finding
