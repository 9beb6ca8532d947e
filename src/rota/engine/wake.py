"""How an idle worker learns of work: a token in a list, and a watcher that turns stock clients' enqueues into tokens.

If every change woke every worker, all would step at once. So an enqueue leaves at most one token, which wakes one idle
worker, and a step that leaves due jobs behind passes the token on. Stock clients leave no token: for them one worker of
each queue holds the watcher's role, hears from Redis of every change to the queue's set, and leaves the token in their
place.
"""

import asyncio
import logging
import random
from typing import Any, Protocol

from rota.engine.link import QueueLink
from rota.engine.tokens import Tokens
from rota.process.tasks import end
from rota.server.failover.following import has_left
from rota.server.outage import FAULTS

logger = logging.getLogger("rota.wake")

#: An idle worker looks at its queue by itself this often, in seconds: it covers a receiver that died with the token.
POLL = 3.0
#: How long the watcher's role lasts, and how often it is sought or renewed, in seconds.
ROLE_LIFE = 25.0
ROLE_EVERY = 12.0
#: A change that may be ours or a stock client's is looked into after this many seconds, with all that come meanwhile.
DOUBT = 0.05
#: A worker that passes tokens on because its process is full takes one at most this often, in seconds.
BREATH = 0.1


class Sleeper(Protocol):
    """An engine, as its waker sees it."""

    async def ready(self) -> None:
        """Wait until the engine could start a job and believes in none."""

    @property
    def has_free_slot(self) -> bool:
        """Whether the engine takes jobs, and a slot of the queue is free."""

    @property
    def held_back(self) -> bool:
        """Whether other queues have taken all slots of the process."""

    def look(self, polled: bool = False) -> None:
        """Believe that due jobs wait: a token came, or, if `polled`, a quiet interval has passed."""


class Poller:
    """Looks now and then whether anything is in the queue, for a token that was lost with its receiver.

    :param link: the way to the queue.
    :param engine: the engine that is woken.
    :param poll: look this often, in seconds.
    """

    def __init__(self, link: QueueLink, engine: Sleeper, poll: float = POLL) -> None:
        self._queue = link.scripts.keys.queue
        self._redis = link.redis
        self._outage = link.outage
        self._engine = engine
        self._poll = poll

    async def run(self) -> None:
        """Look, and wake the engine where there are jobs, until cancelled."""
        while True:
            await asyncio.sleep(self._poll * (0.9 + 0.2 * random.random()))  # noqa: S311 - spreads polls
            await self._look()

    async def _look(self) -> None:
        while True:
            await self._engine.ready()
            try:
                # An empty queue has no key. An idle worker finds that out by one command; a step would be three.
                found = await self._redis.execute_command("EXISTS", self._queue)
            except FAULTS as error:
                await self._outage.pause(error)
                continue
            if found:
                self._engine.look(polled=True)
            else:
                self._outage.over()
            return


class Waker:
    """Waits for tokens whenever its engine could take a job.

    :param link: the way to the queue.
    :param tokens: where it waits.
    :param engine: the engine that is woken.
    :param poll: how often workers look by themselves, in seconds: only what is due before is worth a token.
    """

    def __init__(self, link: QueueLink, tokens: Tokens, engine: Sleeper, poll: float = POLL) -> None:
        self._scripts = link.scripts
        self._redis = link.redis
        self._outage = link.outage
        self._tokens = tokens
        self._engine = engine
        self._poll = poll

    async def run(self) -> None:
        """Wait for tokens, and wake the engine, until cancelled."""
        try:
            while True:
                await self._engine.ready()
                try:
                    await self._turn()
                except FAULTS as error:
                    await self._outage.pause(error)
        finally:
            self._tokens.leave(self._scripts.keys.wake)

    async def _turn(self) -> None:
        # The wait outlasts the looks of the poller, as the end of each is a command; so it may begin again for nothing.
        if not await self._tokens.wait(self._scripts.keys.wake, self._tokens.longest, self._pass_on):
            return
        if not self._engine.has_free_slot:
            # The slots filled while we waited: another worker should have the token.
            await self._pass_on()
        elif self._engine.held_back:
            # Another process may have a slot. This engine remembers that there is work, until it is its turn.
            self._engine.look()
            await self._pass_on()
            await asyncio.sleep(BREATH)
        else:
            self._engine.look()

    async def _pass_on(self) -> None:
        await self._scripts.nudge(self._redis, self._poll)


