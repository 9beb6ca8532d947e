"""The command that shows the worker processes, and which of them leads."""

from dataclasses import asdict
from typing import Any

import typer

from rota.cli import screen
from rota.cli.arguments import AsJson
from rota.cli.commands.look import moment
from rota.cli.session import known, with_client
from rota.client.client import Client
from rota.fleet.roster import Roster, roster
from rota.server.faults import explained


def add_to(cli: typer.Typer) -> None:
    cli.command(rich_help_panel="The size of the fleet")(workers)


def workers(as_json: AsJson = False) -> None:
    """List the worker processes with the queues that they serve, and which one leads; times are in UTC."""
    here = known()

    async def act(client: Client) -> None:
        async with explained(client.redis):
            found = await roster(client.redis, here.queues, here.settings.namespace)
        if as_json:
            screen.value(_as_json(found))
        else:
            _show(found)

    with_client(here.settings, act)


def _as_json(found: Roster) -> dict[str, Any]:
    leader = None if found.leader is None else {"process": found.leader.worker, "since": found.leader.since}
    processes = [
        {
            "process": beat.process,
            "queue": queue,
            "status": beat.status,
            "slots": beat.slots,
            "busy": beat.busy,
            "worker_concurrency": beat.cap or None,
            "version": beat.version or None,
            "leads": leads,
            **asdict(beat.about),
        }
        for queue, beat, leads in found.rows()
    ]
    return {"leader": leader, "workers": processes}


def _show(found: Roster) -> None:
    columns = ("process", "queue", "status", "slots", "busy", "version", "leads")
    since = f"since {moment(found.leader.since if found.leader else None) or 'nobody knows when'}"
    screen.table(
        columns,
        [
            (beat.process, queue, beat.status, beat.slots, beat.busy, beat.version, since if leads else "")
            for queue, beat, leads in found.rows()
        ],
    )
    if found.leader is None:
        screen.note("no process leads")
    elif found.leads_elsewhere:
        screen.note(f"{found.leader.worker} leads, {since}; it serves none of these queues")
