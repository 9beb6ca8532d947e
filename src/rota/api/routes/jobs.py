"""The routes of one job: look at it, cancel it, retry it, run it now, or delete its dead letter."""

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from rota.api import shapes
from rota.api.answers import answer, entry_of
from rota.api.bodies import ROOM, read_object
from rota.api.desk import OWN_OPERATES, OWN_READS, actor_of, caller_of, desk_of, record
from rota.api.enqueueing import fix_of
from rota.api.problems import Problem, wrong_parameter
from rota.api.routes.lists import one
from rota.errors import JobNotFound, NoDeadLetter
from rota.model.state import State

router = APIRouter(tags=["jobs"], default_response_class=Response)

#: The id of a job in a path.
JobId = Annotated[str, Path(alias="id")]


@router.get("/jobs/{queue}/{id}", summary="Look at a job", dependencies=[OWN_READS])
async def look(request: Request, queue: str, job_id: JobId, include: str = "") -> Response:
    """Return a job as it is now; `include` names what else is wanted: payload, attempts, checkpoint."""
    return answer(await one(request, queue, job_id, _included(include)))


@router.get("/jobs/{queue}/{id}/result", summary="The result of a job", dependencies=[OWN_READS])
async def result(request: Request, queue: str, job_id: JobId) -> Response:
    """Return the result of a job that is over, with 202 and no result while it is not."""
    shown = await one(request, queue, job_id)
    if not State(shown["state"]).is_over:
        return answer({name: shown[name] for name in ("state", "status")}, 202, {"Retry-After": "1"})
    fields = ("state", "status", "result", "error", "reason", "finished_at", "refused")
    return answer({name: shown[name] for name in fields if name in shown})


@router.get("/jobs/{queue}/{id}/log", summary="The log of a job", dependencies=[OWN_READS])
async def log(request: Request, queue: str, job_id: JobId, after: str | None = None) -> Response:
    """Return what the handler of a job has logged; `after` is the position of the last line that is known."""
    desk = desk_of(request)
    own_id = await desk.own_id(caller_of(request), queue, job_id)
    try:
        lines = await desk.client.log(queue, own_id, after=after)
    except ValueError as error:
        raise wrong_parameter(str(error)) from None
    return answer({"items": [asdict(line) for line in lines]})


@router.get("/jobs/{queue}/{id}/stack", summary="What a running job is doing", dependencies=[OWN_READS])
async def stack(request: Request, queue: str, job_id: JobId) -> Response:
    """Return the calls in which the handler of a running job is at this moment; its worker is asked."""
    desk = desk_of(request)
    found = await desk.client.stack(queue, await desk.own_id(caller_of(request), queue, job_id))
    return answer(shapes.stack(found))


@router.post("/jobs/{queue}/{id}/cancel", summary="Cancel a job", dependencies=[OWN_OPERATES])
async def cancel(request: Request, queue: str, job_id: JobId) -> Response:
    """Cancel a job: at once if it waits, and within a second if it runs (202)."""
    desk = desk_of(request)
    found = await desk.client.cancel(queue, await desk.own_id(caller_of(request), queue, job_id))
    if found == "not found":
        raise JobNotFound(job_id)
    if found == "finished":
        raise _wrong_state(f"job {job_id!r} is over; only a job that waits or runs can be cancelled")
    await record(request, "cancel", queue=queue, id=job_id)
    return answer({"answer": found}, 202 if found == "requested" else 200)


@router.post(
    "/jobs/{queue}/{id}/retry",
    summary="Bring a dead job back",
    dependencies=[OWN_OPERATES],
)
async def retry(request: Request, queue: str, job_id: JobId) -> Response:
    """Bring a dead letter back, with its full number of attempts, and with another `payload` where one is given."""
    desk, key = desk_of(request), caller_of(request)
    body = await read_object(request, desk.settings.payload_limit + ROOM)
    own_id = await desk.own_id(key, queue, job_id, letter=True)
    if not body:
        brought_back = await desk.client.retry(queue, own_id)
        await record(request, "retry", queue=queue, id=job_id)
        return answer(entry_of(brought_back), 202)
    info = await desk.client.status(queue, own_id, letter=True)
    if info.state is not State.DEAD:
        raise NoDeadLetter(info.id, info.state)
    call = fix_of(desk.registry, key, queue, info.task, body)
    try:
        handle = await desk.client.retry(queue, info.id, call=call, by=actor_of(request))
    except ValueError as error:
        raise _wrong_state(str(error)) from None
    return answer(entry_of(handle), 202)


@router.post(
    "/jobs/{queue}/{id}/run-now",
    summary="Run a delayed job now",
    dependencies=[OWN_OPERATES],
)
async def run_now(request: Request, queue: str, job_id: JobId) -> Response:
    """Make a job that waits for its time due at once."""
    desk = desk_of(request)
    found = await desk.client.reschedule(queue, await desk.own_id(caller_of(request), queue, job_id))
    if found == "not found":
        raise JobNotFound(job_id)
    if found != "rescheduled":
        raise _wrong_state(f"job {job_id!r} is {found}; only a job that waits can be run now")
    await record(request, "run_now", queue=queue, id=job_id)
    return answer({"answer": found})


@router.delete(
    "/jobs/{queue}/{id}",
    summary="Delete a dead letter",
    status_code=204,
    dependencies=[OWN_OPERATES],
)
async def delete(request: Request, queue: str, job_id: JobId) -> Response:
    """Delete a dead letter; it cannot be brought back then."""
    desk = desk_of(request)
    own_id = await desk.own_id(caller_of(request), queue, job_id, letter=True)
    await desk.client.delete_dead(queue, own_id)
    await record(request, "delete", queue=queue, id=job_id)
    return Response(status_code=204)


def _included(include: str) -> frozenset[str]:
    names = frozenset(filter(None, include.split(",")))
    if others := sorted(names - set(shapes.OPTIONAL)):
        detail = f"there is no {others[0][:40]!r} to include; choose from: {', '.join(shapes.OPTIONAL)}"
        raise wrong_parameter(detail)
    return names


def _wrong_state(detail: str) -> Problem:
    return Problem(409, "wrong-state", "The state of the job does not allow this", detail)
