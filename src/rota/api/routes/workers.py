"""The route of workers: the processes that work, and which of them leads."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request, Response

from rota.api.answers import answer
from rota.api.desk import READS, desk_of
from rota.fleet.roster import Process, roster
from rota.server.faults import explained

router = APIRouter(tags=["workers"], default_response_class=Response)


@router.get("/workers", summary="All workers", dependencies=[READS])
async def workers(request: Request) -> Response:
    """Return each process that works, its queues and slots, what it tells of itself, and which of them leads."""
    desk = desk_of(request)
    async with explained(desk.client.redis):
        found = await roster(desk.client.redis, desk.queues, desk.settings.namespace)
    return answer({"items": [_shape(one) for one in found.processes]})


def _shape(one: Process) -> dict[str, Any]:
    """Return a process as answers show it; what a process of an earlier version does not tell is null."""
    names = ("status", "slots", "busy", "cap", "version")
    queues = [
        {"queue": queue} | {name: getattr(beat, name) for name in names} for queue, beat in one.beats.items()
    ]
    about = {name: value or None for name, value in asdict(one.latest.about).items()}
    if about["pid"] is not None:
        about["lag"] = one.latest.about.lag
    return {"id": one.name, "leads": one.leads, **about, "queues": queues}
