"""Tells an open page that what it shows has changed: a word and no data, so that the page asks for itself again."""

import asyncio
from collections.abc import Callable
from time import monotonic

from fastapi import APIRouter, Request, Response
from starlette.types import Receive, Scope, Send

from rota.api.desk import caller_of, desk_of
from rota.api.live.later import leave_to
from rota.api.live.stream import HEADERS, EventStream, has_left, send_part
from rota.api.live.updates import Update
from rota.api.pages.frame import ROOT, Page
from rota.api.pages.visitors import OWN_SEES
from rota.api.unexpected import report
from rota.errors import RotaError
from rota.model.access.keys import AccessKey

router = APIRouter(route_class=Page, prefix=ROOT, include_in_schema=False)

#: A page is told of changes at most so often, and when nothing happens at least so often, in seconds: ages grow.
SOONEST, LATEST = 1.0, 15.0
#: Where something happens all the time, a page of all jobs is told so often, in seconds: it asks for all of itself.
PACE = 2.0
#: A page of a job that runs, at least so often: of what it logs no event tells.
LATEST_OF_RUNNING = 3.0
_CHANGED = b"event: changed\ndata: \n\n"


class Changes(EventStream):
    """A stream that says when something happened to a job, at most once a second."""

    latest = LATEST

    async def run(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send a word for each change, for as long as the page is open."""
        try:
            await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
            await self._tell(receive, send)
        except Exception as error:
            report(scope["method"], scope["path"], error)
            return
        finally:
            self._hub.leave(self._listener)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _tell(self, receive: Receive, send: Send) -> None:
        listener, looked = self._listener, monotonic()
        await send_part(send, b": ready\n\n")
        while True:
            await listener.wait(self.latest)
            listener.take()
            listener.is_lost = False
            if listener.is_over:
                return
            await send_part(send, _CHANGED)
            if monotonic() >= looked + LATEST:
                looked = monotonic()
                if await has_left(receive):
                    return
            await asyncio.sleep(SOONEST)


class Pulse(Changes):
    """A stream that says whether anything happened at all, which Redis tells without any event being read.

    Ten open pages beside a busy worker cost it a quarter of its throughput while each event was read for them.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._hub.watch(self._listener)
        leave_to(self, scope)

    async def _tell(self, receive: Receive, send: Send) -> None:
        listener, seen = self._listener, await self._newest("")
        looked = monotonic()
        # What happens first is told at once.
        told = looked - PACE
        await send_part(send, b": ready\n\n")
        while True:
            await listener.wait(SOONEST)
            if listener.is_over:
                return
            newest, now = await self._newest(seen), monotonic()
            if (newest != seen and now >= told + PACE) or now >= told + self.latest:
                seen, told = newest, now
                await send_part(send, _CHANGED)
            if now >= looked + LATEST:
                looked = now
                if await has_left(receive):
                    return

    async def _newest(self, otherwise: str) -> str:
        try:
            return await self._hub.newest()
        except RotaError:
            # The page finds out by itself that Redis is away, when it asks the next time.
            return otherwise


class ChangesOfRunning(Changes):
    """The stream of a page about a job that runs."""

    latest = LATEST_OF_RUNNING


@router.get("/live", dependencies=[OWN_SEES])
async def live(
    request: Request,
    queue: str = "",
    id: str = "",  # noqa: A002 - in the address
    runs: bool = False,
) -> Response:
    """Tell the page when it has to look again; with a queue and an id one that is about that job alone."""
    key = caller_of(request)
    # What others' jobs do is not for a tenant, not even that it happens.
    is_of_all = not id and key.tenant is None
    kind = Pulse if is_of_all else ChangesOfRunning if runs else Changes
    # A visitor whom a server in front names has no key that could end.
    return kind(desk_of(request).hub, wanted(key, queue, id), key=key if key.id else None)


def wanted(key: AccessKey, queue: str, job_id: str) -> Callable[[Update], bool]:
    """Return which updates are told to the holder of a key: of one job, or without an id, of all."""
    if not job_id:
        return lambda update: key.sees(update.tenant)
    return lambda update: (update.queue, update.id) == (queue, job_id) and key.sees(update.tenant)
