"""The screen of what was done by hand."""

from fastapi import APIRouter, Request, Response

from rota.api.desk import caller_of, desk_of
from rota.api.pages.frame import ROOT, Page, render
from rota.api.pages.visitors import OWN_SEES
from rota.client.bulk.actions import Actions

router = APIRouter(route_class=Page, prefix=ROOT, include_in_schema=False)

#: How many actions a page shows.
_PAGE = 50


@router.get("/activity", dependencies=[OWN_SEES])
async def activity(request: Request, before: str | None = None) -> Response:
    """Show who did what to which jobs, the newest first."""
    desk = desk_of(request)
    actions = Actions(desk.client.redis, desk.settings.namespace)
    position = before if before and before.replace("-", "").isdecimal() else None
    found = await actions.page(before=position, limit=_PAGE + 1, tenant=caller_of(request).tenant)
    following = found[_PAGE - 1].position if len(found) > _PAGE else None
    return render(request, "activity.html", page="activity", actions=found[:_PAGE], following=following)
