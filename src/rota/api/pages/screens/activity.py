"""The screen of what was done by hand: by whom, to what, why, and how it ended."""

import re
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from rota.api.desk import caller_of, desk_of
from rota.api.pages.frame import ROOT, Page, render
from rota.api.pages.visitors import OWN_SEES
from rota.model.bulk.actions import Action

router = APIRouter(route_class=Page, prefix=ROOT, include_in_schema=False)

#: How many actions a page shows, and among how many it looks for those that are wanted.
_PAGE, LOOKED_AT = 50, 2000
#: The place of an action in Redis' stream.
_POSITION = re.compile(r"\d{1,18}-\d{1,18}", re.ASCII)

Text = Annotated[str, Query(max_length=100)]


@router.get("/activity", dependencies=[OWN_SEES])
async def activity(request: Request, who: Text = "", what: Text = "", before: str | None = None) -> Response:
    """Show who did what to which jobs, the newest first: that of one person, or one thing that is done."""
    position = before if before and _POSITION.fullmatch(before) else None
    is_chosen = bool(who.strip() or what.strip())
    most = LOOKED_AT if is_chosen else _PAGE + 1
    found = await desk_of(request).actions(before=position, tenant=caller_of(request).tenant, limit=most)
    wanted = [one for one in found if _fits(one, who.strip(), what.strip())]
    shown = wanted[:_PAGE]
    # Where few of those that were looked at are wanted, the next page begins behind all of them.
    last = shown if len(wanted) > _PAGE else found
    return render(
        request,
        "activity.html",
        page="activity",
        actions=shown,
        who=who,
        what=what,
        is_chosen=is_chosen,
        looked_at=len(found),
        oldest=found[-1].at if found else None,
        actors=sorted({one.actor.name or one.actor.id for one in found if one.actor.name or one.actor.id}),
        names=sorted({one.action.replace("_", " ") for one in found if one.action}),
        following=last[-1].position if len(wanted) > _PAGE or len(found) == most else None,
    )


def _fits(one: Action, who: str, what: str) -> bool:
    actor, action = f"{one.actor.name} {one.actor.id} {one.actor.via}", one.action.replace("_", " ")
    return who.casefold() in actor.casefold() and what.casefold().replace("_", " ") in action.casefold()
