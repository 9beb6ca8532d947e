"""The routes of schedules: when each runs, and to run, pause or resume one."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request, Response

from rota.api.answers import accepted, answer
from rota.api.desk import OPERATES, READS, Desk, desk_of, record
from rota.client.schedules import ScheduleControl
from rota.model.schedules.info import ScheduleInfo
from rota.server.faults import explained

router = APIRouter(tags=["schedules"], default_response_class=Response)


@router.get("/schedules", summary="All schedules", dependencies=[READS])
async def schedules(request: Request) -> Response:
    """Return all schedules that workers have declared, with their last and next runs."""
    return answer({"items": [asdict(one) for one in await desk_of(request).client.schedules()]})


@router.get("/schedules/{name}", summary="One schedule", dependencies=[READS])
async def schedule(request: Request, name: str) -> Response:
    """Return a schedule with its last and next run."""
    return answer(await _find(desk_of(request), name))


@router.post("/schedules/{name}/run", summary="Run a schedule now", status_code=202, dependencies=[OPERATES])
async def run(request: Request, name: str) -> Response:
    """Enqueue the job of a schedule now, beside its ticks."""
    desk = desk_of(request)
    found = await _find(desk, name)
    handle = await desk.client.run_schedule(name)
    await record(request, "run", schedule=name)
    return accepted(request, handle, str(found["job"]).rpartition(":")[2])


@router.post("/schedules/{name}/pause", summary="Pause a schedule", dependencies=[OPERATES])
async def pause(request: Request, name: str) -> Response:
    """Let a schedule enqueue nothing until it is resumed; a job that runs goes on."""
    desk = desk_of(request)
    await desk.client.pause_schedule(name)
    await record(request, "pause", schedule=name)
    return answer(await _find(desk, name))


@router.post("/schedules/{name}/resume", summary="Resume a schedule", dependencies=[OPERATES])
async def resume(request: Request, name: str) -> Response:
    """Let a schedule go on with the tick that comes next."""
    desk = desk_of(request)
    await desk.client.resume_schedule(name)
    await record(request, "resume", schedule=name)
    return answer(await _find(desk, name))


async def _find(desk: Desk, name: str) -> dict[str, Any]:
    async with explained(desk.client.redis):
        state = await ScheduleControl(desk.client.redis, desk.settings).state(name)
    return asdict(ScheduleInfo.of(state))
