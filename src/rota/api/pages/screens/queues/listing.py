"""The list of queues: all of them at a glance, in the order that is asked for."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request, Response

from rota.api.desk import Desk, desk_of
from rota.api.pages.frame import ROOT, Page, render
from rota.api.pages.pictures import Bar, sparkline
from rota.api.pages.screens.queues.explaining import limits
from rota.api.pages.screens.queues.standing import Pause, pauses_of, reading_of, states_of
from rota.api.pages.visitors import SEES
from rota.api.pages.words import counted, notices
from rota.fleet.fleet import QueueNeed
from rota.fleet.reading import QueueReading, Reading
from rota.model.history.series import QueueHistory
from rota.settings.queues import QueueSettings

router = APIRouter(route_class=Page, prefix=ROOT, include_in_schema=False)

#: The list of queues shows a quarter of an hour of each.
_LATELY = (900, 60)


@dataclass(frozen=True, slots=True)
class Row:
    """One queue of the list."""

    own: QueueSettings
    one: QueueReading
    need: QueueNeed
    history: QueueHistory
    pause: Pause | None

    @property
    def name(self) -> str:
        return self.own.name

    @property
    def states(self) -> dict[str, int]:
        return states_of(self.one)

    @property
    def nearness(self) -> float:
        """How much of its objective the oldest wait has used up."""
        return self.one.latency / self.own.slo

    @property
    def is_unserved(self) -> bool:
        return self.one.ready > 0 and not self.one.workers("running")

    @property
    def kept_back(self) -> int:
        """The jobs that are due and wait for a limit."""
        return self.states["waiting"] - self.one.ready

    @property
    def limits(self) -> list[str]:
        return limits(self.own)

    @property
    def ended(self) -> int:
        return self.history.total.completed + self.history.total.dead

    @property
    def failed(self) -> float | None:
        """The part of those that ended which died, of a hundred; None where none has ended."""
        return 100 * self.history.total.dead / self.ended if self.ended else None

    @property
    def spark(self) -> str:
        steps = [Bar.of([point]) for point in self.history.points]
        return sparkline(steps, f"{counted(self.ended, 'job')} of {self.name} ended in 15 minutes")


#: What the list can be sorted by, and the titles of these columns: numbers begin with the highest, names with a.
_ORDERS: dict[str, tuple[str, Callable[[Row], Any]]] = {
    "name": ("Queue", lambda row: row.name),
    "waiting": ("Waiting", lambda row: -row.states["waiting"]),
    "delayed": ("Delayed", lambda row: -row.states["delayed"]),
    "active": ("Active", lambda row: -row.states["active"]),
    "dead": ("Dead", lambda row: -row.states["dead"]),
    "wait": ("Oldest wait / objective", lambda row: -row.nearness),
    "ended": ("15 minutes", lambda row: -row.ended),
    "failed": ("Failed", lambda row: -(row.failed or 0.0)),
    "wanted": ("Workers / wanted", lambda row: -row.need.desired),
}
_FIRST = "wait"


@router.get("/queues", dependencies=[SEES])
async def queues(request: Request, sort: str = _FIRST) -> Response:
    """Show every queue; unless another order is asked for, the one that is furthest from its objective first."""
    desk = desk_of(request)
    by, is_turned = sort.removeprefix("-"), sort.startswith("-")
    if by not in _ORDERS:
        by, is_turned = _FIRST, False
    reading, rows = await _read(desk)
    rows.sort(key=lambda row: row.name)
    rows.sort(key=_ORDERS[by][1], reverse=is_turned)
    columns = {name: title for name, (title, _) in _ORDERS.items()}
    return render(
        request,
        "queues.html",
        page="queues",
        notices=notices(reading),
        rows=rows,
        columns=columns,
        by=by,
        is_turned=is_turned,
    )


async def _read(desk: Desk) -> tuple[Reading, list[Row]]:
    (reading, needs), histories, pauses = await asyncio.gather(
        reading_of(desk),
        desk.client.histories(desk.queues, period=_LATELY[0], step=_LATELY[1]),
        pauses_of(desk, desk.queues),
    )
    return reading, [
        Row(desk.settings.queue(name), one, needs[name], histories[name], pauses.get(name))
        for name, one in reading.queues.items()
    ]
