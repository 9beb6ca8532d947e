"""The command that enqueues: one job from its arguments, or many from lines of stdin."""

import sys
from datetime import datetime
from typing import Annotated, Any, Unpack

import typer

from rota.cli import screen
from rota.cli.arguments import TIME, AsJson, duration, moment, payload
from rota.cli.commands.putting import lines
from rota.cli.session import serving, with_client
from rota.client.client import Client
from rota.errors import RotaError
from rota.model.job import Job
from rota.model.options import EnqueueFields
from rota.model.registry import discover
from rota.settings.load import load

Delay = Annotated[
    float | None, typer.Option(parser=duration("--delay"), metavar=TIME, help="until it is due: 30s, 1h")
]
At = Annotated[
    datetime | None, typer.Option(parser=moment, metavar="WHEN", help="when it is due, with its zone")
]

Tenant = Annotated[str | None, typer.Option(help="whose job it is")]


def add_to(cli: typer.Typer) -> None:
    cli.command(rich_help_panel="Jobs and queues")(enqueue)


def enqueue(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]", help="queue:name, or name where one queue has it; lines may name theirs"
        ),
    ] = None,
    arguments: Annotated[
        str, typer.Argument(metavar="PAYLOAD", help="a JSON object; - reads it from stdin, @FILE from a file")
    ] = "{}",
    *,
    delay: Delay = None,
    at: At = None,
    priority: Annotated[int | None, typer.Option(help="from 0 to 9; higher ones start first")] = None,
    queue: Annotated[str | None, typer.Option(help="to run on this queue, instead of the job's own")] = None,
    job_id: Annotated[str | None, typer.Option("--id", help="an id of your own")] = None,
    tenant: Tenant = None,
    timeout: Annotated[
        float | None,
        typer.Option(parser=duration("--timeout"), metavar=TIME, help="that an attempt may take"),
    ] = None,
    max_attempts: Annotated[int | None, typer.Option(help="attempts before it is dead")] = None,
    wait: Annotated[
        float | None, typer.Option(parser=duration("--wait"), metavar=TIME, help="to wait for the result")
    ] = None,
    stdin: Annotated[
        bool,
        typer.Option(
            "--stdin", help="a job for each line of stdin: its payload, or name, payload and options"
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Enqueue a job, and print its queue and id; or, with --stdin, many."""
    options: EnqueueFields = {"queue": queue, "delay": delay, "at": at, "id": job_id, "priority": priority}
    options |= {"timeout": timeout, "max_attempts": max_attempts, "tenant": tenant}
    given: EnqueueFields = {name: value for name, value in options.items() if value is not None}  # type: ignore[assignment]
    if stdin:
        _many(name, given, arguments, wait, as_json)
    elif name is None:
        raise RotaError("no job is named: rota enqueue NAME; rota list shows those there are")
    else:
        _one(name, given, payload(arguments), wait, as_json)


def _one(name: str, options: EnqueueFields, given: dict[str, Any], wait: float | None, as_json: bool) -> None:
    settings = load() if "queue" not in options else serving(str(options["queue"]))
    job = _with_options(discover(settings.jobs_package, settings.default_queue).find(name), **options)

    async def act(client: Client) -> None:
        handle = await client.enqueue(job, **given)
        told = {"queue": handle.queue, "id": handle.id}
        if not as_json:
            screen.say(f"{handle.queue} {handle.id}")
        if wait is not None:
            told["result"] = await handle.result(wait)
        if as_json or wait is not None:
            screen.value(told if as_json else told["result"])

    with_client(settings, act)


def _many(
    name: str | None, options: EnqueueFields, arguments: str, wait: float | None, as_json: bool
) -> None:
    if arguments != "{}" or wait is not None or "id" in options:
        raise RotaError("PAYLOAD, --wait and --id are about one job; with --stdin each line has its own")
    if name is None and options:
        raise RotaError(
            'options are for the jobs of one NAME; without it each line has its own: "options": {…}'
        )
    settings = load()
    registry = discover(settings.jobs_package, settings.default_queue)
    job = None if name is None else _with_options(registry.find(name).options(on_taken="existing"), **options)
    asked = lines.read(sys.stdin.buffer, registry, job)

    async def act(client: Client) -> None:
        created = 0
        async for sent in lines.send(client, asked):
            for one in lines.told(sent):
                created += one["created"]
                screen.value(one) if as_json else screen.say(f"{one['queue']} {one['id']}")
        there = len(asked) - created
        screen.note(f"{created:,} jobs were enqueued" + (f", {there:,} were there already" if there else ""))

    with_client(settings, act)


def _with_options(job: Job[Any, Any], **options: Unpack[EnqueueFields]) -> Job[Any, Any]:
    try:
        return job.options(**options)
    except (ValueError, TypeError) as error:
        raise RotaError(str(error)) from None
