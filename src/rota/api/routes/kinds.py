"""The routes of the names of jobs: which can be enqueued here, each with its policy and its schema."""

from typing import Any

from fastapi import APIRouter, Request, Response

from rota.api.answers import answer
from rota.api.desk import OWN_READS, Desk, desk_of
from rota.api.documents.document import payload_schema
from rota.model.job import Job

router = APIRouter(tags=["jobs"], default_response_class=Response)


@router.get("/kinds", summary="The names of jobs", dependencies=[OWN_READS])
async def kinds(request: Request) -> Response:
    """Return the name of every job that can be enqueued here, with its policy."""
    desk = desk_of(request)
    jobs = sorted(desk.registry.jobs, key=desk.registry.full_name)
    return answer({"items": [_shape(desk, job) for job in jobs]})


@router.get("/kinds/{name}", summary="One name of jobs", dependencies=[OWN_READS])
async def kind(request: Request, name: str) -> Response:
    """Return a job's policy, and the JSON schema of its payload."""
    desk = desk_of(request)
    job = desk.registry.find(name)
    return answer({**_shape(desk, job), "payload": payload_schema(job)})


def _shape(desk: Desk, job: Job[Any, Any]) -> dict[str, Any]:
    return {
        "name": desk.registry.full_name(job),
        "queue": desk.registry.queue_of(job),
        "description": (job.handler.__doc__ or "").strip(),
        "runs": job.kind,
        "priority": job.priority,
        "timeout": job.timeout,
        "max_attempts": job.max_attempts,
        "schedules": [one.name for one in desk.registry.schedules if one.job is job],
    }
