"""How an idle worker learns of work: a token in a list, and a watcher who turns foreign changes into tokens.

Telling every worker of every change is a herd. So an enqueue leaves at most one token, and one idle worker takes it;
whoever leaves due jobs behind passes the token on. Stock clients leave no token: for them one worker a queue holds the
watcher's role, hears from Redis of every change to the queue's set, and leaves the token in their place.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Any

from rota.process.tasks import end
from rota.server.outage import FAULTS, Outage
from rota.wire.queue import QueueScripts

logger = logging.getLogger("rota.wake")

#: An idle worker looks by itself this often, seconds: it covers a receiver that died with the token.
POLL = 3.0
#: The watcher's role: how long it lasts, and how often it is sought or renewed, seconds.
ROLE_LIFE = 25.0
ROLE_EVERY = 10.0
#: A change that may have been ours or foreign is looked into after this, seconds.
DOUBT = 0.05
#: Who passes tokens on, because its process is full, takes one at most this often, seconds.
BREATH = 0.1


class Waker:
    """Blocks on the wake list whenever the worker could take a job.

    `ready` is awaited until the worker has a free slot; `wake(polled)` is told of a token (False) or of a quiet
    interval (True); `free` says whether a slot is still free when the token arrives; `held_back`, whether other queues
    of the process have the slots that this one could use.
    """

    def __init__(
        self,
        protocol: QueueScripts,
        redis: Any,
        *,
        ready: Callable[[], Any],
        free: Callable[[], bool],
        held_back: Callable[[], bool],
        wake: Callable[[bool], None],
        outage: Outage,
        poll: float = POLL,
    ) -> None:
        self._protocol = protocol
        self._redis = redis
        self._ready = ready
        self._free = free
        self._held_back = held_back
        self._wake = wake
        self._outage = outage
        self._poll = poll

    async def run(self) -> None:
        """Until cancelled."""
        key = self._protocol.keys.wake
        while True:
            await self._ready()
            timeout = self._poll * (0.9 + 0.2 * random.random())  # noqa: S311 - spreads polls
            try:
                token = await self._redis.execute_command("BLPOP", key, f"{timeout:.3f}")
                if token is not None and not self._free():
                    # The slots filled while we waited: another worker should have it.
                    await self._protocol.nudge(self._redis, self._poll)
                    continue
                if token is not None and self._held_back():
                    # Another process may have a slot. We keep in mind that there is work, for when it is our turn.
                    self._wake(False)
                    await self._protocol.nudge(self._redis, self._poll)
                    await asyncio.sleep(BREATH)
                    continue
            except FAULTS as error:
                await self._outage.pause(error)
                continue
            self._wake(token is None)


class Watcher:
    """Seeks the watcher's role of one queue; while it holds it, hears of changes to the queue's set.

    Redis sends one message for all keys that one turn of its own loop changed. A message that names the wake list or
    the active set is (also) about a change of ours; it is looked into a moment later, once for all that arrived. A
    message about the queue alone is a stock client's.
    """

    def __init__(self, protocol: QueueScripts, redis: Any, *, outage: Outage) -> None:
        self._protocol = protocol
        self._redis = redis
        self._outage = outage
        self._doubt: asyncio.TimerHandle | None = None
        self._nudges: set[asyncio.Task[None]] = set()
        self._queue = protocol.keys.queue.encode()
        self._ours = {protocol.keys.wake.encode(), protocol.keys.active.encode()}
        self.holds = False

    async def run(self) -> None:
        """Until cancelled; gives the role up then."""
        try:
            while True:
                try:
                    self.holds = await self._protocol.watch(self._redis, ROLE_LIFE)
                    if self.holds:
                        await self._serve()
                except FAULTS as error:
                    await self._outage.pause(error)
                    continue
                finally:
                    self.holds = False
                await asyncio.sleep(ROLE_EVERY * (0.8 + 0.4 * random.random()))  # noqa: S311 - spreads seekers
        finally:
            if self._doubt is not None:
                self._doubt.cancel()

    async def resign(self) -> None:
        """Let another worker have the role at once."""
        await self._protocol.watch(self._redis, 0)

    async def _serve(self) -> None:
        connection = self._redis.connection_pool.make_connection()
        try:
            await self._track(connection)
            listening = asyncio.create_task(self._listen(connection))
            try:
                while self.holds and not listening.done():
                    await asyncio.wait({listening}, timeout=ROLE_EVERY)
                    self.holds = await self._protocol.watch(self._redis, ROLE_LIFE)
                if listening.done():
                    listening.result()
            finally:
                await end({listening})
        finally:
            await connection.disconnect(nowait=True)

    async def _track(self, connection: Any) -> None:
        # RESP3 would push the messages past us.
        connection.protocol = 2
        await connection.connect()
        await connection.send_command("CLIENT", "ID")
        own = await connection.read_response()
        queue = self._protocol.keys.queue
        await connection.send_command("CLIENT", "TRACKING", "ON", "REDIRECT", own, "BCAST", "PREFIX", queue)
        await connection.read_response()
        await connection.send_command("SUBSCRIBE", "__redis__:invalidate")
        await connection.read_response()
        # Silence is the ordinary case here; a dead peer is noticed by keepalive, and by the role's renewal.
        connection.socket_timeout = None
        # What was enqueued before we listened came with nobody to hear it.
        self._nudge()

    async def _listen(self, connection: Any) -> None:
        while True:
            message = await connection.read_response(timeout=None)
            keys = set(message[2] or ()) if message and message[0] == b"message" else set()
            if self._queue not in keys:
                continue
            if keys & self._ours:
                self._look_later()
            else:
                self._nudge()

    def _look_later(self) -> None:
        if self._doubt is None:
            self._doubt = asyncio.get_running_loop().call_later(DOUBT, self._looked)

    def _looked(self) -> None:
        self._doubt = None
        self._nudge()

    def _nudge(self) -> None:
        task = asyncio.create_task(self._leave_token())
        self._nudges.add(task)
        task.add_done_callback(self._nudges.discard)

    async def _leave_token(self) -> None:
        try:
            await self._protocol.nudge(self._redis, POLL)
        except FAULTS as error:
            # The poll covers it; the outage is told of by those who must get through.
            logger.debug("wake.not_nudged", extra={"error": str(error)})
