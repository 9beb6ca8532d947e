"""The screens of workers: each process with what it runs, and whether there are as many as the load needs."""

import asyncio
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import APIRouter, Request, Response

from rota.api.desk import Desk, desk_of
from rota.api.pages.frame import ROOT, Page, render
from rota.api.pages.screens.queues.explaining import Plan
from rota.api.pages.visitors import SEES
from rota.api.problems import Problem
from rota.fleet.fleet import Fleet, FleetNeed
from rota.fleet.heartbeat import EVERY
from rota.fleet.reading import read
from rota.fleet.roster import Process, Roster, roster
from rota.fleet.scaling import HASTE, slots_needed
from rota.server.faults import explained

router = APIRouter(route_class=Page, prefix=ROOT, include_in_schema=False)

#: How many of the jobs that run in a process the list names.
_NAMED = 3


@router.get("/workers", dependencies=[SEES])
async def workers(request: Request) -> Response:
    """Show the processes that work, what runs in them, and how many the load needs."""
    desk = desk_of(request)
    found, need = await asyncio.gather(_roster(desk), _need(desk))
    processes = found.processes
    known = sum(len(one.running) for one in processes)
    return render(
        request,
        "workers.html",
        page="workers",
        processes=[_shown(one) for one in processes],
        named=_NAMED,
        versions=_versions(processes),
        elsewhere=len(found.running) - known,
        leader=found.leader,
        leads_elsewhere=found.leads_elsewhere,
        need=need,
        formula=_formula(need),
        haste=HASTE,
    )


@router.get("/workers/{worker}", dependencies=[SEES])
async def worker(request: Request, worker: str) -> Response:
    """Show one process, its queues, and all that runs in it."""
    found = await _roster(desk_of(request))
    one = next((one for one in found.processes if one.name == worker), None)
    if one is None:
        detail = f"no process that is called {worker[:80]!r} has told within seconds that it lives"
        raise Problem(404, "no-such-worker", "There is no such worker", detail)
    return render(request, "worker.html", page="workers", one=one, told=_shown(one))


async def _roster(desk: Desk) -> Roster:
    async with explained(desk.client.redis):
        return await roster(desk.client.redis, desk.queues, desk.settings.namespace, detailed=True)


async def _need(desk: Desk) -> FleetNeed:
    async with explained(desk.client.redis):
        reading = await read(desk.client.redis, desk.queues)
    return Fleet(desk.settings, desk.queues).appraise(reading)


def _shown(one: Process) -> dict[str, Any]:
    """Return what the pages say of a process; it began so long ago as it has told, whatever its own clock says."""
    beat, about = one.latest, one.latest.about
    since = datetime.now(UTC) - timedelta(seconds=about.up + beat.age) if about.pid else None
    return {
        "id": one.name,
        "about": about,
        "since": since,
        "age": beat.age,
        "is_silent": beat.age > 2 * EVERY,
        "status": beat.status,
        "version": beat.version,
        "leads": one.leads,
        "queues": one.beats,
        "slots": one.slots,
        "busy": one.busy,
        "running": one.running,
    }


def _versions(processes: Iterable[Process]) -> list[tuple[str, int]]:
    """Return the versions of the code that run, and in how many processes, where there are several."""
    found = Counter(one.latest.version or "unknown" for one in processes)
    return sorted(found.items()) if len(found) > 1 else []


def _formula(need: FleetNeed) -> list[Plan]:
    """Return for each queue the numbers by which its workers are counted, the one that wants most first."""
    found = [Plan(one.queue, one.load, slots_needed(one.load), one.desired) for one in need.queues]
    return sorted(found, key=lambda plan: (-plan.slots, plan.words))
