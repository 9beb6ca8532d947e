"""`rota doctor`: looks at everything that a deployment needs, and says of each finding what to change."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from enum import StrEnum
from typing import Annotated, Any, NamedTuple

import typer
from redis.exceptions import RedisError

from rota.app.handlers import timeouts_of
from rota.cli import exits, screen
from rota.cli.commands.look import AsJson
from rota.cli.commands.sealing import refusals
from rota.cli.progress import Progress
from rota.client.webhooks.records import WebhookRecords
from rota.errors import RotaError
from rota.fleet.reading import QueueReading, Reading, read
from rota.model.registry import Registry, discover
from rota.model.state import State
from rota.server import connections
from rota.server.check import check_server
from rota.server.place import locate
from rota.server.rights import Rights, check_rights
from rota.services.leftovers import STRUCK, named
from rota.settings.load import Settings, load
from rota.wire.inventory import queues_in
from rota.wire.keys import recording_key, records_key

#: How far the clock of this machine may be from that of the server, in seconds: times that people compare.
_CLOCKS_APART = 2.0
#: How long a row of the outbox may wait, in seconds: the leader looks each second.
_OUTBOX_WAITS = 60.0
#: The part of its memory that Redis may use.
_MOST_MEMORY = 0.8


class Level(StrEnum):
    """How bad a finding is: ERROR keeps jobs from running, WARNING will surprise, OK is as it should be."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


class Finding(NamedTuple):
    """One thing that was looked at: what it is about, how bad it is, and what to change, if anything."""

    about: str
    level: Level
    said: str


def add_to(cli: typer.Typer) -> None:
    cli.command(rich_help_panel="The deployment")(doctor)


def doctor(
    strict: Annotated[bool, typer.Option("--strict", help="warnings fail it, too")] = False,
    as_json: AsJson = False,
) -> None:
    """Look at Redis, the database, the settings, the jobs and the queues, and say what to change.

    Exits with 1 where something keeps jobs from running, so a deployment can ask it first.
    """
    with Progress("keys looked at", quiet=as_json) as at:
        findings = asyncio.run(_all(at))
    if as_json:
        screen.value([finding._asdict() for finding in findings])
    else:
        screen.table(("about", "is", "what"), findings)
    fatal = {Level.ERROR, Level.WARNING} if strict else {Level.ERROR}
    raise typer.Exit(exits.FAILED if any(finding.level in fatal for finding in findings) else 0)


async def _all(at: Progress) -> list[Finding]:
    try:
        settings = load()
    except RotaError as error:
        # Nothing else can be looked for without them.
        return [Finding("settings", Level.ERROR, str(error))]
    failures: list[RotaError] = []
    registry = discover(settings.jobs_package, settings.default_queue, on_failure=failures.append)
    found = [*_of_jobs(registry, failures), *_of_settings(settings, registry)]
    found += [finding async for finding in _of_redis(settings, registry, at)]
    found += [finding async for finding in _of_database(settings)]
    return found


def _of_jobs(registry: Registry, failures: list[RotaError]) -> Iterator[Finding]:
    for failure in failures:
        yield Finding("jobs", Level.ERROR, str(failure))
    if registry.jobs:
        yield Finding(
            "jobs",
            Level.OK,
            f"{_count(len(registry.jobs), 'job')} on {_count(len(registry.queues), 'queue')}",
        )
    elif not failures:
        yield Finding("jobs", Level.ERROR, "the jobs package declares no job: no worker will start")


def _of_settings(settings: Settings, registry: Registry) -> Iterator[Finding]:
    try:
        served = settings.served_queues(registry.queues)
    except RotaError as error:
        yield Finding("settings", Level.ERROR, str(error))
        return
    advice = settings.warnings(timeouts_of(settings, registry), served, registry.queues)
    for line in advice:
        yield Finding("settings", Level.WARNING, line)
    if not advice:
        yield Finding("settings", Level.OK, f"for {settings.app_env}")


# Redis


