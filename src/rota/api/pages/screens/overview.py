"""The first page: whether all is on time, in words, and if not, what is late, why, and what would help."""

import asyncio

from fastapi import APIRouter, Request, Response

from rota.api.desk import Desk, desk_of
from rota.api.pages.frame import ROOT, Page, render
from rota.api.pages.pictures import Bar, became
from rota.api.pages.screens.queues.standing import facts_of, reading_of
from rota.api.pages.visitors import SEES
from rota.api.pages.words import notices, overall
from rota.model.state import State

router = APIRouter(route_class=Page, prefix=ROOT, include_in_schema=False)

#: The first page shows an hour, minute by minute.
_PERIOD, _STEP = 3600, 60
#: Over how many of its last minutes the rate is told.
_RATE = 5


@router.get("", include_in_schema=False, dependencies=[SEES])
@router.get("/", dependencies=[SEES])
async def overview(request: Request) -> Response:
    """Show whether all is on time, and the figures behind that."""
    desk = desk_of(request)
    (reading, needs), histories = await asyncio.gather(
        reading_of(desk), desk.client.histories(desk.queues, period=_PERIOD, step=_STEP)
    )
    facts = [facts_of(desk, name, one, needs[name]) for name, one in reading.queues.items()]
    points = list(zip(*(one.points for one in histories.values()), strict=False))
    steps = [Bar.of(one) for one in points]
    marks = [mark for one in histories.values() for mark in one.marks]
    died = sum(history.total.dead for history in histories.values())
    level, said = overall(facts, died)
    every = reading.queues.values()
    return render(
        request,
        "overview.html",
        page="overview",
        notices=notices(reading, said),
        level=level,
        said=said,
        died=died,
        facts=sorted(facts, key=lambda one: (-one.late / one.slo, one.name)),
        paused=[name for name, one in reading.queues.items() if one.paused],
        states={
            state: sum(one.states[state] for one in every)
            for state in (State.WAITING, State.DELAYED, State.DEAD)
        },
        rate=sum(step.total for step in steps[-_RATE:]) / _RATE,
        workers=len({beat.process for one in every for beat in one.beats}),
        desired=max((need.desired for need in needs.values()), default=0),
        slots=sum(one.slots for one in every),
        busy=sum(one.slots_busy for one in every),
        oldest=max((one.latency for one in every), default=0.0),
        picture=became("Started and ended", points, marks),
        ended=sum(step.total for step in steps),
        is_new=not any(one.ended or sum(one.states.values()) for one in every),
        example=_example(desk),
    )


def _example(desk: Desk) -> str:
    return next(iter(sorted(desk.registry.full_names)), "greet")
