"""The command for schedules: list them, let one run now, pause one and let it go on."""

from enum import StrEnum
from typing import Annotated

import typer

from rota.cli import screen
from rota.cli.arguments import AsJson
from rota.cli.commands.look import moment
from rota.cli.commands.many.acting import record
from rota.cli.session import with_client
from rota.client.client import Client
from rota.errors import RotaError
from rota.model.schedules.info import ScheduleInfo
from rota.settings.load import load


class Action(StrEnum):
    """The actions of the command for schedules."""

    LIST = "list"
    RUN = "run"
    PAUSE = "pause"
    RESUME = "resume"


def add_to(cli: typer.Typer) -> None:
    cli.command(rich_help_panel="Jobs and queues")(schedules)


def schedules(
    action: Annotated[Action, typer.Argument(help="list, run, pause or resume")] = Action.LIST,
    name: Annotated[str | None, typer.Argument(help="the schedule")] = None,
    as_json: AsJson = False,
) -> None:
    """List all schedules, times in UTC; or run, pause or resume the one that is named."""
    if (name is None) != (action is Action.LIST):
        raise RotaError(f"write `rota schedules` alone, or `rota schedules {_other(action)} NAME`")

    async def act(client: Client) -> None:
        if name is None:
            await _list(client, as_json)
        elif action is Action.RUN:
            handle = await client.run_schedule(name)
            await record(client, "run", schedule=name)
            told = {"queue": handle.queue, "id": handle.id}
            screen.answer(told, f"{handle.queue} {handle.id}", as_json)
        elif action is Action.PAUSE:
            await client.pause_schedule(name)
            await record(client, "pause", schedule=name)
            screen.answer({"answer": "paused"}, f"{name} is paused", as_json)
        else:
            await client.resume_schedule(name)
            await record(client, "resume", schedule=name)
            screen.answer({"answer": "resumed"}, f"{name} goes on", as_json)

    with_client(load(), act)


def _other(action: Action) -> str:
    return "run" if action is Action.LIST else action.value


async def _list(client: Client, as_json: bool) -> None:
    found = await client.schedules()
    if as_json:
        screen.value(found)
    else:
        screen.table(("schedule", "job", "runs", "next", "last", "ended", "missed"), map(_row, found))


def _row(one: ScheduleInfo) -> list[object]:
    waits = f"paused since {moment(one.paused_since)}" if one.paused_since else moment(one.next)
    return [one.name, one.job, one.words, waits, moment(one.last), one.outcome, one.missed_ticks or ""]
