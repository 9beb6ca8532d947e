"""Every page of the dashboard, as the application has them."""

from fastapi import APIRouter, FastAPI, Request, Response

from rota.api.pages import door, live
from rota.api.pages.frame import ROOT, Page
from rota.api.pages.past import Past
from rota.api.pages.screens import (
    activity,
    failures,
    flows,
    keys,
    overview,
    schedules,
    webhooks,
    workers,
)
from rota.api.pages.screens.jobs import bulk, listing, new, search
from rota.api.pages.screens.jobs.one import actions, beside, page
from rota.api.pages.screens.queues import listing as queues
from rota.api.pages.screens.queues import pausing, purging, queue
from rota.api.pages.screens.system import screen as system
from rota.api.pages.visitors import OWN_SEES
from rota.api.problems import Problem

_SCREENS = (
    overview,
    queues,
    queue,
    pausing,
    purging,
    listing,
    search,
    page,
    beside,
    actions,
    bulk,
    new,
    failures,
    flows,
    schedules,
    workers,
    webhooks,
    keys,
    activity,
    system,
)

_rest = APIRouter(route_class=Page, prefix=ROOT, include_in_schema=False)


@_rest.get("/{path:path}", dependencies=[OWN_SEES])
async def nothing(request: Request, path: str) -> Response:
    """Say in a page that nothing is at this path."""
    raise Problem(404, "not-found", "There is no such page", f"the dashboard has nothing at {path[:80]!r}")


#: The routers of all pages; the one that takes what no other does is the last.
ROUTERS = (door.router, live.router, *(one.router for one in _SCREENS), _rest)


def add_pages(app: FastAPI) -> None:
    """Add the dashboard to an application."""
    app.state.past = Past()
    for router in ROUTERS:
        app.include_router(router)
