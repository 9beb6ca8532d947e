"""The first page: whether all is on time, in words, and if not, what is late, why, and what would help."""

import asyncio
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic_core import to_json

from rota.api.desk import Desk, desk_of
from rota.api.documents.document import example_payload
from rota.api.pages.frame import ROOT, Page, render
from rota.api.pages.past import PERIODS, Past, past_of
from rota.api.pages.pictures import Bar, Chart, became, spans, sparkline
from rota.api.pages.screens.queues.standing import Pause, facts_of, pauses_of, reading_of
from rota.api.pages.visitors import SEES
from rota.api.pages.words import Deaths, QueueFacts, counted, notices, overall, part
from rota.client.letters import by_cause
from rota.client.letters.by_cause import Asked
from rota.client.schedules import ScheduleControl
from rota.errors import JobError
from rota.fleet.fleet import FleetNeed, QueueNeed
from rota.fleet.reading import Reading
from rota.model.history.series import QueueHistory
from rota.model.schedules.info import ScheduleInfo
from rota.server.faults import explained

router = APIRouter(route_class=Page, prefix=ROOT, include_in_schema=False)

#: What the charts show unless another time is chosen.
_HOUR = "1h"
#: Over how many of the last minutes the rate is told.
_RATE = 5
#: Of how long back deaths are told in the first line, and below, in seconds.
_LATELY, _DAY = 3600.0, 86_400.0
#: How many queues, causes and schedules are shown, those first that matter most.
_QUEUES, _CAUSES, _SCHEDULES = 12, 5, 5


@dataclass(frozen=True, slots=True)
class _Seen:
    """All that the page is made of, read in two round trips.

    :param hour: the history of each queue over the last hour; `past` that over the time that the charts show.
    :param died: the dead letters of a day; `died_lately` are those of the last hour.
    :param ticks: how many schedules have a tick that waits; `soonest` are the first of them.
    """

    reading: Reading
    needs: Mapping[str, QueueNeed]
    pauses: Mapping[str, Pause]
    hour: Mapping[str, QueueHistory]
    past: Mapping[str, QueueHistory]
    died: by_cause.Deaths
    died_lately: by_cause.Deaths
    ticks: int
    soonest: Sequence[ScheduleInfo]

    @property
    def is_new(self) -> bool:
        """Whether no job was ever enqueued but those that schedules put."""
        queues = self.reading.queues.values()
        jobs = sum(count for one in queues for count in one.states.values())
        return not any(one.ended for one in queues) and jobs <= self.ticks


@router.get("", include_in_schema=False, dependencies=[SEES])
@router.get("/", dependencies=[SEES])
async def overview(request: Request, period: str = _HOUR) -> Response:
    """Show whether all is on time, and the figures behind that."""
    desk = desk_of(request)
    period = period if period in PERIODS else _HOUR
    seen = await _look(desk, past_of(request), period)
    facts = list(facts_of(desk, seen.reading, seen.needs, seen.pauses).values())
    facts.sort(key=lambda one: (-one.nearness, -one.ready, one.name))
    standing = overall(facts, _deaths(seen.died_lately))
    return render(
        request,
        "overview.html",
        page="overview",
        notices=notices(seen.reading, standing.said),
        standing=standing,
        tiles=_tiles(seen, facts),
        charts=_charts(seen, facts),
        periods=list(PERIODS),
        period=period,
        facts=facts[:_QUEUES],
        queues=len(facts),
        sparks={one.name: _spark(seen.hour[one.name]) for one in facts[:_QUEUES]},
        died=seen.died,
        schedules=seen.soonest,
        is_new=seen.is_new,
        example=_example(desk),
    )


async def _look(desk: Desk, past: Past, period: str) -> _Seen:
    client, queues = desk.client, desk.queues
    (reading, needs), pauses, (died, lately), (ticks, soonest), histories = await asyncio.gather(
        reading_of(desk),
        pauses_of(desk, queues),
        asyncio.gather(_died(desk, _DAY), _died(desk, _LATELY)),
        _schedules(desk),
        asyncio.gather(*(past.read(client, queues, one) for one in (_HOUR, period))),
    )
    return _Seen(reading, needs, pauses, histories[0], histories[-1], died, lately, ticks, soonest)


