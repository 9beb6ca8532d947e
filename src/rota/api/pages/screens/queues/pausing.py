"""Pausing and resuming queues: one on its page, or all that were marked in the list."""

from collections.abc import Mapping, Sequence
from typing import Literal

from fastapi import APIRouter, Request, Response

from rota.api.desk import desk_of, known_queue, record
from rota.api.pages.frame import ROOT, Page, base_of, form_of, go_to
from rota.api.pages.visitors import ACTS
from rota.api.problems import Problem

router = APIRouter(route_class=Page, prefix=ROOT, include_in_schema=False)


@router.post("/queues/pause", dependencies=[ACTS])
async def pause_marked(request: Request) -> Response:
    """Let no worker claim from the queues that were marked, until each is resumed."""
    form = await form_of(request)
    names = _marked(form)
    await _act(request, "pause", names, form)
    return go_to(request, f"{base_of(request)}/queues", f"Paused: {', '.join(names)}. Jobs that run go on.")


@router.post("/queues/resume", dependencies=[ACTS])
async def resume_marked(request: Request) -> Response:
    """Let workers claim from the queues that were marked."""
    form = await form_of(request)
    names = _marked(form)
    await _act(request, "resume", names, form)
    return go_to(request, f"{base_of(request)}/queues", f"Resumed: {', '.join(names)}.")


@router.post("/queues/{queue}/pause", dependencies=[ACTS])
async def pause(request: Request, queue: str) -> Response:
    """Let no worker claim from a queue until it is resumed."""
    name = known_queue(queue)
    await _act(request, "pause", [name], await form_of(request))
    return go_to(request, f"{base_of(request)}/queues/{name}", f"{name} is paused. Jobs that run go on.")


@router.post("/queues/{queue}/resume", dependencies=[ACTS])
async def resume(request: Request, queue: str) -> Response:
    """Let workers claim from a queue again."""
    name = known_queue(queue)
    await _act(request, "resume", [name], await form_of(request))
    return go_to(request, f"{base_of(request)}/queues/{name}", f"{name} is resumed.")


async def _act(
    request: Request,
    action: Literal["pause", "resume"],
    names: Sequence[str],
    form: Mapping[str, Sequence[str]],
) -> None:
    """Pause or resume queues, and write down of each who did it, and the reason that the form gives."""
    client = desk_of(request).client
    act = client.pause if action == "pause" else client.resume
    for name in names:
        await act(name)
        await record(request, action, queue=name, reason=form.get("reason", [""])[0])


def _marked(form: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the queues that were marked in a form. Raises Problem."""
    names = [known_queue(name) for name in dict.fromkeys(form.get("queue", ()))]
    if not names:
        raise Problem(422, "invalid-body", "No queue was chosen", "mark the queues first")
    return names
