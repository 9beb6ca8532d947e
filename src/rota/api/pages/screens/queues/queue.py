"""The page of one queue: what it is doing and why, and what became of its jobs."""

import asyncio
from typing import Any

from fastapi import APIRouter, Request, Response

from rota.api.desk import Desk, desk_of, known_queue
from rota.api.pages.frame import ROOT, Page, render
from rota.api.pages.past import PERIODS, Past, past_of
from rota.api.pages.pictures import Chart, became, spans
from rota.api.pages.screens.queues.explaining import held, limits, plans
from rota.api.pages.screens.queues.naming import by_name
from rota.api.pages.screens.queues.standing import facts_of, pauses_of, reading_of, states_of
from rota.api.pages.visitors import SEES
from rota.api.pages.words import of_queue
from rota.model.history.series import QueueHistory
from rota.server.faults import explained
from rota.wire.inventory import Line, longest_lines, told_of, unknown_jobs
from rota.wire.keys import queue_key

router = APIRouter(route_class=Page, prefix=ROOT, include_in_schema=False)

#: The times that the charts show, in words.
_WORDS = {"1h": "the last hour", "8h": "eight hours", "72h": "three days"}
#: The most lines of a limit that are shown.
_LINES = 8


@router.get("/queues/{queue}", dependencies=[SEES])
async def queue(request: Request, queue: str, period: str = "1h") -> Response:
    """Show one queue: what it is doing and why, and what became of its jobs."""
    desk, name = desk_of(request), known_queue(queue)
    period = period if period in PERIODS else "1h"
    found = await _found(desk, past_of(request), name, period)
    return render(
        request, "queue.html", page="queues", name=name, periods=list(PERIODS), period=period, **found
    )


async def _found(desk: Desk, past: Past, name: str, period: str) -> dict[str, Any]:
    """Return what the page shows of a queue, by the names that its template has for it."""
    (reading, needs), histories, pauses, lines, unknown, (named, unnamed) = await asyncio.gather(
        # All queues are read: their jobs may keep the workers of this one busy.
        reading_of(desk, *dict.fromkeys((name, *desk.queues))),
        past.read(desk.client, [name], period),
        pauses_of(desk, [name]),
        _lines(desk, name),
        _unknown(desk, name),
        by_name(desk, name),
    )
    history = histories[name]
    one, own = reading.queues[name], desk.settings.queue(name)
    return {
        "one": one,
        "own": own,
        "states": states_of(one),
        "said": of_queue(facts_of(desk, reading, needs, pauses)[name]),
        "pause": pauses.get(name),
        "limits": limits(own),
        "charts": _charts(history, own.slo),
        "lines": lines,
        "unknown": unknown,
        "need": needs[name],
        "past": _WORDS[period],
        "named": named,
        "unnamed": unnamed,
        "plans": plans(needs[name], history, one.ready),
        "held": list(held(desk.settings, name)),
    }


async def _lines(desk: Desk, name: str) -> list[Line]:
    async with explained(desk.client.redis):
        return (await longest_lines(desk.client.redis, queue_key(name)))[:_LINES]


async def _unknown(desk: Desk, name: str) -> str:
    async with explained(desk.client.redis):
        return told_of((await unknown_jobs(desk.client.redis, [name]))[name])


def _charts(history: QueueHistory, slo: float) -> list[Chart]:
    """Return what became of a queue's jobs, how long they waited, and how long they ran."""
    points, total, marks = history.points, history.total, history.marks
    return [
        became("Started and ended", [[point] for point in points], marks),
        spans("Waits for a slot", [(point.at, point.wait) for point in points], total.wait, marks, slo),
        spans("Run times", [(point.at, point.run) for point in points], total.run, marks),
    ]