async def _died(desk: Desk, seconds: float) -> by_cause.Deaths:
    asked = Asked(seconds, steps=1, most=_CAUSES, letters=1)
    return await by_cause.deaths(desk.client.redis, desk.queues, desk.settings.dead_retention, asked)


async def _schedules(desk: Desk) -> tuple[int, list[ScheduleInfo]]:
    async with explained(desk.client.redis):
        return await ScheduleControl(desk.client.redis, desk.settings).soonest(_SCHEDULES)


def _tiles(seen: _Seen, facts: Sequence[QueueFacts]) -> dict[str, Any]:
    """Return the figures of the page, over all queues."""
    queues = seen.reading.queues.values()
    workers = len({beat.process for one in queues for beat in one.beats if beat.status == "running"})
    total = Bar.of([history.total for history in seen.hour.values()])
    return {
        "rate": _rate(seen.hour.values(), seen.reading.at),
        "failed": part(total.failed, total.completed + total.failed),
        "nearest": next((one for one in facts if one.ready), None),
        "busy": sum(one.slots_taken for one in queues),
        "slots": sum(one.slots for one in queues),
        "workers": workers,
        "desired": FleetNeed(tuple(seen.needs.values()), workers, draining=0).desired,
        "dead": seen.died.count,
    }


def _rate(histories: Iterable[QueueHistory], now: float) -> float:
    """Return how many jobs ended a minute lately. The last minute has only begun."""
    lately = [history.points[-_RATE:] for history in histories]
    if not lately:
        return 0.0
    ended = sum(point.completed + point.dead for points in lately for point in points)
    since = lately[0][0].at.timestamp()
    return 60 * ended / max(1.0, now - since)


def _charts(seen: _Seen, facts: Sequence[QueueFacts]) -> list[Chart]:
    """Return what became of all jobs, and how long those waited whose queue kept its objective least."""
    every = list(seen.past.values())
    if not every:
        return []
    marks = [mark for history in every for mark in history.marks]
    points = list(zip(*(history.points for history in every), strict=True))
    slos = {one.name: one.slo for one in facts}
    worst = max(every, key=lambda one: ((one.total.wait.p95 or 0.0) / slos[one.queue], one.queue))
    waits = [(point.at, point.wait) for point in worst.points]
    title = f"Waits on {worst.queue}" + (", which kept its objective least" if len(every) > 1 else "")
    return [
        became("Started and ended", points, marks),
        spans(title, waits, worst.total.wait, worst.marks, slos[worst.queue]),
    ]


def _spark(history: QueueHistory) -> Any:
    ended = history.total.completed + history.total.dead
    title = f"{counted(ended, 'job')} of {history.queue} ended in an hour"
    return sparkline([Bar.of([point]) for point in history.points], title)


def _deaths(found: by_cause.Deaths) -> Deaths:
    """Return what is known of the jobs that died within the hour. A cause may be that of several queues."""
    of_causes = Counter[str]()
    for one in found.causes:
        of_causes[one.cause] += one.count
    cause, count = next(iter(of_causes.most_common(1)), ("", 0))
    errors = (_short(one.error) for one in found.causes if one.cause == cause)
    return Deaths(count=found.count, of_one=count, cause=cause, error=next(errors, ""))


def _short(error: JobError) -> str:
    """Return an error with the name of its type alone; the page of its cause says where the type is."""
    return f"{error.type.rpartition('.')[2]}: {error.message}".strip(": ")


def _example(desk: Desk) -> str:
    """Return the command that enqueues a job which this code has; empty where it has none."""
    name = next(iter(sorted(desk.registry.full_names)), "")
    if not name:
        return ""
    payload = example_payload(desk.registry.find(name))
    return shlex.join(["rota", "enqueue", name, *([to_json(payload).decode()] if payload else [])])
