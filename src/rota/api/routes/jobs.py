"""The routes of jobs: enqueue them, look at one, and cancel it, retry it, run it now or delete it."""

import re
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request, Response

from rota.api import shapes
from rota.api.answers import accepted, answer
from rota.api.bodies import read_object, refuse_others
from rota.api.desk import ENQUEUES, OPERATES, READS, desk_of, known_queue
from rota.api.enqueueing import call_of, calls_of, fingerprint_of, key_of
from rota.api.problems import Problem
from rota.api.routes.lists import one
from rota.errors import JobNotFound, ResultTimeout
from rota.model.handle import Handle
from rota.model.state import State
from rota.names import full_name

router = APIRouter(tags=["jobs"], default_response_class=Response)

#: The most jobs that one request enqueues.
MOST_JOBS = 1000
#: The largest body of a request for many jobs, in bytes.
MOST_BYTES = 16 * 1024 * 1024
#: The longest time for which a request waits for its job, in seconds.
LONGEST_WAIT = 60.0
#: What a body may have beside its payload, in bytes.
_ROOM = 16_384
_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,6})")
_OVER = frozenset({State.COMPLETED.value, State.DEAD.value, State.CANCELLED.value})


@router.post("/jobs/{name}", include_in_schema=False, dependencies=[ENQUEUES])
async def enqueue(request: Request, name: str) -> Response:
    """Enqueue a job; with `Prefer: wait=10`, answer with its result if it ends within that time."""
    desk = desk_of(request)
    body = await read_object(request, desk.settings.payload_limit + _ROOM)
    call, key = call_of(desk.registry, name, body), key_of(request)
    if key is None:
        (handle,), is_replayed = await desk.client.enqueue_many([call]), False
    else:
        fingerprint = fingerprint_of(desk.registry.full_name(call.job), body)
        handle, is_replayed = await desk.client.enqueue_once(call, key, fingerprint=fingerprint)
    found = await _waited_for(request, handle) or accepted(request, handle, call.job.name)
    if is_replayed:
        found.headers["Idempotent-Replayed"] = "true"
    return found


@router.post("/jobs", summary="Enqueue many jobs", status_code=202, dependencies=[ENQUEUES])
async def enqueue_many(request: Request) -> Response:
    """Enqueue up to 1,000 jobs: all of them, or none where one is wrong."""
    desk = desk_of(request)
    if "idempotency-key" in request.headers:
        # They are put in several steps, of which each may fail: a replay could not say what it stands for.
        detail = 'Idempotency-Key is for POST /jobs/{name}; give each of many jobs an "id", and "on_taken": "existing"'
        raise Problem(422, "invalid-header", "A header cannot be used", detail)
    body = await read_object(request, MOST_BYTES)
    refuse_others(body, ("jobs",))
    listed = body.get("jobs")
    if not isinstance(listed, list) or not 0 < len(listed) <= MOST_JOBS:
        detail = f'"jobs" is to be a list of 1 to {MOST_JOBS} jobs, each with a "name"'
        raise Problem(422, "invalid-body", "The body cannot be read", detail)
    calls = calls_of(desk.registry, listed)
    handles = await desk.client.enqueue_many(calls)
    return answer({"jobs": [_listed(handle.queue, handle.id, handle.created) for handle in handles]}, 202)


@router.get("/jobs/{queue}/{id}", summary="Look at a job", dependencies=[READS])
async def look(request: Request, queue: str, id: str, include: str = "") -> Response:  # noqa: A002 - the field's word
    """Return a job as it is now; `include` names what else is wanted: payload, attempts, checkpoint."""
    return answer(await one(desk_of(request), queue, id, _included(include)))


@router.get("/jobs/{queue}/{id}/result", summary="The result of a job", dependencies=[READS])
async def result(request: Request, queue: str, id: str) -> Response:  # noqa: A002 - the field's word
    """Return the result of a job that is over, with 202 and no result while it is not."""
    shown = await one(desk_of(request), queue, id)
    if shown["state"] not in _OVER:
        return answer({name: shown[name] for name in ("state", "status")}, 202, {"Retry-After": "1"})
    fields = ("state", "status", "result", "error", "reason", "finished_at")
    return answer({name: shown[name] for name in fields})


