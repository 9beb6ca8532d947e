"""Server-sent events: an answer that goes on until the listener leaves, the job is over, or the process ends."""

import asyncio
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from rota.api.live.hub import Hub, Listener, behind
from rota.api.live.updates import Place, Update, Wanted, frame, place_of
from rota.errors import RotaError

#: A line is sent at least so often, so that proxies and dead connections are noticed, in seconds.
BEAT = 15.0
_BEAT = b": still here\n\n"
_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    # A proxy that collects an answer before it sends it would hold this one for ever.
    (b"x-accel-buffering", b"no"),
]


class EventStream(Response):
    """An answer that is sent bit by bit. It is an ASGI application of its own, so that a thousand of them stay small.

    :param wants: which updates are sent.
    :param begin: the frame that is sent first, if any.
    :param after: the place behind which the listener knows nothing; None: it wants what comes from now on.
    :param once: whether the stream ends with the end of a job.
    """

    def __init__(
        self, hub: Hub, wants: Wanted, *, begin: bytes = b"", after: str | None = None, once: bool = False
    ) -> None:
        super().__init__()
        self._hub = hub
        self._wants = wants
        self._begin = begin
        self._after = after
        self._once = once

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        listener = Listener(self._wants)
        begin = await self._hub.join(listener)
        gone = asyncio.ensure_future(_gone(receive, listener))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            place = await self._catch_up(send, begin)
            while place is not None and not gone.done() and not self._hub.is_closed:
                await listener.wait(BEAT)
                place = await self._pass_on(send, listener, place)
        finally:
            self._hub.leave(listener)
            gone.cancel()
        if not gone.cancelled():
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _catch_up(self, send: Send, begin: str) -> Place | None:
        """Send what the listener has missed; return the place that it knows then, or None at the end of its job."""
        first = frame("ready", {}, self._after or begin) + self._begin
        updates: list[Update] = []
        if self._after is not None:
            try:
                updates, has_gap = await self._hub.missed(self._after, self._wants)
            except RotaError:
                updates, has_gap = [], True
            if has_gap:
                first += frame("reset", {}, begin)
        await _send(send, first)
        return await self._send_all(
            send, updates, place_of(begin) if self._after is None else place_of(self._after)
        )

    async def _pass_on(self, send: Send, listener: Listener, place: Place) -> Place | None:
        updates = behind(listener.take(), place)
        if listener.is_lost:
            listener.is_lost = False
            await _send(send, frame("reset", {}))
        elif not updates:
            await _send(send, _BEAT)
        return await self._send_all(send, updates, place)

    async def _send_all(self, send: Send, updates: list[Update], place: Place) -> Place | None:
        if updates:
            await _send(send, b"".join(one.frame for one in updates))
            place = updates[-1].place
        return None if self._once and any(one.is_last for one in updates) else place


async def _send(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def _gone(receive: Receive, listener: Listener) -> None:
    """Wait until the connection of the listener is closed, and wake what sends to it."""
    message: Any = {}
    while message.get("type") != "http.disconnect":
        message = await receive()
    listener.wake()
