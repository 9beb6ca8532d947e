"""The screen of schedules: when jobs run by the clock, and running, pausing and resuming them."""

from fastapi import APIRouter, Request, Response

from rota.api.desk import desk_of, record
from rota.api.pages.frame import ROOT, Page, base_of, go_to, render
from rota.api.pages.visitors import ACTS, SEES
from rota.api.problems import Problem

router = APIRouter(route_class=Page, prefix=ROOT, include_in_schema=False)


@router.get("/schedules", dependencies=[SEES])
async def schedules(request: Request) -> Response:
    """Show when jobs run by the clock, last and next."""
    return render(
        request, "schedules.html", page="schedules", schedules=await desk_of(request).client.schedules()
    )


@router.post("/schedules/{name}/{action}", dependencies=[ACTS])
async def act_on_schedule(request: Request, name: str, action: str) -> Response:
    """Run a schedule's job now, let it rest, or let it go on."""
    client = desk_of(request).client
    if action == "run":
        handle = await client.run_schedule(name)
        said = f"{name} is put on the queue as {handle.id}."
    elif action == "pause":
        await client.pause_schedule(name)
        said = f"{name} rests."
    elif action == "resume":
        await client.resume_schedule(name)
        said = f"{name} goes on."
    else:
        raise Problem(
            404, "not-found", "There is nothing at this path", f"no action is called {action[:40]!r}"
        )
    await record(request, f"schedule_{action}", schedule=name)
    return go_to(request, f"{base_of(request)}/schedules", said)
