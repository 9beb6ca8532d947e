"""The routes of live updates: of one job, of a queue, of everything; and tickets for browsers."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response, WebSocket

from rota.api.answers import answer
from rota.api.desk import READS, Desk, desk_of, known_queue
from rota.api.live.later import leave_to
from rota.api.live.origins import check_origin
from rota.api.live.socket import Socket
from rota.api.live.stream import EventStream
from rota.api.live.topics import Topic
from rota.api.live.updates import OVER, frame, snapshot
from rota.api.problems import wrong_parameter
from rota.api.routes.jobs import JobId
from rota.client.events import check_position
from rota.model.access.keys import AccessKey, Scope

router = APIRouter(tags=["live"], default_response_class=Response)

After = Annotated[
    str | None, Query(description="the id of the last update that is known; as the header Last-Event-ID")
]


@router.get("/events", summary="Live updates of all jobs", dependencies=[READS])
async def events(request: Request, after: After = None) -> Response:
    """Send what happens to jobs, as it happens, as server-sent events."""
    return _stream(request, Topic(), after)


@router.get("/queues/{queue}/events", summary="Live updates of a queue", dependencies=[READS])
async def queue_events(request: Request, queue: str, after: After = None) -> Response:
    """Send what happens to the jobs of a queue."""
    return _stream(request, Topic(known_queue(queue)), after)


@router.get("/jobs/{queue}/{id}/events", summary="Live updates of a job", dependencies=[READS])
async def job_events(request: Request, queue: str, job_id: JobId, after: After = None) -> Response:
    """Send what a job is now, and then what happens to it, until it is over.

    204 is the answer to who comes back for a job that is over, which ends the tries of a browser.
    """
    desk = desk_of(request)
    name = known_queue(queue)
    place = _after(request, after)
    position = await desk.client.event_position()
    info = await desk.client.status(name, job_id)
    topic = Topic(name, info.id)
    if place is not None and info.state in OVER:
        pages = desk.hub.missed(place, topic.has)
        if not any([page.updates async for page in pages]):
            return Response(status_code=204)
    begin = frame("job", snapshot(info), position) if place is None else b""
    if place is None and info.state in OVER:
        return Response(begin, media_type="text/event-stream", headers={"Cache-Control": "no-store"})
    return EventStream(desk.hub, topic.has, begin=begin, after=place or position, once=True)


@router.post("/tickets", summary="A ticket for a browser", status_code=201, dependencies=[READS])
async def tickets(request: Request) -> Response:
    """Return a ticket, good for one request within 30 seconds: a browser shows it as `?ticket=` in place of a key."""
    desk: Desk = desk_of(request)
    key: AccessKey = request.state.key
    ticket, life = await desk.gate.ticket(key)
    return answer({"ticket": ticket, "expires_in": life}, 201)


@router.websocket("/ws")
async def socket(connection: WebSocket) -> None:
    """Open a WebSocket, for any number of topics. A browser's page has to be of this site, or of an allowed one."""
    desk = desk_of(connection)
    await desk.gate.admit(connection, Scope.READ)
    check_origin(connection, desk.settings)
    found = Socket(desk)
    await found.join()
    leave_to(found, connection.scope)


def _stream(request: Request, topic: Topic, after: str | None) -> EventStream:
    return EventStream(desk_of(request).hub, topic.has, after=_after(request, after))


def _after(request: Request, given: str | None) -> str | None:
    """Return the place that the listener knows. A browser that comes back sends it as a header."""
    place = request.headers.get("last-event-id") or given
    if place is not None:
        try:
            check_position(place)
        except ValueError as error:
            raise wrong_parameter(str(error)) from None
    return place
