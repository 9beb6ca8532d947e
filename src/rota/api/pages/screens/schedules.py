"""The screens of schedules: when jobs run by the clock, how it went, and running, pausing and resuming them."""

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from time import time
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request, Response

from rota.api.archive import Row
from rota.api.desk import Desk, desk_of, record
from rota.api.pages.frame import ROOT, Page, base_of, form_of, go_to, render
from rota.api.pages.visitors import ACTS, SEES
from rota.api.problems import Problem
from rota.api.shapes import STATE
from rota.client.schedules import ScheduleControl
from rota.client.view import find
from rota.model.schedules.clocks import change_at
from rota.model.schedules.info import ScheduleInfo
from rota.model.schedules.state import State
from rota.model.schedules.times import ticks_before, zone_of
from rota.server.faults import explained
from rota.store.faults import StoreError
from rota.wire.keys import QueueKeys, queue_key, tick_id

router = APIRouter(route_class=Page, prefix=ROOT, include_in_schema=False)

#: How many of its last runs the page of a schedule shows, and over how many ms it looks for them at most.
_RUNS, _BACK = 30, 400 * 86_400_000
#: The most runs that are read from Redis, with payloads and results, where no database is set.
_KEPT = 10
_MISSED = {
    "run_once": "one run makes up for all that could not be at their time",
    "skip": "what could not run at its time does not run; the next one does",
}
_OVERLAP = {
    "skip": "a run is left out while the one before is alive",
    "allow": "a run begins beside the one before, if that is still alive",
}


@dataclass(frozen=True, slots=True)
class Past:
    """A run of the past: the id of its job, and in which state that is."""

    id: str
    state: str
    started: datetime | None
    finished: datetime | None

    @property
    def at(self) -> datetime:
        """The moment of its tick, which its id names."""
        return datetime.fromtimestamp(int(self.id.rpartition(":")[2]) / 1000, UTC)

    @property
    def seconds(self) -> float | None:
        """How long it ran; None where that is not known, or not over."""
        if self.started is None or self.finished is None:
            return None
        return max(0.0, (self.finished - self.started).total_seconds())


@router.get("/schedules", dependencies=[SEES])
async def schedules(request: Request) -> Response:
    """Show when jobs run by the clock, last and next."""
    found = await desk_of(request).client.schedules()
    return render(request, "schedules.html", page="schedules", schedules=found)


@router.get("/schedules/{name}", dependencies=[SEES])
async def schedule(request: Request, name: str) -> Response:
    """Show one schedule: its next runs, and how the last ones went."""
    desk = desk_of(request)
    async with explained(desk.client.redis):
        state = await ScheduleControl(desk.client.redis, desk.settings).state(name)
    one, place = ScheduleInfo.of(state), state.place
    runs = await _runs(desk, state)
    return render(
        request,
        "schedule.html",
        page="schedules",
        one=one,
        queue=place[0] if place else "",
        last_id=tick_id(name, state.last) if state.last is not None else "",
        upcoming=_upcoming(state, one),
        runs=runs,
        picture=_picture(runs),
        missed=_MISSED.get(one.missed, one.missed),
        overlap=_OVERLAP.get(one.overlap, one.overlap),
    )


@router.post("/schedules/{name}/{action}", dependencies=[ACTS])
async def act_on_schedule(request: Request, name: str, action: str) -> Response:
    """Run a schedule's job now, let it rest, or let it go on."""
    client, form = desk_of(request).client, await form_of(request)
    if action == "run":
        handle = await client.run_schedule(name)
        said = f"{name} is put on the queue {handle.queue} as {handle.id}."
    elif action == "pause":
        await client.pause_schedule(name)
        said = f"{name} rests."
    elif action == "resume":
        await client.resume_schedule(name)
        said = f"{name} goes on with the run that comes next."
    else:
        detail = f"no action is called {action[:40]!r}"
        raise Problem(404, "not-found", "There is nothing at this path", detail)
    await record(request, action, schedule=name, reason=form.get("reason", [""])[0])
    return go_to(request, f"{base_of(request)}/schedules/{quote(name, safe='')}", said)


def _upcoming(state: State, one: ScheduleInfo) -> list[dict[str, Any]]:
    """Return the next ticks by the clock of their zone, each with the change of that clock that it falls into."""
    times = state.definition and state.definition.times
    zone: tzinfo = zone_of(times.zone) if times else UTC
    return [
        {"at": at, "there": at.astimezone(zone), "change": times and change_at(times, at)}
        for at in one.upcoming
    ]


async def _runs(desk: Desk, state: State) -> list[Past]:
    """Return the last runs of which Redis or the database knows, the latest first."""
    definition, now = state.definition, round(time() * 1000)
    if definition is None or state.last is None:
        return []
    ticks = ticks_before(definition.times, state.last, _RUNS, now - _BACK)
    ids = [tick_id(state.name, tick) for tick in ticks]
    with contextlib.suppress(StoreError):
        if desk.archive is not None:
            return _latest_first(map(_of_row, await desk.archive.some(ids)))
    queue = definition.queue
    async with explained(desk.client.redis):
        found = await find(desk.client.redis, queue, QueueKeys.of(queue_key(queue)), ids[:_KEPT])
    return _latest_first(
        Past(one.id, one.state.value, one.started_at, one.finished_at) for one in found if one
    )


def _of_row(row: Row) -> Past:
    return Past(row["id"], STATE[row["status"]].value, row["started_at"], row["finished_at"])


def _latest_first(runs: Iterable[Past]) -> list[Past]:
    return sorted(runs, key=lambda one: one.at, reverse=True)


def _picture(runs: Sequence[Past]) -> list[tuple[str, int]]:
    """Return the runs from left to right as bars: how each ended, and its height in hundredths."""
    longest = max((one.seconds or 0.0 for one in runs), default=0.0) or 1.0
    return [(one.state, max(12, round(100 * (one.seconds or 0.0) / longest))) for one in reversed(runs)]
