"""The routes of queues: which there are, how many jobs each has, and pausing them."""

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request, Response

from rota.api.answers import answer
from rota.api.desk import OPERATES, READS, Desk, desk_of, known_queue, record
from rota.api.problems import wrong_parameter
from rota.fleet.reading import read
from rota.model.history.series import HistoryPoint
from rota.server.faults import explained
from rota.units import parse_duration

router = APIRouter(tags=["queues"], default_response_class=Response)


@router.get("/queues", summary="All queues", dependencies=[READS])
async def queues(request: Request) -> Response:
    """Return every queue that a job or a setting names, with how many of its jobs are in which state."""
    desk = desk_of(request)
    return answer({"items": await _shapes(desk, desk.queues)})


@router.get("/queues/{queue}", summary="One queue", dependencies=[READS])
async def queue(request: Request, queue: str) -> Response:
    """Return how many jobs of a queue are in which state, how many workers serve it, and whether it is paused."""
    return await _one(desk_of(request), known_queue(queue))


@router.post("/queues/{queue}/pause", summary="Pause a queue", dependencies=[OPERATES])
async def pause(request: Request, queue: str) -> Response:
    """Let no worker claim from a queue until it is resumed; jobs that run go on."""
    desk = desk_of(request)
    await desk.client.pause(known_queue(queue))
    await record(request, "pause", queue=queue)
    return await _one(desk, queue)


@router.post("/queues/{queue}/resume", summary="Resume a queue", dependencies=[OPERATES])
async def resume(request: Request, queue: str) -> Response:
    """Let workers claim from a queue again."""
    desk = desk_of(request)
    await desk.client.resume(known_queue(queue))
    await record(request, "resume", queue=queue)
    return await _one(desk, queue)


@router.get("/queues/{queue}/history", summary="What became of a queue's jobs", dependencies=[READS])
async def history(request: Request, queue: str, period: str = "24h", step: str | None = None) -> Response:
    """Return what became of a queue's jobs, step by step, for at most 72 hours, and where new code began to run."""
    desk = desk_of(request)
    try:
        lengths = [None if one is None else parse_duration(one) for one in (period, step)]
        found = await desk.client.history(known_queue(queue), period=lengths[0] or 0.0, step=lengths[1])
    except ValueError as error:
        raise wrong_parameter(str(error)) from None
    return answer(
        {
            "queue": found.queue,
            "step": found.step,
            "points": [_point(one) for one in found.points],
            "total": _point(found.total),
            "marks": [one._asdict() for one in found.marks],
        }
    )


def _point(point: HistoryPoint) -> dict[str, Any]:
    known = {name: getattr(point, name) for name in point.__slots__}
    spans = {name: getattr(point, name) for name in ("wait", "run")}
    return known | {name: {"p50": span.p50, "p95": span.p95, "p99": span.p99} for name, span in spans.items()}


async def _one(desk: Desk, name: str) -> Response:
    (shape,) = await _shapes(desk, [name])
    return answer(shape)


async def _shapes(desk: Desk, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return queues as answers show them, in two round trips for all, and one for each that is paused."""
    async with explained(desk.client.redis):
        found = (await read(desk.client.redis, names)).queues
    return [
        {
            "name": name,
            "counts": one.states,
            "latency": one.latency,
            "workers": len(one.beats),
            "slots": one.slots,
            "slots_busy": one.slots_busy,
            "paused_since": await desk.client.paused_since(name) if one.paused else None,
        }
        for name, one in found.items()
    ]