async def _of_redis(settings: Settings, registry: Registry, at: Progress) -> AsyncIterator[Finding]:
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
                    said = f"{_count(count, 'job')} of the first on {queue} would not run: {why}"
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
    fleet = await read(redis, queues, strays)
    for finding in _of_server(fleet):
        yield finding
    for queue, reading in fleet.queues.items():
        for finding in _of_queue(queue, reading):
            yield finding
    for queue in strays:
        yield Finding(
            "queues",
            Level.WARNING,
            f"{queue} has jobs or dead letters, and no job and no setting names it: no worker serves it",
        )
    workers = {beat.process for reading in fleet.queues.values() for beat in reading.beats}
    yield Finding(
        "workers", Level.OK if workers else Level.WARNING, f"{_count(len(workers), 'worker process', 'es')}"
    )


def _of_server(fleet: Reading) -> Iterator[Finding]:
    apart = time.time() - fleet.at
    if abs(apart) > _CLOCKS_APART:
        yield Finding(
            "clock",
            Level.WARNING,
            f"this machine's clock is {apart:+.0f} s from the server's: set both by NTP",
        )
    if not fleet.server.checks.get("persistence", True):
        yield Finding(
            "redis",
            Level.WARNING,
            "without an append-only file a restart loses all jobs: set appendonly to yes",
        )
    if fleet.server.memory_max and fleet.server.memory_used > _MOST_MEMORY * fleet.server.memory_max:
        part = fleet.server.memory_used / fleet.server.memory_max
        yield Finding("memory", Level.WARNING, f"Redis is {part:.0%} full: `rota memory` shows of what")


async def _of_leftovers(redis: Any, namespace: str, at: Progress) -> AsyncIterator[Finding]:
    if left := await named(redis, namespace, at.counted):
        yield Finding("leftovers", Level.WARNING, f"left of jobs that are gone: {left}; {STRUCK}")
    records, recording = records_key(namespace), recording_key(namespace)
    waiting = await redis.xlen(records)
    # A recorder leaves the last entry that it has read.
    if waiting > 1 and not await redis.exists(recording):
        yield Finding(
            "records",
            Level.WARNING,
            f"{waiting:,} entries wait for the audit table, and nothing reads them: start a worker with DATABASE_URL, "
            f"or delete the key {records}",
        )


async def _of_webhooks(redis: Any, settings: Settings) -> AsyncIterator[Finding]:
    for one in await WebhookRecords(redis, settings.namespace).all():
        if one.off:
            yield Finding(
                "webhooks",
                Level.WARNING,
                f"{one.id} is switched off, so {one.url} is told of nothing: {one.off}; `rota webhooks on {one.id}`",
            )


def _of_queue(queue: str, reading: QueueReading) -> Iterator[Finding]:
    waiting, dead = reading.states[State.WAITING], reading.states[State.DEAD]
    if reading.unreadable:
        yield Finding("queues", Level.WARNING, f"{queue}: {reading.unreadable} cannot be read")
    if reading.paused:
        yield Finding("queues", Level.WARNING, f"{queue} is paused: `rota resume {queue}` lets it go on")
    elif waiting and not reading.workers("running"):
        yield Finding(
            "queues", Level.WARNING, f"{_count(waiting, 'job')} due on {queue}, which no worker serves"
        )
    if dead:
        yield Finding(
            "queues",
            Level.WARNING,
            f"{queue} has {_count(dead, 'dead letter')}: `rota failures {queue}` says of what",
        )


def _count(number: int, of: str, more: str = "s") -> str:
    many = f"{number:,}" if number else "no"
    return f"{many} {of}{'' if number == 1 else more}"


# The database


async def _of_database(settings: Settings) -> AsyncIterator[Finding]:
    target = settings.database
    if target is None:
        yield Finding("database", Level.OK, "none: DATABASE_URL is not set, and jobs are not recorded")
        return
    try:
        from rota.store.engine import Database  # noqa: PLC0415 - an extra
        from rota.store.migrations import LATEST, check  # noqa: PLC0415

        database = Database(target)
        try:
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
    for name, backlog in waiting.items():
        said = f"{backlog.rows:,} rows wait, the first for {backlog.oldest:.0f} s"
        if name != namespace:
            said += f", for the NAMESPACE {name}, which is not that of these workers"
        is_old = backlog.oldest > _OUTBOX_WAITS or name != namespace
        yield Finding("outbox", Level.WARNING if is_old else Level.OK, said)
    if not waiting:
        yield Finding("outbox", Level.OK, "nothing waits to be sent")
    if refused:
        said = "rows were refused, and their jobs do not run: the column refused of _outbox says why"
        yield Finding("outbox", Level.WARNING, f"{refused:,} {said}")
