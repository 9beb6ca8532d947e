"""The commands that look at Redis itself: what happens there, and what its memory is used for."""

from dataclasses import asdict, fields
from typing import Annotated, Any

import typer

from rota.cli import screen
from rota.cli.arguments import AsJson
from rota.cli.progress import Progress
from rota.cli.session import with_client
from rota.client.client import Client
from rota.errors import RotaError
from rota.model.event import EventType, StreamEvent
from rota.names import full_name
from rota.server.memory import Memory, memory_of
from rota.services.leftovers import STRUCK, named
from rota.settings.load import load
from rota.units import format_size


def add_to(cli: typer.Typer) -> None:
    for command in (tail, memory):
        cli.command(rich_help_panel="Jobs and queues")(command)


def tail(
    queue: Annotated[str | None, typer.Argument(help="of this queue alone")] = None,
    *,
    types: Annotated[
        list[EventType] | None, typer.Option("--type", help="events of this type alone; may be given again")
    ] = None,
    after: Annotated[
        str | None, typer.Option(metavar="POSITION", help="begin after this event; 0-0: with the oldest")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print what happens to jobs, as it happens, until Ctrl-C; times are in UTC."""

    async def act(client: Client) -> None:
        try:
            events = client.events(after=after, queue=queue, types=types)
        except ValueError as error:
            raise RotaError(f"--{error}") from None
        async for event in events:
            if as_json:
                screen.value(_event_as_json(event))
            else:
                screen.say(_line(event))
            screen.flush()

    with_client(load(), act)


def _line(event: StreamEvent) -> str:
    name = full_name(event.queue, event.task) if event.task else event.queue
    known = {
        "attempt": event.attempt or "",
        "worker": event.worker,
        "due": f"{event.due:%Y-%m-%d %H:%M:%S}" if event.due else "",
        "reason": event.reason,
        "percent": "" if event.percent is None else f"{event.percent:g}",
        "message": event.message,
        "error": event.error or "",
    }
    told = " ".join(f"{field}={value}" for field, value in known.items() if value != "")
    gap = "(events are missing before this one) " if event.gap else ""
    at = f"{event.at:%Y-%m-%d %H:%M:%S}.{event.at.microsecond // 1000:03}"
    return f"{at} {event.type:<11} {name} {event.id} {gap}{told}".rstrip()


def _event_as_json(event: StreamEvent) -> dict[str, Any]:
    known = {one.name: getattr(event, one.name) for one in fields(event)}
    if event.error is not None:
        known["error"] = {"type": event.error.type, "message": event.error.message}
    return known


def memory(as_json: AsJson = False) -> None:
    """Show what the memory of Redis is used for: the keys by kind, and about how much each kind takes."""
    settings = load()

    async def act(client: Client) -> None:
        with Progress("keys looked at", quiet=as_json) as at:
            found = await memory_of(client.redis, settings.namespace, at.counted)
            left = await named(client.redis, settings.namespace, at.counted)
        if as_json:
            screen.value(asdict(found) | {"left": left})
        else:
            _show(found, left)

    with_client(settings, act)


def _show(found: Memory, left: str) -> None:
    total = sum(one.bytes for one in found.usage) or 1
    columns = ("kind", "keys", "memory", "share", "a key")
    screen.table(
        columns,
        [
            (
                one.kind,
                f"{one.keys:,}",
                format_size(one.bytes),
                f"{one.bytes / total:.1%}",
                format_size(one.bytes // max(one.keys, 1)),
            )
            for one in found.usage
        ],
    )
    most = f" of {format_size(found.most)}" if found.most else ", and has no limit (maxmemory)"
    screen.note(f"Redis uses {format_size(found.used)} in all{most}")
    if left:
        screen.note(f"left of jobs that are gone: {left}; {STRUCK}")