@router.get("/jobs/{queue}/{id}/log", summary="The log of a job", dependencies=[READS])
async def log(request: Request, queue: str, id: str, after: str | None = None) -> Response:  # noqa: A002 - the field's word
    """Return what the handler of a job has logged; `after` is the position of the last line that is known."""
    try:
        lines = await desk_of(request).client.log(known_queue(queue), id, after=after)
    except ValueError as error:
        raise Problem(422, "invalid-query", "A parameter cannot be used", str(error)) from None
    return answer({"items": [asdict(line) for line in lines]})


@router.post("/jobs/{queue}/{id}/cancel", summary="Cancel a job", dependencies=[OPERATES])
async def cancel(request: Request, queue: str, id: str) -> Response:  # noqa: A002 - the field's word
    """Cancel a job: at once if it waits, and within a second if it runs (202)."""
    desk = desk_of(request)
    found = await desk.client.cancel(known_queue(queue), id)
    if found == "not found":
        raise _not_found(queue, id)
    if found == "finished":
        raise _wrong_state(f"job {id!r} is over; only a job that waits or runs can be cancelled")
    return answer({"answer": found}, 202 if found == "requested" else 200)


@router.post(
    "/jobs/{queue}/{id}/retry",
    summary="Bring a dead job back",
    response_class=Response,
    dependencies=[OPERATES],
)
async def retry(request: Request, queue: str, id: str) -> Response:  # noqa: A002 - the field's word
    """Bring a dead letter back, with its full number of attempts."""
    handle = await desk_of(request).client.retry(known_queue(queue), id)
    return answer(_listed(handle.queue, handle.id, handle.created), 202)


@router.post(
    "/jobs/{queue}/{id}/run-now",
    summary="Run a delayed job now",
    response_class=Response,
    dependencies=[OPERATES],
)
async def run_now(request: Request, queue: str, id: str) -> Response:  # noqa: A002 - the field's word
    """Make a job that waits for its time due at once."""
    found = await desk_of(request).client.reschedule(known_queue(queue), id)
    if found == "not found":
        raise _not_found(queue, id)
    if found != "rescheduled":
        raise _wrong_state(f"job {id!r} is {found}; only a job that waits can be run now")
    return answer({"answer": found})


@router.delete(
    "/jobs/{queue}/{id}",
    summary="Delete a dead letter",
    status_code=204,
    response_class=Response,
    dependencies=[OPERATES],
)
async def delete(request: Request, queue: str, id: str) -> Response:  # noqa: A002 - the field's word
    """Delete a dead letter; it cannot be brought back then."""
    await desk_of(request).client.delete_dead(known_queue(queue), id)
    return Response(status_code=204)


async def _waited_for(request: Request, handle: Handle[Any]) -> Response | None:
    """Return the answer to a request that waits for its job; None where it does not, or the job is not over in time."""
    wait = _wait_of(request)
    if not wait:
        return None
    try:
        info = await desk_of(request).client.wait(handle.queue, handle.id, wait)
    except (ResultTimeout, JobNotFound):
        # The result of a job that an earlier request has enqueued may have expired.
        return None
    return answer(shapes.job(info), 200, {"Preference-Applied": f"wait={wait:g}"})


def _listed(queue: str, job_id: str, created: bool) -> dict[str, Any]:
    return {"id": job_id, "queue": queue, "created": created}


def _included(include: str) -> frozenset[str]:
    names = frozenset(filter(None, include.split(",")))
    if others := sorted(names - set(shapes.OPTIONAL)):
        detail = f"there is no {others[0][:40]!r} to include; choose from: {', '.join(shapes.OPTIONAL)}"
        raise Problem(422, "invalid-query", "A parameter cannot be used", detail)
    return names


def _wait_of(request: Request) -> float:
    """Return the seconds that the request asks to wait for its job; 0: it does not."""
    found = _WAIT.search(request.headers.get("prefer", ""))
    return min(float(found[1]), LONGEST_WAIT) if found else 0.0


def _not_found(queue: str, job_id: str) -> Problem:
    detail = f"there is no job {full_name(queue, job_id)!r}; it was never enqueued or its result has expired"
    return Problem(404, "no-such-job", "There is no such job", detail)


def _wrong_state(detail: str) -> Problem:
    return Problem(409, "wrong-state", "The state of the job does not allow this", detail)
