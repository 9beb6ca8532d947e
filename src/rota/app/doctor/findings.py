"""The findings about jobs, settings, Redis and queues, by what was read of them."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

from pydantic import SecretStr

from rota.app.handlers import timeouts_of
from rota.errors import RotaError
from rota.fleet.reading import QueueReading, Reading
from rota.model.registry import Registry
from rota.model.state import State
from rota.model.webhooks.subscription import Subscription
from rota.settings.settings import Settings
from rota.wire.keys import records_key

#: How far the clock of this machine may be from that of the server, in seconds: times that people compare.
_CLOCKS_APART = 2.0
#: How long a row of the outbox may wait, in seconds: the leader looks each second.
_OUTBOX_WAITS = 60.0
#: The part of its memory that Redis may use.
_MOST_MEMORY = 0.8


class Backlog(Protocol):
    """The rows of an outbox that wait: how many, and the seconds for which the oldest does."""

    @property
    def rows(self) -> int: ...
    @property
    def oldest(self) -> float: ...


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


def of_jobs(registry: Registry, failures: Sequence[RotaError]) -> Iterator[Finding]:
    """Yield what is found of the jobs, and of the modules that could not be imported."""
    for failure in failures:
        yield Finding("jobs", Level.ERROR, str(failure))
    if registry.jobs:
        yield Finding(
            "jobs",
            Level.OK,
            f"{counted(len(registry.jobs), 'job')} on {counted(len(registry.queues), 'queue')}",
        )
    elif not failures:
        yield Finding("jobs", Level.ERROR, "the jobs package declares no job: no worker will start")


def of_settings(settings: Settings, registry: Registry) -> Iterator[Finding]:
    """Yield what would surprise in the settings; those of a process that runs no jobs too."""
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


def of_secrets(settings: Settings) -> Iterator[Finding]:
    """Yield where each secret was found, and which files in the folder of secrets say nothing."""
    for name, field in type(settings).model_fields.items():
        value, variable = getattr(settings, name), name.upper()
        place = settings.place_of(variable)
        if isinstance(value, SecretStr) or not (value is None or field.repr):
            yield Finding("secrets", Level.OK, f"{variable} is from: {place}")
        if variable in settings.secrets and place != "secrets":
            said = f"the secret {variable} is not read, as it is set too ({place}): keep one of them"
            yield Finding("secrets", Level.WARNING, said)
    known = {name.upper() for name in type(settings).model_fields}
    if own := [name for name in settings.secrets if name not in known]:
        yield Finding("secrets", Level.OK, f"for the jobs: {', '.join(own)}")


def of_fleet(fleet: Reading, strays: Sequence[str] = ()) -> Iterator[Finding]:
    """Yield what is found of the server, the queues, those that nothing names, and the workers."""
    yield from _of_server(fleet)
    for queue, reading in fleet.queues.items():
        yield from _of_queue(queue, reading)
    for queue in strays:
        yield Finding(
            "queues",
            Level.WARNING,
            f"{queue} has jobs or dead letters, and no job and no setting names it: no worker serves it",
        )
    workers = {beat.process for reading in fleet.queues.values() for beat in reading.beats}
    yield Finding(
        "workers", Level.OK if workers else Level.WARNING, f"{counted(len(workers), 'worker process', 'es')}"
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


def _of_queue(queue: str, reading: QueueReading) -> Iterator[Finding]:
    waiting, dead = reading.states[State.WAITING], reading.states[State.DEAD]
    if reading.unreadable:
        yield Finding("queues", Level.WARNING, f"{queue}: {reading.unreadable} cannot be read")
    if reading.paused:
        yield Finding("queues", Level.WARNING, f"{queue} is paused: `rota resume {queue}` lets it go on")
    elif waiting and not reading.workers("running"):
        yield Finding(
            "queues", Level.WARNING, f"{counted(waiting, 'job')} due on {queue}, which no worker serves"
        )
    if dead:
        yield Finding(
            "queues",
            Level.WARNING,
            f"{queue} has {counted(dead, 'dead letter')}: `rota failures {queue}` says of what",
        )


def of_webhooks(webhooks: Iterable[Subscription]) -> Iterator[Finding]:
    """Yield a warning for each webhook that is switched off."""
    for one in webhooks:
        if one.off:
            yield Finding(
                "webhooks",
                Level.WARNING,
                f"{one.id} is switched off, so {one.url} is told of nothing: {one.off}; `rota webhooks on {one.id}`",
            )


def of_records(namespace: str, waiting: int, *, are_read: bool) -> Iterator[Finding]:
    """Yield a warning where records wait for a recorder that nobody runs; it leaves the last one that it has read."""
    if waiting > 1 and not are_read:
        yield Finding(
            "records",
            Level.WARNING,
            f"{waiting:,} entries wait for the audit table, and nothing reads them: start a worker with DATABASE_URL, "
            f"or delete the key {records_key(namespace)}",
        )


def of_outbox(namespace: str, waiting: Mapping[str, Backlog], refused: int) -> Iterator[Finding]:
    """Yield what waits in the outbox, by the namespace that it waits for, and what was refused."""
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


def counted(number: int, of: str, more: str = "s") -> str:
    """Return a number with its noun, as sentences have it."""
    many = f"{number:,}" if number else "no"
    return f"{many} {of}{'' if number == 1 else more}"
