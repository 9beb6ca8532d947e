"""The routes of actions on many jobs: try one, start it, watch it, abort it; and who did what."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from rota.api import shapes
from rota.api.answers import answer
from rota.api.bodies import read_object, refuse_others
from rota.api.cursors import cursor_of, not_of_this_list, place_in
from rota.api.desk import LONGEST_REASON, OWN_OPERATES, OWN_READS, actor_of, caller_of, desk_of
from rota.api.problems import Problem
from rota.errors import InvalidFilter, UnknownOperation
from rota.model.access.keys import AccessKey
from rota.model.bulk.actions import Action, Actor
from rota.model.bulk.filters import BulkAction, Filter
from rota.model.bulk.operation import Operation

router = APIRouter(tags=["bulk"], default_response_class=Response)

#: The largest body, in bytes: a thousand ids.
MOST_BYTES = 1024 * 1024
_FIELDS = ("action", "filter", "expect", "dry_run", "reason")
Limit = Annotated[int, Query(ge=1, le=200)]


@router.post("/bulk", summary="Act on many jobs", dependencies=[OWN_OPERATES])
async def start(request: Request) -> Response:
    """Do an action to all jobs that a filter chooses, or with `dry_run` count them and show the first."""
    desk = desk_of(request)
    body = await read_object(request, MOST_BYTES)
    action, wanted, expect = _asked(body, caller_of(request))
    reason = _reason(body)
    if body.get("dry_run"):
        found = await desk.client.bulk.preview(action, wanted)
        shown = {
            "action": action.value,
            "filter": wanted.fields(),
            "count": found.count,
            "is_whole": found.is_whole,
        }
        return answer(shown | {"sample": [shapes.job(one) for one in found.sample]})
    operation = await desk.client.bulk.start(action, wanted, actor_of(request), expect=expect, reason=reason)
    path = f"{request.scope.get('root_path', '').rstrip('/')}/bulk/{operation.id}"
    return answer({**operation_shape(operation), "links": {"self": path}}, 202, {"Location": path})


@router.get("/bulk", summary="Actions on many jobs", dependencies=[OWN_READS])
async def operations(request: Request, limit: Limit = 50, cursor: str | None = None) -> Response:
    """Return a page of the actions on many jobs of the last days, the newest first."""
    key = caller_of(request)
    known = {"list": "bulk", "tenant": key.tenant}
    begin = 0 if cursor is None else place_in(cursor, known)
    if type(begin) is not int or begin < 0:
        raise not_of_this_list()
    found = [one for one in await desk_of(request).client.bulk.all() if key.sees(one.tenant)]
    items = [operation_shape(one) for one in found[begin : begin + limit]]
    following = cursor_of(known, begin + limit) if begin + limit < len(found) else None
    return answer({"items": items, "next": following})


@router.get("/bulk/{id}", summary="One action on many jobs", dependencies=[OWN_READS])
async def operation(request: Request, id: str) -> Response:  # noqa: A002 - the name in the path
    """Return how far an action on many jobs has come."""
    return answer(operation_shape(await known_operation(request, id)))


@router.post(
    "/bulk/{id}/abort", summary="Abort an action on many jobs", status_code=202, dependencies=[OWN_OPERATES]
)
async def abort(request: Request, id: str) -> Response:  # noqa: A002 - the name in the path
    """Let an action on many jobs stop before its next portion; what was done stays done."""
    found = await known_operation(request, id)
    if found.is_over:
        detail = f"the operation is {found.state} already"
        raise Problem(409, "wrong-state", "The state of the operation does not allow this", detail)
    return answer(operation_shape(await desk_of(request).client.bulk.abort(id, actor_of(request))), 202)


@router.get("/activity", summary="Who did what", dependencies=[OWN_READS])
async def activity(request: Request, limit: Limit = 50, cursor: str | None = None) -> Response:
    """Return a page of the actions of people, the newest first."""
    key = caller_of(request)
    known = {"list": "activity", "tenant": key.tenant}
    before = None if cursor is None else place_in(cursor, known)
    if before is not None and not isinstance(before, str):
        raise not_of_this_list()
    found = await desk_of(request).actions(before=before, tenant=key.tenant, limit=limit)
    items = [action_shape(one) for one in found]
    return answer(
        {"items": items, "next": cursor_of(known, found[-1].position) if len(found) == limit else None}
    )


def _asked(body: dict[str, Any], key: AccessKey) -> tuple[BulkAction, Filter, int | None]:
    """Return what a body asks for. Raises Problem, InvalidFilter."""
    refuse_others(body, _FIELDS)
    try:
        action = BulkAction(str(body.get("action")))
    except ValueError:
        raise _invalid("action", f"it is one of: {', '.join(BulkAction)}") from None
    expect, given = body.get("expect"), body.get("filter", {})
    if expect is not None and (type(expect) is not int or expect < 0):
        raise _invalid("expect", "it is the number of jobs that a dry run has shown")
    if type(body.get("dry_run", False)) is not bool:
        raise _invalid("dry_run", "it is true or false")
    if not isinstance(given, dict):
        raise _invalid("filter", "it is an object of conditions")
    return action, of_tenant(Filter.of(given), key), expect


def _reason(body: dict[str, Any]) -> str:
    reason = body.get("reason", "")
    if not isinstance(reason, str) or len(reason) > LONGEST_REASON:
        raise _invalid("reason", f"it is a text of at most {LONGEST_REASON} characters")
    return reason.strip()


def of_tenant(wanted: Filter, key: AccessKey) -> Filter:
    """Return the filter as the holder of a key may use it. Raises InvalidFilter for another tenant."""
    if key.tenant is None:
        return wanted
    if wanted.tenant not in (None, key.tenant):
        raise InvalidFilter({"tenant": "it is not that of the key"})
    return wanted.model_copy(update={"tenant": key.tenant})


def _invalid(name: str, why: str) -> Problem:
    errors = [{"pointer": f"/{name}", "detail": why}]
    return Problem(422, "invalid-body", "The body cannot be read", f"{name}: {why}", errors=errors)


async def known_operation(request: Request, operation_id: str) -> Operation:
    """Return an action on many jobs that the caller may see. Raises UnknownOperation."""
    found = await desk_of(request).client.bulk.look(operation_id)
    if not caller_of(request).sees(found.tenant):
        raise UnknownOperation(operation_id)
    return found


def operation_shape(one: Operation) -> dict[str, Any]:
    """Return an action on many jobs as answers show it."""
    names = (
        "id",
        "action",
        "filter",
        "state",
        "count",
        "done",
        "skipped",
        "failed",
        "refused",
        "is_aborting",
    )
    times = {name: getattr(one, name) for name in ("created_at", "started_at", "finished_at")}
    known = {name: getattr(one, name) for name in names}
    return {
        **known,
        "error": one.error or None,
        "reason": one.reason or None,
        "by": _by(one.actor),
        "tenant": one.tenant,
        **times,
    }


def action_shape(one: Action) -> dict[str, Any]:
    """Return an action of a person as answers show it."""
    names = ("at", "action", "target", "count", "outcome", "detail", "tenant")
    return {"id": one.position, "by": _by(one.actor), **{name: getattr(one, name) for name in names}}


def _by(actor: Actor) -> dict[str, str]:
    return {"via": actor.via, "id": actor.id, "name": actor.name}
