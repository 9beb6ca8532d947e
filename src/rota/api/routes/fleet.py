"""The routes of what runs: the workers, the names of jobs, and the failures by their causes."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from rota.api import shapes
from rota.api.answers import answer
from rota.api.desk import READS, Desk, desk_of
from rota.api.documents.document import payload_schema
from rota.api.problems import Problem
from rota.fleet.roster import roster
from rota.model.info import FailureGroup
from rota.model.job import Job
from rota.server.faults import explained
from rota.wire.keys import check_queue

router = APIRouter(default_response_class=Response)


@router.get("/workers", tags=["workers"], summary="All workers", dependencies=[READS])
async def workers(request: Request) -> Response:
    """Return each process that works, its queues and slots, and which of them leads."""
    desk = desk_of(request)
    queues = desk.settings.known_queues(desk.registry.queues)
    async with explained(desk.client.redis):
        found = await roster(desk.client.redis, queues, desk.settings.namespace)
    items: dict[str, dict[str, Any]] = {}
    for queue, beat, leads in found.rows():
        known = asdict(beat)
        process = items.setdefault(beat.process, {"id": beat.process, "leads": leads, "queues": []})
        process["queues"].append({"queue": queue, **{key: known[key] for key in known if key != "process"}})
    return answer({"items": list(items.values())})


@router.get("/kinds", tags=["jobs"], summary="The names of jobs", dependencies=[READS])
async def kinds(request: Request) -> Response:
    """Return the name of every job that can be enqueued here, with its policy."""
    desk = desk_of(request)
    return answer({"items": [_kind(desk, name) for name in desk.registry.full_names]})


@router.get("/kinds/{name}", tags=["jobs"], summary="One name of jobs", dependencies=[READS])
async def kind(request: Request, name: str) -> Response:
    """Return a job's policy, and the JSON schema of its payload."""
    desk = desk_of(request)
    job = desk.registry.find(name)
    return answer({**_kind(desk, desk.registry.full_name(job)), "payload": payload_schema(job)})


@router.get("/failures", tags=["failures"], summary="Failures by cause", dependencies=[READS])
async def failures(request: Request, queue: Annotated[str | None, Query()] = None) -> Response:
    """Return the dead letters of one queue, or of all, grouped by cause, the most numerous first."""
    return answer({"items": [_group(one) for one in await _groups(desk_of(request), queue)]})


@router.get("/failures/{cause}", tags=["failures"], summary="One cause", dependencies=[READS])
async def failure(request: Request, cause: str) -> Response:
    """Return the dead letters of one cause, by queue."""
    found = [_group(one) for one in await _groups(desk_of(request), None) if one.cause == cause]
    if not found:
        detail = f"no dead letter that is kept has the cause {cause[:80]!r}"
        raise Problem(404, "no-such-cause", "There is no such cause", detail)
    return answer({"items": found})


async def _groups(desk: Desk, queue: str | None) -> list[FailureGroup]:
    if queue is not None:
        try:
            check_queue(queue)
        except ValueError as error:
            raise Problem(422, "invalid-query", "A parameter cannot be used", str(error)) from None
    return await desk.client.failures(queue)


def _group(group: FailureGroup) -> dict[str, Any]:
    known = {name: getattr(group, name) for name in group.__slots__}
    return known | {"error": shapes.error(group.error)}


def _kind(desk: Desk, name: str) -> dict[str, Any]:
    job: Job[Any, Any] = desk.registry.find(name)
    return {
        "name": name,
        "queue": desk.registry.queue_of(job),
        "description": (job.handler.__doc__ or "").strip(),
        "runs": job.kind,
        "priority": job.priority,
        "timeout": job.timeout,
        "max_attempts": job.max_attempts,
        "schedules": [one.name for one in desk.registry.schedules if one.job is job],
    }
