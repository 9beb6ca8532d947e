"""The list of jobs: those of a queue in one state as Redis has them, and all others from the audit table."""

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response

from rota.api.desk import caller_of, desk_of
from rota.api.pages.frame import ROOT, Page, base_of, go_to, render
from rota.api.pages.visitors import OWN_SEES
from rota.api.problems import Problem
from rota.api.routes.lists import Filters, of_caller, page_of
from rota.model.state import State

router = APIRouter(route_class=Page, prefix=ROOT, include_in_schema=False)

#: The tabs: what is asked of Redis, and what of the audit table.
_LIVE = (State.WAITING, State.DELAYED, State.ACTIVE, State.DEAD)
_RECORDED = ("COMPLETED", "FAILED", "CANCELLED")


@router.get("/jobs", dependencies=[OWN_SEES])
async def jobs(request: Request, filters: Annotated[Filters, Query()]) -> Response:
    """Show a page of jobs; without a filter, those that wait on the first queue that has any."""
    desk = desk_of(request)
    if not request.query_params:
        queue = await _first(request)
        return go_to(request, f"{base_of(request)}/jobs?{urlencode({'queue': queue, 'state': 'waiting'})}")
    filters = of_caller(filters, caller_of(request))
    items: list[dict[str, Any]] = []
    following, wrong = None, None
    try:
        items, following = await page_of(desk, filters)
    except Problem as problem:
        if problem.kind not in ("invalid-query", "no-database"):
            raise
        wrong = problem
    return render(
        request,
        "jobs.html",
        page="jobs",
        items=items,
        following=following,
        wrong=wrong,
        queues=desk.queues,
        names=sorted(desk.registry.full_names),
        live=[state.value for state in _LIVE],
        recorded=_RECORDED if desk.archive is not None else (),
        filters=filters,
    )


async def _first(request: Request) -> str:
    desk = desk_of(request)
    # How many jobs the others have is not for the key of a tenant.
    for queue in desk.queues if caller_of(request).tenant is None else ():
        counts = await desk.client.counts(queue)
        if counts.get(State.WAITING):
            return queue
    return desk.queues[0]
