"""The search of every page: by the id of a job, the name of a queue or of a job."""

from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response

from rota.api.desk import caller_of, desk_of
from rota.api.pages.frame import ROOT, Page, base_of, go_to, job_page, render
from rota.api.pages.visitors import OWN_SEES
from rota.errors import RotaError

router = APIRouter(route_class=Page, prefix=ROOT, include_in_schema=False)


@router.get("/search", dependencies=[OWN_SEES])
async def search(request: Request, q: str = "") -> Response:
    """Lead to the job that has an id, to a queue or to the jobs of a name; say so where there is none."""
    desk, base, text = desk_of(request), base_of(request), q.strip()
    if text in desk.queues and caller_of(request).tenant is None:
        return go_to(request, f"{base}/queues/{text}")
    if text in desk.registry.full_names and desk.archive is not None:
        return go_to(request, f"{base}/jobs?{urlencode({'name': text})}")
    for queue in desk.queues if text else ():
        try:
            await desk.find(caller_of(request), queue, text)
        except (RotaError, ValueError):
            continue
        return go_to(request, job_page(base, queue, text))
    return render(request, "search.html", page="", text=text)
