"""The route of workers: the processes that work, and which of them leads."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request, Response

from rota.api.answers import answer
from rota.api.desk import READS, desk_of
from rota.fleet.roster import roster
from rota.server.faults import explained

router = APIRouter(tags=["workers"], default_response_class=Response)


@router.get("/workers", summary="All workers", dependencies=[READS])
async def workers(request: Request) -> Response:
    """Return each process that works, its queues and slots, and which of them leads."""
    desk = desk_of(request)
    async with explained(desk.client.redis):
        found = await roster(desk.client.redis, desk.queues, desk.settings.namespace)
    items: dict[str, dict[str, Any]] = {}
    for queue, beat, leads in found.rows():
        known = asdict(beat)
        process = known.pop("process")
        entry = items.setdefault(process, {"id": process, "leads": leads, "queues": []})
        entry["queues"].append({"queue": queue, **known})
    return answer({"items": list(items.values())})
