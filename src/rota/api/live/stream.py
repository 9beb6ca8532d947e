"""Server-sent events: an answer that goes on until the listener leaves, the job is over, or the process ends."""

import asyncio
from time import monotonic

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from rota.api.live.hub import Hub, Listener, behind
from rota.api.live.updates import Place, Update, Wanted, frame, place_of
from rota.api.unexpected import Unexpected
from rota.errors import RotaError

#: A line is sent at least so often, so that proxies and dead connections are noticed, in seconds.
BEAT = 15.0
_BEAT = b": still here\n\n"
#: Where a request has the stream that is to answer it.
_LATER = "rota.stream"
#: What the server itself still reads of a request while it is answered.
_OF_SERVER = {"type", "method", "path", "query_string", "http_version", "client", "scheme", "headers"}
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
        self._listener = Listener(wants)
        self._position = ""
        self._begin = begin
        self._after = after
        self._once = once

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Sent by `answer_later`, behind the framework: what that holds for a request is twice as large as the stream.
        self._position = await self._hub.join(self._listener)
        scope[_LATER] = self

    async def run(self, _: Scope, receive: Receive, send: Send) -> None:
        """Send the answer bit by bit, for as long as it goes on."""
        listener, looked = self._listener, monotonic()
        try:
            await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            place = await self._catch_up(send, self._position)
            while place is not None and not self._hub.is_closed:
                await listener.wait(BEAT)
                place = await self._pass_on(send, listener, place)
                if monotonic() >= looked + BEAT:
                    looked = monotonic()
                    if await _has_left(receive):
                        return
        finally:
            self._hub.leave(listener)
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


async def answer_later(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Let an application answer, and then, when it holds nothing of the request any more, send the stream it chose."""
    await app(scope, receive, send)
    stream = scope.pop(_LATER, None)
    if isinstance(stream, EventStream):
        for name in scope.keys() - _OF_SERVER:
            del scope[name]
        await Unexpected(stream.run)(scope, receive, send)


async def _send(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def _has_left(receive: Receive) -> bool:
    """Tell whether the connection of the listener is closed. A task that waits for that would double the stream."""
    try:
        async with asyncio.timeout(0.001):
            while (await receive())["type"] != "http.disconnect":
                pass
    except TimeoutError:
        return False
    return True
