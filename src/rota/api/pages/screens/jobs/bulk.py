"""Actions on many jobs: shown first, then done in portions under the leader, watched, and aborted."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter, Request, Response

from rota.api import shapes
from rota.api.desk import actor_of, caller_of, desk_of
from rota.api.pages.frame import ROOT, Page, base_of, form_of, go_to, render
from rota.api.pages.visitors import OWN_ACTS, OWN_SEES
from rota.api.problems import Problem
from rota.api.routes.bulk import known_operation, of_tenant
from rota.fleet.roster import roster
from rota.model.access.keys import AccessKey
from rota.model.bulk.filters import BulkAction, Filter
from rota.server.faults import explained

router = APIRouter(route_class=Page, prefix=ROOT, include_in_schema=False)

#: The conditions that a form may have, beside the ids that were chosen.
_CONDITIONS = ("queue", "state", "name", "error")
#: Of more jobs than this, their number has to be typed.
_TYPED = 100


@router.post("/bulk/try", dependencies=[OWN_ACTS])
async def look_first(request: Request) -> Response:
    """Show to how many jobs an action would be done, and the first of them."""
    form = await form_of(request)
    action, wanted = _asked(form, caller_of(request))
    preview = await desk_of(request).client.bulk.preview(action, wanted)
    sample = [shapes.job(one) for one in preview.sample]
    return _sheet(request, action, wanted, preview.count, sample=sample)


@router.post("/bulk", dependencies=[OWN_ACTS])
async def start(request: Request) -> Response:
    """Let the leader do an action to the jobs that were shown, if there are no more of them by now."""
    form = await form_of(request)
    action, wanted = _asked(form, caller_of(request))
    count = _count(form)
    if count > _TYPED and _one(form, "typed").replace(",", "").strip() != str(count):
        wrong = f"Type {count} to go on: that many jobs are changed."
        return _sheet(request, action, wanted, count, wrong=wrong)
    operation = await desk_of(request).client.bulk.start(action, wanted, actor_of(request), expect=count)
    return go_to(request, f"{base_of(request)}/bulk/{operation.id}")


@router.get("/bulk/{id}", dependencies=[OWN_SEES])
async def watch(request: Request, id: str) -> Response:  # noqa: A002 - the name in the path
    """Show how far an action on many jobs has come."""
    desk = desk_of(request)
    found = await known_operation(request, id)
    async with explained(desk.client.redis):
        leader = (await roster(desk.client.redis, (), desk.settings.namespace)).leader
    return render(request, "bulk.html", page="jobs", one=found, has_leader=leader is not None)


@router.post("/bulk/{id}/abort", dependencies=[OWN_ACTS])
async def abort(request: Request, id: str) -> Response:  # noqa: A002 - the name in the path
    """Let an action on many jobs stop before its next portion."""
    await known_operation(request, id)
    await desk_of(request).client.bulk.abort(id, actor_of(request))
    return go_to(
        request, f"{base_of(request)}/bulk/{id}", "It stops before its next portion; what was done stays."
    )


def _sheet(
    request: Request,
    action: BulkAction,
    wanted: Filter,
    count: int,
    *,
    sample: Sequence[Mapping[str, Any]] = (),
    wrong: str = "",
) -> Response:
    fields = {name: value for name, value in wanted.fields().items() if name != "ids"}
    return render(
        request,
        "sheet.html",
        422 if wrong else 200,
        page="",
        action=action.value,
        fields=fields,
        ids=wanted.ids or (),
        count=count,
        sample=sample,
        wrong=wrong,
        is_typed=count > _TYPED,
    )


def _asked(form: Mapping[str, Sequence[str]], key: AccessKey) -> tuple[BulkAction, Filter]:
    """Return what a form asks for. Raises Problem, InvalidFilter."""
    every = _one(form, "every")
    try:
        action = BulkAction(every or _one(form, "action"))
    except ValueError:
        raise Problem(422, "invalid-body", "There is no such action", "choose one of the buttons") from None
    ids = () if every else form.get("ids", ())
    given: dict[str, Any] = {name: value for name in _CONDITIONS if (value := _one(form, name))}
    if not every and not ids and "error" not in given and "count" not in form:
        raise Problem(422, "invalid-body", "No job was chosen", "mark the jobs first, or take all that match")
    return action, of_tenant(Filter.of(given | ({"ids": list(ids)} if ids else {})), key)


def _count(form: Mapping[str, Sequence[str]]) -> int:
    text = _one(form, "count")
    return int(text) if text.isascii() and text.isdecimal() else 0


def _one(form: Mapping[str, Sequence[str]], name: str) -> str:
    return form.get(name, [""])[0]
