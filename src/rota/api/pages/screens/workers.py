"""The screen of workers: each process with its queues and slots."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request, Response

from rota.api.desk import desk_of
from rota.api.pages.frame import ROOT, Page, render
from rota.api.pages.visitors import SEES
from rota.fleet.roster import roster
from rota.server.faults import explained

router = APIRouter(route_class=Page, prefix=ROOT, include_in_schema=False)


@router.get("/workers", dependencies=[SEES])
async def workers(request: Request) -> Response:
    """Show the processes that work, with their slots and queues."""
    desk = desk_of(request)
    async with explained(desk.client.redis):
        found = await roster(desk.client.redis, desk.queues, desk.settings.namespace)
    processes: dict[str, dict[str, Any]] = {}
    for queue, beat, leads in found.rows():
        one = processes.setdefault(
            beat.process, {"id": beat.process, "leads": leads, "queues": [], **asdict(beat)}
        )
        one["queues"].append({"name": queue, "slots": beat.slots, "busy": beat.busy})
    return render(request, "workers.html", page="workers", processes=list(processes.values()))
