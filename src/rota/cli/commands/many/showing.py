"""`rota bulk`: the actions on many jobs, watched and aborted; `rota actions`: who did what."""

import json
from typing import Annotated, Any

import typer

from rota.cli import screen
from rota.cli.arguments import AsJson, whole
from rota.cli.commands.look import moment
from rota.cli.commands.many.acting import caller
from rota.cli.session import with_client
from rota.client.client import Client
from rota.errors import RotaError
from rota.model.bulk.actions import Action, Actor
from rota.model.bulk.operation import Operation
from rota.settings.load import load


def add_to(cli: typer.Typer) -> None:
    for command in (bulk, actions):
        cli.command(rich_help_panel="Jobs and queues")(command)


def bulk(
    operation_id: Annotated[str | None, typer.Argument(metavar="ID", help="one of them")] = None,
    *,
    abort: Annotated[bool, typer.Option("--abort", help="stop it before its next portion")] = False,
    as_json: AsJson = False,
) -> None:
    """List what was done to many jobs at once in the last days, or show how far one of it is, or stop it."""
    if abort and operation_id is None:
        raise RotaError("--abort takes the ID of what is to stop: `rota bulk` lists them")

    async def act(client: Client) -> None:
        if operation_id is None:
            found = await client.bulk.all()
        elif abort:
            found = [await client.bulk.abort(operation_id, caller())]
        else:
            found = [await client.bulk.look(operation_id)]
        if as_json:
            shown = [_as_json(one) for one in found]
            screen.value(shown if operation_id is None else shown[0])
            return
        columns = ("id", "asked", "by", "action", "state", "done", "skipped", "failed", "of", "where")
        screen.table(columns, [_row(one) for one in found])
        for one in found if operation_id is not None else ():
            for refused in one.refused:
                screen.say(f"{refused['queue']} {refused['id']}: {refused['why']}")

    with_client(load(), act)


def actions(
    limit: Annotated[
        int, typer.Option(parser=whole("--limit", 1, 10_000), metavar="N", help="how many, the newest first")
    ] = 50,
    as_json: AsJson = False,
) -> None:
    """Show who did what to which jobs, and to how many: the last 10,000 actions."""

    async def act(client: Client) -> None:
        found = await client.actions.page(limit=limit)
        if as_json:
            screen.value([_action_as_json(one) for one in found])
            return
        rows = [
            (moment(one.at), _by(one.actor), one.action, one.count, one.outcome, json.dumps(one.target))
            for one in found
        ]
        screen.table(("at", "by", "action", "jobs", "outcome", "which"), rows)

    with_client(load(), act)


def _row(one: Operation) -> tuple[object, ...]:
    state = "aborting" if one.is_aborting and not one.is_over else one.state
    of = "?" if one.count is None else one.count
    counts = (one.done, one.skipped, one.failed, of)
    return (
        one.id,
        moment(one.created_at),
        _by(one.actor),
        one.action,
        state,
        *counts,
        json.dumps(one.filter),
    )


def _by(actor: Actor) -> str:
    return f"{actor.name} ({actor.id})" if actor.name and actor.id else actor.id or actor.name


def _as_json(one: Operation) -> dict[str, Any]:
    return {name: getattr(one, name) for name in one.__slots__}


def _action_as_json(one: Action) -> dict[str, Any]:
    return {name: getattr(one, name) for name in one.__slots__}
