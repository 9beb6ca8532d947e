"""The page of one queue: what it is doing, what became of its jobs, and pausing it."""

import asyncio

from fastapi import APIRouter, Request, Response

from rota.api.desk import desk_of, known_queue, record
from rota.api.pages.frame import ROOT, Page, base_of, form_of, go_to, render
from rota.api.pages.pictures import Chart, became, spans
from rota.api.pages.screens.queues.standing import facts_of, reading_of, states_of
from rota.api.pages.visitors import ACTS, SEES
from rota.api.pages.words import of_queue
from rota.model.history.series import QueueHistory

router = APIRouter(route_class=Page, prefix=ROOT, include_in_schema=False)

#: What the pages of a queue show of its past: how long, and the step.
_PERIODS = {"1h": (3600, 60), "8h": (28_800, 600), "24h": (86_400, 1800), "72h": (259_200, 3600)}


@router.get("/queues/{queue}", dependencies=[SEES])
async def queue(request: Request, queue: str, period: str = "1h") -> Response:
    """Show one queue: what it is doing, and what became of its jobs."""
    desk, name = desk_of(request), known_queue(queue)
    long, step = _PERIODS.get(period, _PERIODS["1h"])
    (reading, needs), history = await asyncio.gather(
        reading_of(desk, name), desk.client.history(name, period=long, step=step)
    )
    one, slo = reading.queues[name], desk.settings.queue(name).slo
    paused = await desk.client.paused_since(name) if one.paused else None
    return render(
        request,
        "queue.html",
        page="queues",
        name=name,
        one=one,
        states=states_of(one),
        said=of_queue(facts_of(desk, name, reading, needs[name])),
        slo=slo,
        history=history,
        charts=_charts(history, slo),
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


def _charts(history: QueueHistory, slo: float) -> list[Chart]:
    """Return what became of a queue's jobs, how long they waited, and how long they ran."""
    points, total, marks = history.points, history.total, history.marks
    return [
        became("Started and ended", [[point] for point in points], marks),
        spans("Waits for a slot", [(point.at, point.wait) for point in points], total.wait, marks, slo),
        spans("Run times", [(point.at, point.run) for point in points], total.run, marks),
    ]
