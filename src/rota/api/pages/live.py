"""Tells an open page that what it shows has changed: a word and no data, so that the page asks for itself again."""

import asyncio
from time import monotonic

from fastapi import APIRouter, Request, Response
from starlette.types import Receive, Scope, Send

from rota.api.desk import caller_of, desk_of
from rota.api.live.stream import HEADERS, EventStream, has_left, send_part
from rota.api.pages.frame import ROOT, Page
from rota.api.pages.visitors import OWN_SEES
from rota.api.unexpected import report

router = APIRouter(route_class=Page, prefix=ROOT, include_in_schema=False)

#: A page is told of changes at most so often, and when nothing happens at least so often, in seconds: ages grow.
SOONEST, LATEST = 1.0, 15.0
_CHANGED = b"event: changed\ndata: \n\n"


class Changes(EventStream):
    """A stream that says when something happened to a job, at most once a second."""

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
            await listener.wait(LATEST)
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


@router.get("/live", dependencies=[OWN_SEES])
async def live(request: Request) -> Response:
    """Tell the page when it has to look again."""
    key = caller_of(request)
    # A visitor whom a server in front names has no key that could end.
    return Changes(desk_of(request).hub, lambda update: key.sees(update.tenant), key=key if key.id else None)
