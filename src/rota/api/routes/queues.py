"""The routes of queues: which there are, how many jobs each has, and pausing them."""

from typing import Any

from fastapi import APIRouter, Request, Response

from rota.api.answers import answer
from rota.api.desk import OPERATES, READS, Desk, desk_of
from rota.api.problems import Problem
from rota.wire.keys import check_queue

router = APIRouter(tags=["queues"], default_response_class=Response)


@router.get("/queues", summary="All queues", dependencies=[READS])
async def queues(request: Request) -> Response:
    """Return every queue that a job or a setting names, with how many of its jobs are in which state."""
    desk = desk_of(request)
    names = desk.settings.known_queues(desk.registry.queues)
    return answer({"items": [await _shape(desk, name) for name in names]})


@router.get("/queues/{queue}", summary="One queue", dependencies=[READS])
async def queue(request: Request, queue: str) -> Response:
    """Return how many jobs of a queue are in which state, how many workers serve it, and whether it is paused."""
    return answer(await _shape(desk_of(request), _checked(queue)))


@router.post("/queues/{queue}/pause", summary="Pause a queue", dependencies=[OPERATES])
async def pause(request: Request, queue: str) -> Response:
    """Let no worker claim from a queue until it is resumed; jobs that run go on."""
    desk = desk_of(request)
    await desk.client.pause(_checked(queue))
    return answer(await _shape(desk, queue))


@router.post("/queues/{queue}/resume", summary="Resume a queue", dependencies=[OPERATES])
async def resume(request: Request, queue: str) -> Response:
    """Let workers claim from a queue again."""
    desk = desk_of(request)
    await desk.client.resume(_checked(queue))
    return answer(await _shape(desk, queue))


async def _shape(desk: Desk, name: str) -> dict[str, Any]:
    counts = await desk.client.counts(name)
    return {
        "name": name,
        "counts": {state.value: count for state, count in counts.items()},
        "workers": await desk.client.workers(name),
        "paused_since": await desk.client.paused_since(name),
    }


def _checked(name: str) -> str:
    try:
        return check_queue(name)
    except ValueError as error:
        raise Problem(404, "no-such-queue", "There is no such queue", str(error)) from None
