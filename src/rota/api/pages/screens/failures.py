"""The screens of failures: dead letters by what they died of, by the reason, and one cause with its trend and jobs."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, NamedTuple
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response

from rota.api.asking.language import written
from rota.api.desk import Desk, desk_of
from rota.api.pages.frame import ROOT, Page, base_of, job_page, render
from rota.api.pages.pictures import Bar, Chart, deaths, sparkline
from rota.api.pages.screens.jobs.one.errors import told
from rota.api.pages.visitors import SEES
from rota.api.pages.words import counted
from rota.api.problems import Problem, wrong_parameter
from rota.client.letters import by_cause
from rota.client.letters.by_cause import Asked, Cause, Deaths
from rota.errors import JobError
from rota.errors.causes import alike
from rota.model.history.series import DeployMark

router = APIRouter(route_class=Page, prefix=ROOT, include_in_schema=False)

#: How many causes a page shows, and how many letters the page of one names.
_PAGE, _LETTERS = 25, 20
#: Histories, which have the marks of deploys, go back so far.
_LONGEST_HISTORY = 259_200.0


class Period(NamedTuple):
    """A time that the screens can show: its words, how far back it goes, and its steps in a list and in a chart."""

    words: str
    back: float | None
    few: int
    many: int


_PERIODS = {
    "1h": Period("1 h", 3600.0, 12, 60),
    "24h": Period("24 h", 86_400.0, 12, 48),
    "7d": Period("7 d", 604_800.0, 14, 56),
    "all": Period("all that is kept", None, 15, 60),
}


class Row(NamedTuple):
    """A cause as the list shows it: its message without what differs, where it was raised, and its trend."""

    cause: Cause
    pattern: str
    place: str
    spark: Any


@router.get("/failures", dependencies=[SEES])
async def failures(request: Request, period: str = "7d", by: str = "cause", passed: int = 0) -> Response:
    """Show what jobs died of in a time, cause by cause or by the reason."""
    desk, shown = desk_of(request), _period(period)
    is_by_reason = by == "reason"
    most = 0 if is_by_reason else _PAGE
    asked = Asked(shown.back, shown.few, passed=max(0, passed), most=most, reasons=is_by_reason)
    found = await by_cause.deaths(desk.client.redis, desk.queues, desk.settings.dead_retention, asked)
    following = asked.passed + _PAGE
    return render(
        request,
        "failures.html",
        page="failures",
        found=found,
        rows=[_row(one) for one in found.causes],
        reasons=sorted(found.reasons, key=lambda one: (-one.count, one.queue, one.reason)),
        periods=_PERIODS,
        period=period,
        by=by,
        passed=asked.passed,
        older=urlencode({"period": period, "passed": following}) if following < found.causes_count else "",
        retention=desk.settings.dead_retention,
        written=written,
    )


@router.get("/failures/{cause}", dependencies=[SEES])
async def failure(request: Request, cause: str, period: str = "all") -> Response:
    """Show one cause: how many died of it and when, a traceback, and the jobs."""
    desk, shown = desk_of(request), _period(period)
    asked = Asked(shown.back, shown.many, cause=cause, letters=_LETTERS)
    found = await by_cause.deaths(desk.client.redis, desk.queues, desk.settings.dead_retention, asked)
    if not found.causes and shown.back is None:
        detail = f"no dead letter that is kept has the cause {cause[:80]!r}"
        raise Problem(404, "no-such-cause", "There is no such cause", detail)
    first = found.causes[0] if found.causes else None
    return render(
        request,
        "failure.html",
        page="failures",
        cause=cause,
        first=first,
        causes=found.causes,
        pattern=alike(first.error.message) if first else "",
        raised_in=raised_in(first.error) if first else "",
        chart=_trend(desk, found, shown, await _marks(desk, found, shown)),
        periods=_PERIODS,
        period=period,
        newest=job_page(base_of(request), first.queue, first.letters[0].id) if first else "",
        is_recorded=desk.archive is not None,
    )


def raised_in(error: JobError) -> str:
    """Return where in the user's code an error was raised: the innermost function, its file and the line."""
    return next(map(str, told(error).places), "")


def _period(name: str) -> Period:
    """Return the time that a page is to show. Raises Problem."""
    if name not in _PERIODS:
        raise wrong_parameter(f"a period is one of {', '.join(_PERIODS)}, and not {name[:40]!r}")
    return _PERIODS[name]


def _row(cause: Cause) -> Row:
    title = f"{counted(cause.count, 'job')} died of it in this time"
    spark = sparkline([Bar(0, count) for count in cause.trend], title)
    return Row(cause, alike(cause.error.message), raised_in(cause.error), spark)


async def _marks(desk: Desk, found: Deaths, shown: Period) -> list[DeployMark]:
    """Return when other versions began to run on the queues where jobs died of it, as far as is known."""
    queues = sorted({one.queue for one in found.causes})
    if not queues:
        return []
    back = min(_LONGEST_HISTORY, shown.back or _LONGEST_HISTORY)
    histories = await desk.client.histories(queues, period=back, step=back / 12)
    return [mark for one in histories.values() for mark in one.marks]


def _trend(desk: Desk, found: Deaths, shown: Period, marks: Sequence[DeployMark]) -> Chart:
    back = min(shown.back or desk.settings.dead_retention, desk.settings.dead_retention)
    begin, step = found.at - timedelta(seconds=back), timedelta(seconds=back / shown.many)
    counts = [sum(some) for some in zip(*(one.trend for one in found.causes), strict=True)]
    steps = [(begin + place * step, count) for place, count in enumerate(counts)]
    return deaths("Jobs that died of it", steps, [mark for mark in marks if mark.at >= begin])
