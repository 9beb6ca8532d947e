"""The command that shows the worker processes, and which of them leads."""

from datetime import UTC, datetime
from typing import Any

import typer

from rota.cli import screen
from rota.cli.commands.look import AsJson, moment
from rota.cli.session import known, with_client
from rota.client.client import Client
from rota.fleet.roster import Roster, roster
from rota.server.faults import explained

#: The end of the times that can be shown, in milliseconds.
_END = 253_402_300_800_000


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


def _since(found: Roster) -> datetime | None:
    """Return when the leader's term began, as its epoch says; None where another hand wrote what can be no time."""
    if found.leader is None or found.leader.epoch >= _END:
        return None
    return datetime.fromtimestamp(found.leader.epoch / 1000, UTC)


def _as_json(found: Roster) -> dict[str, Any]:
    leader = None if found.leader is None else {"process": found.leader.worker, "since": _since(found)}
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
        }
        for queue, beat, leads in found.rows()
    ]
    return {"leader": leader, "workers": processes}


def _show(found: Roster) -> None:
    columns = ("process", "queue", "status", "slots", "busy", "version", "leads")
    since = f"since {moment(_since(found)) or 'nobody knows when'}"
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