class Watcher:
    """Seeks the watcher's role of one queue, and hears of changes to the queue's set while it `holds` the role.

    Redis sends one message for all keys that one turn of its own loop changed. A message that names the wake list or
    the active set is (also) about a change of ours; it is looked into a moment later, once for all that arrived. A
    message about the queue alone is a stock client's. A message may also name `beside`, a key that another part of the
    worker looks into: each time that it may have changed, if this worker has the role, `beside_changed` is set.
    """

    def __init__(self, link: QueueLink) -> None:
        self._scripts = link.scripts
        self._redis = link.redis
        self._outage = link.outage
        self._doubt: asyncio.TimerHandle | None = None
        self._nudges: set[asyncio.Task[None]] = set()
        self._queue = link.scripts.keys.queue.encode()
        self._ours = {link.scripts.keys.wake.encode(), link.scripts.keys.active.encode()}
        self.beside = link.scripts.keys.queue
        self.beside_changed = False
        self.holds = False

    async def run(self) -> None:
        """Seek or hold the role until cancelled."""
        try:
            while True:
                try:
                    self.holds = await self._scripts.watch(self._redis, ROLE_LIFE)
                    if self.holds:
                        await self._serve()
                    if self.holds:
                        continue  # at another server, which is the primary now
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
        await self._scripts.watch(self._redis, 0)

    async def _serve(self) -> None:
        connection = self._redis.connection_pool.make_connection()
        try:
            await self._track(connection)
            listening = asyncio.create_task(self._listen(connection))
            try:
                while self.holds and not listening.done() and not await has_left(connection):
                    await asyncio.wait({listening}, timeout=ROLE_EVERY)
                    self.holds = await self._keep()
                if listening.done():
                    listening.result()
            finally:
                await end({listening})
        finally:
            await connection.disconnect(nowait=True)

    async def _keep(self) -> bool:
        """Renew the role, or take it again where it has ended; tell whether this worker has it."""
        kept = await self._scripts.keep_watching(self._redis, ROLE_LIFE)
        return kept or await self._scripts.watch(self._redis, ROLE_LIFE)

    async def _track(self, connection: Any) -> None:
        # In RESP3 the messages would arrive as pushes, and not as replies to read.
        connection.protocol = 2
        await connection.connect()
        await connection.send_command("CLIENT", "ID")
        own = await connection.read_response()
        tracking = ("CLIENT", "TRACKING", "ON", "REDIRECT", own, "BCAST")
        await connection.send_command(*tracking, *self._prefixes())
        await connection.read_response()
        await connection.send_command("SUBSCRIBE", "__redis__:invalidate")
        await connection.read_response()
        # Silence is the ordinary case here; a dead peer is noticed by keepalive, and when the role is renewed.
        connection.socket_timeout = None
        # Nothing was heard of what was enqueued before we listened.
        self._nudge()
        self.beside_changed = True

    def _prefixes(self) -> tuple[str, ...]:
        # Redis refuses a prefix that begins another.
        short, long = sorted((self._scripts.keys.queue, self.beside), key=len)
        return ("PREFIX", short) if long.startswith(short) else ("PREFIX", short, "PREFIX", long)

    async def _listen(self, connection: Any) -> None:
        while True:
            message = await connection.read_response(timeout=None)
            keys = set(message[2] or ()) if message and message[0] == b"message" else set()
            if self.beside.encode() in keys:
                self.beside_changed = True
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
            await self._scripts.nudge(self._redis, POLL)
        except FAULTS as error:
            # The poll covers it, and the outage is logged by the parts that must get through.
            logger.debug("wake.not_nudged", extra={"error": str(error)})
