"""A WebSocket: one connection for any number of topics, which its listener takes up and leaves by messages."""

import asyncio
import contextlib
from dataclasses import replace
from time import monotonic
from typing import Any

from pydantic_core import to_json
from starlette.types import Receive, Scope, Send

from rota.api.desk import Desk
from rota.api.live.hub import Listener
from rota.api.live.topics import Command, Topic, read_command
from rota.api.live.updates import Place, Update, place_of, snapshot
from rota.api.problems import Problem, problem_of
from rota.api.unexpected import report
from rota.errors import RotaError
from rota.model.access.keys import AccessKey

#: The most topics of one socket.
MOST_TOPICS = 100
#: The most messages that may come at once, and the rate of further ones, a second.
BURST, RATE = 100, 10.0
#: The largest message, in bytes. The server of an application that has mounted the API may take larger ones.
LARGEST_MESSAGE = 64 * 1024
#: Why a socket is closed, as RFC 6455 numbers it: the process ends; it is flooded, or its key has ended; a message is
#: too large; a bug.
_GOING, _REFUSED, _TOO_LARGE, _FAILED = 1001, 1008, 1009, 1011


class Socket(Listener):
    """One who listens over a WebSocket. While nothing happens, it has one task, that of the server."""

    __slots__ = (
        "_allowance",
        "_desk",
        "_is_held",
        "_key",
        "_position",
        "_refilled",
        "_send",
        "_sending",
        "_topics",
    )

    def __init__(self, desk: Desk, key: AccessKey) -> None:
        super().__init__(self._wants_any, key)
        self._key = key
        self._send: Any = None
        self._desk = desk
        self._position = ""
        #: What it listens to, each with the place behind which it was told nothing of it.
        self._topics: dict[Topic, Place] = {}
        #: The task that sends updates, while there are any.
        self._sending: asyncio.Task[None] | None = None
        #: Whether updates are to wait until what was missed is sent.
        self._is_held = False
        self._allowance, self._refilled = float(BURST), monotonic()

    async def join(self) -> None:
        """Hear of all that happens from now on. Raises ServerError."""
        self._position = await self._desk.hub.join(self)

    async def run(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer messages, and send updates, until either side closes."""
        self._send = send
        try:
            await receive()
            await send({"type": "websocket.accept"})
            # The server reads nothing of it any more.
            scope.clear()
            await self._say("ready", {}, id=self._position)
            self.wake()
            # Not in a function of its own, whose frame each socket would have.
            while (got := await receive())["type"] != "websocket.disconnect":
                if not self._is_allowed():
                    await self._close(_REFUSED, f"more than {RATE:.0f} messages a second")
                    break
                if len(got.get("text") or "") > LARGEST_MESSAGE:
                    await self._close(_TOO_LARGE, f"more than {LARGEST_MESSAGE} bytes in a message")
                    break
                await self._answer(got.get("text"))
        except OSError:
            # The listener has left amid a message.
            pass
        except Exception as error:
            await self._fail(error)
        finally:
            self._desk.hub.leave(self)
            if self._sending is not None:
                self._sending.cancel()

    def _is_allowed(self) -> bool:
        """Tell whether another message may come now, and count it."""
        now = monotonic()
        self._allowance = min(BURST, self._allowance + (now - self._refilled) * RATE) - 1
        self._refilled = now
        return self._allowance >= 0

    async def _answer(self, text: str | None) -> None:
        command: Command | None = None
        try:
            command = read_command(text)
            command = replace(command, topic=command.topic.seen_by(self._key))
            if command.leaves:
                self._topics.pop(command.topic, None)
                await self._say("unsubscribed", command.topic.shown())
            else:
                await self._take_up(command)
        except (Problem, RotaError) as error:
            problem = problem_of(error)
            if problem is None:
                raise
            await self._say("error", problem.body(), **({"of": command.topic.shown()} if command else {}))

    async def _take_up(self, command: Command) -> None:
        """Add a topic, and send what was missed of it before what happens now. Raises Problem, RotaError."""
        if len(self._topics) >= MOST_TOPICS and command.topic not in self._topics:
            detail = f"a socket has at most {MOST_TOPICS} topics; leave one, or open another socket"
            raise Problem(409, "too-many-topics", "The socket has too many topics", detail)
        self._is_held = True
        try:
            await self._begin(command)
        except BaseException:
            self._topics.pop(command.topic, None)
            raise
        finally:
            self._is_held = False
            self.wake()

    async def _begin(self, command: Command) -> None:
        topic, position, info = command.topic, self._desk.hub.position, None
        if topic.queue is not None and topic.id is not None:
            position = await self._desk.client.event_position()
            self._topics[topic] = place_of(position)
            own_id = await self._desk.own_id(self._key, topic.queue, topic.id)
            info = await self._desk.client.status(topic.queue, own_id)
        self._topics[topic] = place_of(command.after or position)
        await self._say("subscribed", topic.shown(), id=command.after or position)
        if command.after is not None:
            await self._catch_up(topic, command.after)
        elif info is not None:
            await self._say("job", snapshot(info), id=position)
        if info is not None and info.state.is_over:
            await self._end(topic)

    async def _catch_up(self, topic: Topic, after: str) -> None:
        # What it loses meanwhile is read for this topic alone.
        listener = self if len(self._topics) == 1 else None
        async for page in self._desk.hub.missed(after, topic.has, listener):
            if page.has_gap:
                await self._say("reset", {})
            for update in page.updates:
                await self._tell(update, [topic])

    def wake(self) -> None:
        """Begin to send what waits, in a task that ends with it."""
        if self._sending is None and self._send and (self.is_over or not self._is_held):
            self._sending = asyncio.get_running_loop().create_task(self._pass_on())

    async def _pass_on(self) -> None:
        try:
            while not self.is_over and not self._is_held and (self._waiting or self.is_lost):
                updates = self.take()
                if self.is_lost:
                    self.is_lost = False
                    if self._topics:
                        await self._say("reset", {})
                for update in updates:
                    await self._tell(update, [one for one in self._topics if one.has(update)])
            if self.is_over:
                going = _GOING, "the API stops"
                await self._close(*(going if self._desk.hub.is_closed else (_REFUSED, "the key has ended")))
        except OSError:
            # Its own task is told so as well, and ends.
            pass
        except Exception as error:
            await self._fail(error)
        finally:
            self._sending = None

    async def _tell(self, update: Update, topics: list[Topic]) -> None:
        """Send an update once, if it is news of one of the topics; a job that is over is a topic no more."""
        news = [one for one in topics if self._topics.get(one, update.place) < update.place]
        if not news:
            return
        await self._send({"type": "websocket.send", "text": update.message})
        for topic in news:
            self._topics[topic] = update.place
            if topic.id is not None and update.is_last:
                await self._end(topic)

    async def _end(self, topic: Topic) -> None:
        if self._topics.pop(topic, None) is not None:
            await self._say("ended", topic.shown())

    async def _say(self, kind: str, data: dict[str, Any], **others: Any) -> None:
        text = to_json({"event": kind, **others, "data": data}).decode()
        await self._send({"type": "websocket.send", "text": text})

    async def _close(self, code: int, reason: str) -> None:
        await self._send({"type": "websocket.close", "code": code, "reason": reason})

    async def _fail(self, error: Exception) -> None:
        report("WEBSOCKET", "/ws", error)
        with contextlib.suppress(Exception):
            await self._close(_FAILED, "an error in the API itself; its log has it as api.failed")

    def _wants_any(self, update: Update) -> bool:
        return any(topic.has(update) for topic in self._topics)
