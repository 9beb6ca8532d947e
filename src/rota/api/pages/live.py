"""Tells an open page that what it shows has changed: a word and no data, so that the page asks for itself again."""

import asyncio
from time import monotonic

from fastapi import APIRouter, Request, Response
from starlette.types import Receive, Scope, Send

from rota.api.desk import caller_of, desk_of
from rota.api.live.hub import Hub, Listener
from rota.api.live.later import leave_to
from rota.api.live.stream import Stream, send_part
from rota.api.live.updates import Wanted
from rota.api.pages.frame import ROOT, Page
from rota.api.pages.visitors import OWN_SEES
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


class Changes(Stream):
    """A stream that says when something happened to a job, at most once a second.

    :param latest: it says so at least so often, in seconds, though nothing happened.
    """

    def __init__(self, hub: Hub, listener: Listener, latest: float) -> None:
        super().__init__(hub, listener)
        self._latest = latest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._hub.join(self._listener)
        leave_to(self, scope)

    async def _tell(self, receive: Receive, send: Send) -> None:
        listener = self._listener
        await send_part(send, b": ready\n\n")
        while True:
            await listener.wait(self._latest)
            listener.take()
            listener.is_lost = False
            if listener.is_over:
                return
            await send_part(send, _CHANGED)
            if await self._has_left(receive):
                return
            await asyncio.sleep(SOONEST)


class Pulse(Stream):
    """A stream that says whether anything happened at all, which Redis tells without any event being read.

    Ten open pages beside a busy worker cost it a quarter of its throughput while each event was read for them.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._hub.watch(self._listener)
        leave_to(self, scope)

    async def _tell(self, receive: Receive, send: Send) -> None:
        seen = await self._newest("")
        # What happens first is told at once.
        told = monotonic() - PACE
        await send_part(send, b": ready\n\n")
        while True:
            await self._listener.wait(SOONEST)
            if self._listener.is_over:
                return
            newest, now = await self._newest(seen), monotonic()
            if (newest != seen and now >= told + PACE) or now >= told + LATEST:
                seen, told = newest, now
                await send_part(send, _CHANGED)
            if await self._has_left(receive):
                return

    async def _newest(self, otherwise: str) -> str:
        try:
            return await self._hub.newest()
        except RotaError:
            # The page finds out by itself that Redis is away, when it asks the next time.
            return otherwise


@router.get("/live", dependencies=[OWN_SEES])
async def live(
    request: Request,
    queue: str = "",
    id: str = "",  # noqa: A002 - in the address
    runs: bool = False,
) -> Response:
    """Tell the page when it has to look again; with a queue and an id one that is about that job alone."""
    hub, key = desk_of(request).hub, caller_of(request)
    # A visitor whom a server in front names has no key that could end.
    own = key if key.id else None
    # What others' jobs do is not for a tenant, not even that it happens.
    if not id and key.tenant is None:
        return Pulse(hub, Listener(lambda _: False, own))
    return Changes(hub, Listener(wanted(key, queue, id), own), LATEST_OF_RUNNING if runs else LATEST)


def wanted(key: AccessKey, queue: str, job_id: str) -> Wanted:
    """Return which updates are told to the holder of a key: of one job, or without an id, of all."""
    if not job_id:
        return lambda update: key.sees(update.tenant)
    return lambda update: (update.queue, update.id) == (queue, job_id) and key.sees(update.tenant)
