"""The pages of queues: all of them at a glance, one with what became of its jobs, and pausing them."""

import asyncio
from typing import Any

from fastapi import APIRouter, Request, Response

from rota.api.desk import Desk, desk_of, known_queue, record
from rota.api.pages.frame import ROOT, Page, base_of, form_of, go_to, render
from rota.api.pages.pictures import Bar, bars
from rota.api.pages.visitors import ACTS, SEES
from rota.api.pages.words import QueueFacts, counted, of_queue
from rota.fleet.fleet import Fleet, QueueNeed
from rota.fleet.reading import QueueReading, Reading, read
from rota.model.history.series import QueueHistory
from rota.model.state import State
from rota.server.faults import explained

router = APIRouter(route_class=Page, prefix=ROOT, include_in_schema=False)

#: What the pages of a queue show of its past: how long, and the step.
_PERIODS = {"1h": (3600, 60), "8h": (28_800, 600), "24h": (86_400, 1800), "72h": (259_200, 3600)}
#: The list of queues shows a quarter of an hour of each.
_LATELY = (900, 60)


async def reading_of(desk: Desk, *names: str) -> tuple[Reading, dict[str, QueueNeed]]:
    """Return these queues, or all, as they are now, and the workers that each needs. Raises ServerError."""
    queues = names or desk.queues
    async with explained(desk.client.redis):
        reading = await read(desk.client.redis, queues)
    need = Fleet(desk.settings, queues).appraise(reading)
    return reading, {one.queue: one for one in need.queues}


def facts_of(desk: Desk, name: str, one: QueueReading, need: QueueNeed) -> QueueFacts:
    """Return what is said of a queue in words."""
    return QueueFacts(
        name,
        one.ready,
        one.latency,
        desk.settings.queue(name).slo,
        one.slots,
        one.slots_busy,
        one.workers("running"),
        max(0, need.desired - need.workers),
        one.paused,
    )


@router.get("/queues", dependencies=[SEES])
async def queues(request: Request) -> Response:
    """Show every queue, the one that is furthest from its objective first."""
    desk = desk_of(request)
    (reading, needs), histories = await asyncio.gather(
        reading_of(desk), desk.client.histories(desk.queues, period=_LATELY[0], step=_LATELY[1])
    )
    rows = [_row(desk, name, one, needs[name], histories[name]) for name, one in reading.queues.items()]
    rows.sort(key=lambda row: (-row["nearness"], row["name"]))
    return render(request, "queues.html", page="queues", rows=rows)


@router.get("/queues/{queue}", dependencies=[SEES])
async def queue(request: Request, queue: str, period: str = "1h") -> Response:
    """Show one queue: what it is doing, and what became of its jobs."""
    desk, name = desk_of(request), known_queue(queue)
    long, step = _PERIODS.get(period, _PERIODS["1h"])
    (reading, needs), history = await asyncio.gather(
        reading_of(desk, name), desk.client.history(name, period=long, step=step)
    )
    one = reading.queues[name]
    picture = bars(
        [Bar.of([point]) for point in history.points], "chart", f"What ended on {name}, step by step"
    )
    paused = await desk.client.paused_since(name) if one.paused else None
    return render(
        request,
        "queue.html",
        page="queues",
        name=name,
        one=one,
        states=_states(one),
        said=of_queue(facts_of(desk, name, one, needs[name])),
        slo=desk.settings.queue(name).slo,
        history=history,
        picture=picture,
        periods=list(_PERIODS),
        period=period if period in _PERIODS else "1h",
        paused=paused,
    )


@router.post("/queues/{queue}/pause", dependencies=[ACTS])
async def pause(request: Request, queue: str) -> Response:
    """Let no worker claim from a queue until it is resumed."""
    name = known_queue(queue)
    form = await form_of(request)
    await desk_of(request).client.pause(name)
    await record(request, "pause", queue=name, reason=form.get("reason", [""])[0])
    return go_to(request, f"{base_of(request)}/queues/{name}", f"{name} is paused. Jobs that run go on.")


@router.post("/queues/{queue}/resume", dependencies=[ACTS])
async def resume(request: Request, queue: str) -> Response:
    """Let workers claim from a queue again."""
    name = known_queue(queue)
    await desk_of(request).client.resume(name)
    await record(request, "resume", queue=name)
    return go_to(request, f"{base_of(request)}/queues/{name}", f"{name} is resumed.")


def _row(desk: Desk, name: str, one: QueueReading, need: QueueNeed, history: QueueHistory) -> dict[str, Any]:
    slo = desk.settings.queue(name).slo
    total = history.total
    ended = total.completed + total.dead
    steps = [Bar.of([point]) for point in history.points]
    return {
        "name": name,
        "states": _states(one),
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
        "spark": bars(steps, "spark", f"{counted(ended, 'job')} of {name} ended in 15 minutes"),
    }


def _states(one: QueueReading) -> dict[str, int]:
    return {
        state.value: one.states.get(state, 0)
        for state in (State.WAITING, State.DELAYED, State.ACTIVE, State.DEAD)
    }
