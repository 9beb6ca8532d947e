"""The routes that enqueue jobs: one, whose result a request may wait for, or many together."""

import re
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.routing import Route

from rota.api import shapes
from rota.api.answers import accepted, answer, entry_of
from rota.api.bodies import ROOM, read_object, refuse_others
from rota.api.desk import OWN_ENQUEUES, caller_of, check, desk_of
from rota.api.enqueueing import call_of, calls_of, check_webhooks, fingerprint_of, idempotency_key_of
from rota.api.problems import Problem
from rota.errors import JobExists, JobNotFound, ResultTimeout
from rota.model.handle import Handle

router = APIRouter(tags=["jobs"], default_response_class=Response)

#: The most jobs that one request enqueues.
MOST_JOBS = 1000
#: The largest body of a request for many jobs, in bytes.
MOST_BYTES = 16 * 1024 * 1024
#: The longest time for which a request waits for its job, in seconds.
LONGEST_WAIT = 60.0
_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,6})")


async def enqueue(request: Request) -> Response:
    """Enqueue a job; with `Prefer: wait=10`, answer with its result if it ends within that time."""
    await check(request, OWN_ENQUEUES)
    desk, name = desk_of(request), request.path_params["name"]
    body = await read_object(request, desk.settings.payload_limit + ROOM)
    call, key = call_of(desk.registry, caller_of(request), name, body), idempotency_key_of(request)
    if call.job.enqueue_options.webhook is not None:
        await check_webhooks(request, (call,))
    async with desk.gate.quotas.within(caller_of(request), 1):
        if key is None:
            (handle,), is_replayed = await desk.client.enqueue_many([call]), False
        else:
            fingerprint = fingerprint_of(desk.registry.full_name(call.job), body)
            handle, is_replayed = await desk.client.enqueue_once(call, key, fingerprint=fingerprint)
    found = await _waited_for(request, handle) or accepted(request, handle, call.job.name)
    if is_replayed:
        found.headers["Idempotent-Replayed"] = "true"
    return found


#: Outside the framework's router: what that does for a request takes longer than all that is done here.
ENQUEUE = Route("/jobs/{name}", enqueue, methods=["POST"], include_in_schema=False)


@router.post("/jobs", summary="Enqueue many jobs", status_code=202, dependencies=[OWN_ENQUEUES])
async def enqueue_many(request: Request) -> Response:
    """Enqueue up to 1,000 jobs, or none where the request is wrong in one of them."""
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
    calls = calls_of(desk.registry, caller_of(request), listed)
    await check_webhooks(request, calls)
    try:
        async with desk.gate.quotas.within(caller_of(request), len(calls)):
            handles = await desk.client.enqueue_many(calls)
    except JobExists as error:
        detail = f"{error}; those of the jobs whose ids and unique keys were free are enqueued"
        raise Problem(409, "job-exists", "A live job has this id or unique key", detail) from None
    return answer({"jobs": [entry_of(handle) for handle in handles]}, 202)


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
    if not caller_of(request).sees(info.tenant):
        # An application may have given its own job an id that reads like one of a tenant.
        return None
    return answer(shapes.job(info), 200, {"Preference-Applied": f"wait={wait:g}"})


def _wait_of(request: Request) -> float:
    """Return the seconds that the request asks to wait for its job; 0: it does not."""
    found = _WAIT.search(",".join(request.headers.getlist("prefer")))
    return min(float(found[1]), LONGEST_WAIT) if found else 0.0
