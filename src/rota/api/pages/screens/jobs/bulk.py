"""Actions on many jobs: shown first, then done in portions under the leader, watched, and aborted."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response

from rota.api import shapes
from rota.api.asking.filters import OVER
from rota.api.desk import LONGEST_REASON, actor_of, caller_of, desk_of
from rota.api.pages.frame import ROOT, Page, base_of, form_of, go_to, render
from rota.api.pages.visitors import OWN_ACTS, OWN_SEES
from rota.api.problems import Problem
from rota.api.routes.bulk import known_operation, of_tenant
from rota.fleet.roster import roster
from rota.model.bulk.filters import BulkAction, Filter
from rota.model.bulk.operation import Operation
from rota.model.info import JobInfo
from rota.server.faults import explained

router = APIRouter(route_class=Page, prefix=ROOT, include_in_schema=False)

#: The conditions that a form may have, beside the ids that were chosen.
_CONDITIONS = ("queue", "state", "name", "tenant", "error", "error_contains", "reason", "since", "until")
#: Of more jobs than this, their number has to be typed; and how many digits of a number are read.
_TYPED, _DIGITS = 100, 15


@dataclass(frozen=True, slots=True)
class _Sheet:
    """The sheet of an action: which jobs it is about, how many, the first of them, and what is wrong."""

    action: BulkAction
    wanted: Filter
    count: int
    sample: Sequence[JobInfo] = ()
    is_whole: bool = True
    wrong: str = ""
    reason: str = ""


@router.post("/bulk/try", dependencies=[OWN_ACTS])
async def look_first(request: Request) -> Response:
    """Show to how many jobs an action would be done, and the first of them."""
    form = await form_of(request)
    action, wanted = _asked(form, request)
    found = await desk_of(request).client.bulk.preview(action, wanted)
    return _show(request, _Sheet(action, wanted, found.count, found.sample, found.is_whole))


@router.post("/bulk", dependencies=[OWN_ACTS])
async def start(request: Request) -> Response:
    """Let the leader do an action to the jobs that were shown, if there are no more of them by now."""
    form = await form_of(request)
    action, wanted = _asked(form, request)
    count, reason = _count(form), _one(form, "why").strip()[:LONGEST_REASON]
    if count > _TYPED and _one(form, "typed").replace(",", "").strip() != str(count):
        wrong = f"Type {count} to go on: that many jobs are changed."
        return _show(request, _Sheet(action, wanted, count, wrong=wrong, reason=reason))
    operation = await desk_of(request).client.bulk.start(
        action, wanted, actor_of(request), expect=count, reason=reason
    )
    return go_to(request, f"{base_of(request)}/bulk/{operation.id}")


@router.get("/bulk/{id}", dependencies=[OWN_SEES])
async def watch(request: Request, id: str) -> Response:  # noqa: A002 - the name in the path
    """Show how far an action on many jobs has come, how long it still takes, and where its jobs are now."""
    desk = desk_of(request)
    async with explained(desk.client.redis):
        found, living = await asyncio.gather(
            known_operation(request, id), roster(desk.client.redis, (), desk.settings.namespace)
        )
    passed, rest = _times(found)
    return render(
        request,
        "bulk.html",
        page="jobs",
        one=found,
        where=_where(found.filter),
        has_leader=living.leader is not None,
        passed=passed,
        rest=rest,
        now_at=_now_at(request, found),
    )


@router.post("/bulk/{id}/abort", dependencies=[OWN_ACTS])
async def abort(request: Request, id: str) -> Response:  # noqa: A002 - the name in the path
    """Let an action on many jobs stop before its next portion."""
    await known_operation(request, id)
    await desk_of(request).client.bulk.abort(id, actor_of(request))
    return go_to(
        request, f"{base_of(request)}/bulk/{id}", "It stops before its next portion; what was done stays."
    )


def _times(one: Operation) -> tuple[float | None, float | None]:
    """Return for how long an action has gone on, and about how long it still takes, in seconds."""
    if one.started_at is None:
        return None, None
    passed = max(0.0, ((one.finished_at or datetime.now(UTC)) - one.started_at).total_seconds())
    gone = one.done + one.skipped + one.failed
    if one.is_over or one.count is None or not gone:
        return passed, None
    return passed, passed / gone * max(0, one.count - gone)


#: In which list the jobs are to which each action was done.
_BECOME = {"retry": "waiting", "run_now": "waiting", "cancel": "cancelled"}


def _now_at(request: Request, one: Operation) -> str | None:
    """Return the address of the list in which the jobs of an action are once it was done; None where there is none."""
    state = _BECOME.get(one.action)
    if state is None or (state in OVER and desk_of(request).archive is None):
        return None
    names = ("queue", "name", "tenant")
    same = {name: str(one.filter[name]) for name in names if one.filter.get(name)}
    return f"{base_of(request)}/jobs?{urlencode({'state': state, **same})}"


def _where(fields: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the conditions of a filter as people read them; the names of all queues are none."""
    words = {name: value for name, value in fields.items() if name != "queues"}
    return [(name, f"{len(value)} marked" if name == "ids" else str(value)) for name, value in words.items()]


def _show(request: Request, sheet: _Sheet) -> Response:
    fields = sheet.wanted.fields()
    hidden = {name: value for name, value in fields.items() if name not in ("ids", "queues")}
    return render(
        request,
        "sheet.html",
        422 if sheet.wrong else 200,
        page="",
        sheet=sheet,
        action=sheet.action.value,
        where=_where(fields),
        hidden=hidden | ({"queues": " ".join(sheet.wanted.queues)} if sheet.wanted.queues else {}),
        ids=sheet.wanted.ids or (),
        sample=[shapes.job(one) for one in sheet.sample],
        is_typed=sheet.count > _TYPED,
        longest=LONGEST_REASON,
    )


def _asked(form: Mapping[str, Sequence[str]], request: Request) -> tuple[BulkAction, Filter]:
    """Return what a form asks for. Raises Problem, InvalidFilter."""
    every = _one(form, "every")
    try:
        action = BulkAction(every or _one(form, "action"))
    except ValueError:
        raise Problem(422, "invalid-body", "There is no such action", "choose one of the buttons") from None
    ids = () if every else form.get("ids", ())
    given: dict[str, Any] = {name: value for name in _CONDITIONS if (value := _one(form, name))}
    if queues := _one(form, "queues").split():
        given["queues"] = queues
    if not every and not ids and "error" not in given and "count" not in form:
        raise Problem(422, "invalid-body", "No job was chosen", "mark the jobs first, or take all that match")
    if ids:
        # What was marked is meant, whatever the list was that it stood in.
        given = {name: value for name, value in given.items() if name in ("queue", "queues", "state")}
        given["ids"] = list(ids)
    return action, of_tenant(Filter.of(given), caller_of(request))


def _count(form: Mapping[str, Sequence[str]]) -> int:
    text = _one(form, "count")
    return int(text[:_DIGITS]) if text.isascii() and text.isdecimal() else 0


def _one(form: Mapping[str, Sequence[str]], name: str) -> str:
    return form.get(name, [""])[0]
