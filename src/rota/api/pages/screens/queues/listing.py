"""The list of queues: all of them at a glance."""

import asyncio
from typing import Any

from fastapi import APIRouter, Request, Response

from rota.api.desk import Desk, desk_of
from rota.api.pages.frame import ROOT, Page, render
from rota.api.pages.pictures import Bar, sparkline
from rota.api.pages.screens.queues.standing import reading_of, states_of
from rota.api.pages.visitors import SEES
from rota.api.pages.words import counted, notices
from rota.fleet.fleet import QueueNeed
from rota.fleet.reading import QueueReading
from rota.model.history.series import QueueHistory

router = APIRouter(route_class=Page, prefix=ROOT, include_in_schema=False)

#: The list of queues shows a quarter of an hour of each.
_LATELY = (900, 60)


@router.get("/queues", dependencies=[SEES])
async def queues(request: Request) -> Response:
    """Show every queue, the one that is furthest from its objective first."""
    desk = desk_of(request)
    (reading, needs), histories = await asyncio.gather(
        reading_of(desk), desk.client.histories(desk.queues, period=_LATELY[0], step=_LATELY[1])
    )
    rows = [_row(desk, name, one, needs[name], histories[name]) for name, one in reading.queues.items()]
    rows.sort(key=lambda row: (-row["nearness"], row["name"]))
    return render(request, "queues.html", page="queues", notices=notices(reading), rows=rows)


def _row(desk: Desk, name: str, one: QueueReading, need: QueueNeed, history: QueueHistory) -> dict[str, Any]:
    slo = desk.settings.queue(name).slo
    total = history.total
    ended = total.completed + total.dead
    steps = [Bar.of([point]) for point in history.points]
    return {
        "name": name,
        "states": states_of(one),
        "latency": one.latency,
        "slo": slo,
        "nearness": one.latency / slo,
        "slots": one.slots,
        "busy": one.slots_busy,
        "paused": one.paused,
        "unserved": one.ready > 0 and not one.workers("running"),
        "late": one.latency > slo,
        "failed": 100 * total.dead / ended if ended else None,
        "workers": need.workers,
        "desired": need.desired,
        "spark": sparkline(steps, f"{counted(ended, 'job')} of {name} ended in 15 minutes"),
    }
