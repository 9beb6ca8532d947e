"""The screen of failures: dead letters by what they died of."""

from fastapi import APIRouter, Request, Response

from rota.api.desk import desk_of
from rota.api.pages.frame import ROOT, Page, render
from rota.api.pages.visitors import SEES

router = APIRouter(route_class=Page, prefix=ROOT, include_in_schema=False)


@router.get("/failures", dependencies=[SEES])
async def failures(request: Request) -> Response:
    """Show dead letters by what they died of."""
    groups = await desk_of(request).client.failures()
    return render(request, "failures.html", page="failures", groups=groups)
