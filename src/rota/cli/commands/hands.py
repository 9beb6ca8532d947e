"""`rota stack`: what a running job is doing now."""

from typing import Annotated

import typer

from rota.cli import screen
from rota.cli.commands.look import AsJson
from rota.cli.session import known, with_client
from rota.client.client import Client
from rota.errors import JobNotFound, RotaError
from rota.model.stack.stack import JobStack
from rota.wire.keys import check_queue


def add_to(cli: typer.Typer) -> None:
    cli.command(rich_help_panel="Jobs and queues")(stack)


def stack(
    job_id: Annotated[str, typer.Argument(help="a job that runs, by id")],
    *,
    queue: Annotated[str | None, typer.Option(help="its queue; without it, all are looked at")] = None,
    as_json: AsJson = False,
) -> None:
    """Show what a running job is doing now: the calls in which its handler is, asked of its worker."""
    try:
        here = known()
        queues = here.queues if queue is None else (check_queue(queue),)
    except ValueError as error:
        raise RotaError(str(error)) from None

    async def act(client: Client) -> None:
        for one in queues:
            try:
                await client.status(one, job_id)
            except JobNotFound:
                continue
            _say(await client.stack(one, job_id), as_json)
            return
        raise JobNotFound(job_id)

    with_client(here.settings, act)


def _say(found: JobStack, as_json: bool) -> None:
    if as_json:
        screen.value(found)
        return
    screen.say(f"{found.queue}:{found.task} {found.id}, for {found.seconds:.1f} s on {found.worker}")
    screen.say(f"{found.state}:")
    for line in found.text.splitlines() or ["  (it does not say: try again)"]:
        screen.say(line)
    if found.note:
        screen.say(found.note)
