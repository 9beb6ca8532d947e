"""The routes of live updates: of one job, of a queue, of everything; and tickets for browsers."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response, WebSocket

from rota.api.answers import answer
from rota.api.bodies import read_object, refuse_others
from rota.api.desk import OWN_READS, Desk, caller_of, desk_of, known_queue
from rota.api.live.later import leave_to
from rota.api.live.origins import check_origin
from rota.api.live.socket import Socket
from rota.api.live.stream import EventStream
from rota.api.live.topics import Topic
from rota.api.live.updates import frame, snapshot
from rota.api.problems import Problem, wrong_parameter
from rota.api.routes.jobs import JobId
from rota.client.events import check_position
from rota.model.access.keys import Scope
from rota.names import check_tenant

#: The most bytes in which a job is named.
_LARGEST_WISH = 4096
router = APIRouter(tags=["live"], default_response_class=Response)

After = Annotated[
    str | None, Query(description="the id of the last update that is known; as the header Last-Event-ID")
]

Tenant = Annotated[str | None, Query(description="the jobs of this tenant alone")]


@router.get("/events", summary="Live updates of all jobs", dependencies=[OWN_READS])
async def events(request: Request, after: After = None, tenant: Tenant = None) -> Response:
    """Send what happens to jobs, as it happens, as server-sent events."""
    return _stream(request, Topic(tenant=_tenant(tenant)), after)


@router.get("/queues/{queue}/events", summary="Live updates of a queue", dependencies=[OWN_READS])
async def queue_events(request: Request, queue: str, after: After = None, tenant: Tenant = None) -> Response:
    """Send what happens to the jobs of a queue."""
    return _stream(request, Topic(known_queue(queue), tenant=_tenant(tenant)), after)


@router.get("/jobs/{queue}/{id}/events", summary="Live updates of a job", dependencies=[OWN_READS])
async def job_events(request: Request, queue: str, job_id: JobId, after: After = None) -> Response:
    """Send what a job is now, and then what happens to it, until it is over.

    204 is the answer to who comes back for a job that is over, which ends the tries of a browser.
    """
    desk = desk_of(request)
    name = known_queue(queue)
    place = _after(request, after)
    position = await desk.client.event_position()
    info = await desk.client.status(name, await desk.own_id(caller_of(request), name, job_id))
    topic = Topic(name, info.id).seen_by(caller_of(request))
    if place is not None and info.state.is_over:
        pages = desk.hub.missed(place, topic.has)
        if not any([page.updates async for page in pages]):
            return Response(status_code=204)
    begin = frame("job", snapshot(info), position) if place is None else b""
    if place is None and info.state.is_over:
        return Response(begin, media_type="text/event-stream", headers={"Cache-Control": "no-store"})
    return EventStream(
        desk.hub, topic.has, begin=begin, after=place or position, once=True, key=caller_of(request)
    )


@router.post("/tickets", summary="A ticket for a browser", status_code=201, dependencies=[OWN_READS])
async def tickets(request: Request) -> Response:
    """Return a ticket, good for one look within 30 seconds: a browser shows it as `?ticket=` in place of a key.

    With `{"job": {"queue": …, "id": …}}` as the body it is good for this job alone.
    """
    desk: Desk = desk_of(request)
    key, body = caller_of(request), await read_object(request, _LARGEST_WISH)
    refuse_others(body, ("job",))
    ticket, life = await desk.gate.ticket(key, key.job or _job_in(body))
    return answer({"ticket": ticket, "expires_in": life}, 201)


def _job_in(body: dict[str, Any]) -> tuple[str, str] | None:
    """Return the job that a ticket is asked for, if one is named. Raises Problem."""
    if "job" not in body:
        return None
    job = body["job"]
    if (
        isinstance(job, dict)
        and job.keys() == {"queue", "id"}
        and all(isinstance(one, str) for one in job.values())
    ):
        return known_queue(job["queue"]), job["id"]
    errors = [{"pointer": "/job", "detail": 'is {"queue": …, "id": …}'}]
    raise Problem(422, "invalid-body", "The body names no job", 'job is {"queue": …, "id": …}', errors=errors)


@router.get("/ws", include_in_schema=False)
async def no_socket() -> Response:
    """Tell who asks for the WebSocket by plain HTTP, or a server without WebSockets, what is missing."""
    detail = "this is a WebSocket; if you have opened one, the server or a proxy before it knows none"
    raise Problem(426, "upgrade-needed", "A WebSocket is needed", detail, headers={"Upgrade": "websocket"})


@router.websocket("/ws")
async def socket(connection: WebSocket) -> None:
    """Open a WebSocket, for any number of topics. A browser's page has to be of this site, or of an allowed one."""
    desk = desk_of(connection)
    key = await desk.gate.admit(connection, Scope.READ, tenants=True)
    check_origin(connection, desk.settings)
    found = Socket(desk, key)
    await found.join()
    leave_to(found, connection.scope)


def _stream(request: Request, topic: Topic, after: str | None) -> EventStream:
    key = caller_of(request)
    return EventStream(desk_of(request).hub, topic.seen_by(key).has, after=_after(request, after), key=key)


def _tenant(given: str | None) -> str | None:
    """Return the tenant that a request names, if any. Raises Problem for a name that no tenant can have."""
    try:
        return None if given is None else check_tenant(given)
    except ValueError as error:
        raise wrong_parameter(str(error)) from None


def _after(request: Request, given: str | None) -> str | None:
    """Return the place that the listener knows. A browser that comes back sends it as a header."""
    place = request.headers.get("last-event-id") or given
    if place is not None:
        try:
            check_position(place)
        except ValueError as error:
            raise wrong_parameter(str(error)) from None
    return place
