"""The list of jobs: those in a state as Redis has them, and all others from the audit table."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from fastapi import APIRouter, Request, Response
from pydantic import ValidationError
from starlette.datastructures import QueryParams

from rota.api.asking.conditions import took
from rota.api.asking.filters import Asking, understood
from rota.api.asking.language import FIELDS, Mistake
from rota.api.asking.pages import PATIENCE, Listed, page_of
from rota.api.desk import Desk, caller_of, desk_of
from rota.api.pages.frame import ROOT, Page, base_of, form_of, go_to, render
from rota.api.pages.screens.jobs import view
from rota.api.pages.screens.jobs.view import Dropped, Wish
from rota.api.pages.visitors import OWN_SEES, check_origin
from rota.api.problems import Problem, check_names, wrong_parameter
from rota.api.routes.lists import of_caller
from rota.client.looking.live import LISTED, look
from rota.model.state import State
from rota.server.faults import explained
from rota.store.faults import StoreError

router = APIRouter(route_class=Page, prefix=ROOT, include_in_schema=False)

#: How long the choice of columns is kept, in seconds.
_YEAR = 365 * 86_400
_NO_JOBS = Listed(source="redis", items=())


class Found(NamedTuple):
    """A page of a list, or why there is none: the text is not understood, or the conditions do not go together."""

    page: Listed = _NO_JOBS
    asking: Asking | None = None
    mistake: Mistake | None = None
    problem: Problem | None = None


@router.get("/jobs", dependencies=[OWN_SEES])
async def jobs(request: Request) -> Response:
    """Show a page of jobs; without a state, those in the first state in which there are any."""
    desk, wish, base = desk_of(request), Wish.of(request.query_params), base_of(request)
    if "tenant" in wish.given:
        check_names(caller_of(request), wish.given["tenant"])
    if not wish.tab and "state:" not in wish.text:
        return go_to(request, await _first(request, wish))
    found, recorded = await asyncio.gather(found_of(request, wish), _recorded(desk, request, wish))
    live = found.page.counts or await _counts(desk, request, wish)
    asking, items = found.asking, [dict(one) for one in found.page.items]
    state = None if asking is None else asking.filters.state
    total = sum(one[state] for one in live.values()) if live and state is not None else None
    dropped = view.conditions(wish, base)
    most = {desk.registry.full_name(one): one.max_attempts for one in desk.registry.jobs}
    worst = None if items else await _worst(request, found, dropped)
    return render(
        request,
        "jobs.html",
        200 if found.problem is None and found.mistake is None else 422,
        page="jobs",
        wish=wish,
        found=found,
        items=[one | {"took": took(one), "most": most.get(one["name"])} for one in items],
        tabs=view.tabs(wish, base, live, recorded, has_table=desk.archive is not None),
        tab=state.value if state is not None else wish.tab,
        total=total,
        # How many match is known where the list has all that are in the state.
        matching=total if asking is not None and not asking.is_chosen else None,
        dropped=dropped,
        worst=worst,
        columns=view.columns(request, wish.tab, items),
        all_columns=view.COLUMNS,
        when=view.when(wish.tab),
        actions=view.ACTIONS.get(state, ()) if state is not None else (),
        bulk=None if asking is None or not asking.is_live else view.bulk_of(asking, desk.queues),
        queues=desk.queues,
        names=sorted(desk.registry.full_names),
        since=view.SINCE,
        fields=FIELDS,
        has_table=desk.archive is not None,
        is_recorded_away=recorded is None and desk.archive is not None and caller_of(request).tenant is None,
        keep_result=desk.settings.keep_result,
    )


async def found_of(request: Request, wish: Wish) -> Found:
    """Return the page of the list that is wished for, as the visitor may see it, or why there is none."""
    desk, key = desk_of(request), caller_of(request)
    try:
        filters = of_caller(view.filters_of(wish), key)
        asking = understood(filters)
        return Found(await page_of(desk, key, asking, filters.known()), asking)
    except Mistake as mistake:
        return Found(mistake=mistake)
    except ValidationError as error:
        problem = wrong_parameter(str(error.errors()[0]["msg"]))
    except Problem as error:
        if error.kind not in ("invalid-query", "no-database"):
            raise
        problem = error
    return Found(problem=problem)


async def _worst(request: Request, found: Found, dropped: Sequence[Dropped]) -> Dropped | None:
    """Return the condition to drop first where no job fits: the one that excludes most, or without which some fit.

    The audit table is asked without one after another for as long as for a page.
    """
    if found.page.excluded:
        return max(dropped, key=lambda one: found.page.excluded.get(one.key, 0), default=None)
    if found.page.source == "table":
        until = time.monotonic() + PATIENCE
        for one in dropped:
            if time.monotonic() > until:
                break
            if (await found_of(request, Wish.of(QueryParams(one.address.partition("?")[2])))).page.items:
                return one
    return None


async def _recorded(desk: Desk, request: Request, wish: Wish) -> Mapping[str, int] | None:
    """Return how many recorded jobs have each status. None for a tenant, whom those of others do not concern."""
    if desk.archive is None or caller_of(request).tenant is not None:
        return None
    try:
        return await desk.archive.counts(_queues(desk, wish))
    except StoreError:
        # What Redis has is shown without the database too.
        return None


def _queues(desk: Desk, wish: Wish) -> tuple[str, ...]:
    asked = wish.given.get("queue")
    return desk.queues if asked not in desk.queues else (asked,)


async def _counts(desk: Desk, request: Request, wish: Wish) -> Mapping[str, Mapping[State, int]]:
    if caller_of(request).tenant is not None:
        return {}
    async with explained(desk.client.redis):
        return (await look(desk.client.redis, _queues(desk, wish), None)).counts


async def _first(request: Request, wish: Wish) -> str:
    """Return the address of the list in the first state in which there are jobs, or of all that were recorded."""
    desk, base = desk_of(request), base_of(request)
    if desk.archive is not None and wish.given.keys() - {"queue", "live"}:
        return wish.address(base, state="all")
    # How many jobs the others have is not for the key of a tenant.
    if caller_of(request).tenant is not None:
        return wish.address(base, state="waiting", queue=wish.given.get("queue", desk.queues[0]))
    counts = await _counts(desk, request, wish)
    states = (state for state in LISTED if any(one[state] for one in counts.values()))
    return wish.address(base, state=next(states, State.WAITING).value)


@router.post("/jobs/columns", dependencies=[OWN_SEES])
async def choose_columns(request: Request) -> Response:
    """Keep which columns the visitor wants to see, and go back to the list."""
    check_origin(request)
    form = await form_of(request)
    (back,) = form.get("back", [""])[:1] or [""]
    response = go_to(request, f"{base_of(request)}/jobs{'?' if back else ''}{back}")
    chosen = [name for name in view.COLUMNS if name in form.get("columns", [])]
    response.set_cookie(
        view.COOKIE, ".".join(chosen), max_age=_YEAR, path=base_of(request), httponly=True, samesite="lax"
    )
    return response
