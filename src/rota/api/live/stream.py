"""Server-sent events: answers that go on until the listener leaves, the job is over, or the process ends."""

import asyncio
from abc import ABC, abstractmethod
from time import monotonic

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from rota.api.live.hub import Hub, Listener, behind
from rota.api.live.later import leave_to
from rota.api.live.origins import headers_for
from rota.api.live.updates import Place, Update, Wanted, frame, place_of
from rota.api.unexpected import report
from rota.errors import RotaError
from rota.model.access.keys import AccessKey

#: A line is sent at least so often, so that proxies and dead connections are noticed, in seconds.
BEAT = 15.0
HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    # A proxy that collects an answer before it sends it would hold this one for ever.
    (b"x-accel-buffering", b"no"),
]


class Stream(Response, ABC):
    """An answer that is sent bit by bit. It is an ASGI application of its own, so that a thousand of them stay small.

    Each kind of it says in `__call__` how its listener comes to the hub, and in `_tell` what is sent.
    """

    def __init__(self, hub: Hub, listener: Listener) -> None:
        super().__init__()
        self._hub = hub
        self._listener = listener
        self._looked = monotonic()

    async def run(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer bit by bit, for as long as it goes on."""
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self._head(scope)})
            await self._tell(receive, send)
        except Exception as error:
            report(scope["method"], scope["path"], error)
            return
        finally:
            self._hub.leave(self._listener)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _head(self, scope: Scope) -> list[tuple[bytes, bytes]]:
        return HEADERS

    @abstractmethod
    async def _tell(self, receive: Receive, send: Send) -> None: ...

    async def _has_left(self, receive: Receive) -> bool:
        """Tell, now and then, whether the connection is closed. A task that waits for that would double the stream."""
        now = monotonic()
        if now < self._looked + BEAT:
            return False
        self._looked = now
        try:
            async with asyncio.timeout(0.001):
                while (await receive())["type"] != "http.disconnect":
                    pass
        except TimeoutError:
            return False
        return True


class EventStream(Stream):
    """The updates of jobs, until the listener leaves or the job is over.

    :param wants: which updates are sent.
    :param begin: the frame that is sent first, if any.
    :param after: the place behind which the listener knows nothing; None: it wants what comes from now on.
    :param once: whether the stream ends with the end of a job.
    :param key: the key of the listener, with which the stream ends too.
    """

    def __init__(
        self,
        hub: Hub,
        wants: Wanted,
        *,
        begin: bytes = b"",
        after: str | None = None,
        once: bool = False,
        key: AccessKey | None = None,
    ) -> None:
        super().__init__(hub, Listener(wants, key))
        self._wants = wants
        self._position = ""
        self._begin = begin
        self._after = after
        self._once = once

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._position = await self._hub.join(self._listener)
        leave_to(self, scope)

    def _head(self, scope: Scope) -> list[tuple[bytes, bytes]]:
        return HEADERS + headers_for(scope, self._hub.origins)

    async def _tell(self, receive: Receive, send: Send) -> None:
        listener = self._listener
        place = await self._catch_up(send, self._position)
        while place is not None and not listener.is_over:
            await listener.wait(BEAT)
            place = await self._pass_on(send, listener, place)
            if await self._has_left(receive):
                return

    async def _catch_up(self, send: Send, begin: str) -> Place | None:
        """Send what the listener has missed; return the place that it knows then, or None at the end of its job."""
        await send_part(send, frame("ready", {}, self._after or begin) + self._begin)
        if self._after is None:
            return place_of(begin)
        place: Place | None = place_of(self._after)
        try:
            async for page in self._hub.missed(self._after, self._wants, self._listener):
                if page.has_gap:
                    await send_part(send, frame("reset", {}))
                place = await self._send_all(send, page.updates, place) if place else None
        except RotaError:
            await send_part(send, frame("reset", {}))
        return place

    async def _pass_on(self, send: Send, listener: Listener, place: Place) -> Place | None:
        position, updates = self._hub.position, behind(listener.take(), place)
        if listener.is_lost:
            listener.is_lost = False
            await send_part(send, frame("reset", {}))
        elif not updates:
            # The place without an event moves what a browser sends as Last-Event-ID on, and nothing else.
            await send_part(send, f"id: {position}\n: still here\n\n".encode())
        return await self._send_all(send, updates, place)

    async def _send_all(self, send: Send, updates: list[Update], place: Place) -> Place | None:
        if updates:
            await send_part(send, b"".join(one.frame for one in updates))
            place = updates[-1].place
        return None if self._once and any(one.is_last for one in updates) else place


async def send_part(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})
