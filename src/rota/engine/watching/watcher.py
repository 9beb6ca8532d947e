"""The watcher of a queue: it hears of changes to the queue's set, and leaves a wake token in stock clients' place.

One worker of each queue has this role. What Redis tells of a key is told once, until the key is read again: a queue at
which this worker's own steps look all the time is left to them, and costs no message and no command.
"""

import asyncio
import logging
import math
import random
from typing import Protocol

from rota.engine.link import QueueLink
from rota.engine.wake import POLL
from rota.engine.watching.changes import Changes, Ear
from rota.process.tasks import end
from rota.server.outage import FAULTS

logger = logging.getLogger("rota.wake")

#: How long the watcher's role lasts, and how often it is sought or renewed, in seconds.
ROLE_LIFE = 25.0
ROLE_EVERY = 12.0
#: The keys of a queue are read again this many seconds after a change. After a change of ours this worker's steps may
#: look at the queue again and again: then the pause is repeated until none is to come, twice as long each time, up to
#: DOUBT, and in all LONGEST_PAUSE at most. A busy worker of one queue sends some five such commands for 20,000 jobs.
PAUSE = 0.002
LONGEST_PAUSE = 1.0
#: What came while the keys had changed and were not read again is looked into after this many seconds.
DOUBT = 0.05


class Looker(Protocol):
    """The engine of a worker, as its watcher sees it. `claims` is how many of its steps have asked for jobs so far."""

    claims: int

    @property
    def wants_slot(self) -> bool:
        """Whether a step that asks for jobs is under way, or to come soon."""


class Watcher:
    """Seeks the watcher's role of one queue, and hears of changes to the queue's set while it `holds` the role.

    What a script of ours changes is told together: with the queue come the wake list or the active set. Then there is a
    token, or a worker that looks. A change to the queue alone is a stock client's, and gets a token at once. A change
    may also be told of `beside`, a key that another part of the worker looks into: each time that it may have changed,
    if this worker has the role, `beside_changed` is set.

    :param link: the way to the queue.
    :param looker: the engine of this worker.
    """

    def __init__(self, link: QueueLink, looker: Looker) -> None:
        self._scripts = link.scripts
        self._redis = link.redis
        self._outage = link.outage
        self._changes = link.changes or Changes(link.redis)
        self._looker = looker
        self._queue = self.beside = link.scripts.keys.queue
        self._ours = {link.scripts.keys.wake, link.scripts.keys.active}
        self._keys = (self._queue, *self._ours)
        self.beside_changed = False
        self.holds = False

    async def run(self) -> None:
        """Seek or hold the role until cancelled."""
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

    async def resign(self) -> None:
        """Let another worker have the role at once."""
        await self._scripts.watch(self._redis, 0)

    async def _serve(self) -> None:
        async with self._changes.of(*self._keys, self.beside) as ear:
            listening = asyncio.create_task(self._listen(ear))
            try:
                while self.holds and not listening.done() and not await ear.has_left():
                    await asyncio.wait({listening}, timeout=ROLE_EVERY)
                    self.holds = await self._keep()
                if listening.done():
                    listening.result()
            finally:
                await end({listening})

    async def _keep(self) -> bool:
        """Renew the role, or take it again where it has ended; tell whether this worker has it."""
        kept = await self._scripts.keep_watching(self._redis, ROLE_LIFE)
        return kept or await self._scripts.watch(self._redis, ROLE_LIFE)

    async def _listen(self, ear: Ear) -> None:
        """Hear of changes until cancelled. Raises redis-py's errors where the connection fails."""
        now = asyncio.get_running_loop().time
        # Nothing was heard of what came before the first time that the keys are read.
        changed, look_at, claims = {self.beside, *self._keys}, now(), 0
        while True:
            if self.beside in changed:
                await ear.read(self.beside)
                self.beside_changed = True
            if not changed.isdisjoint(self._keys):
                # Where none is there, nothing waits.
                look_at = look_at if await ear.read(*self._keys) else math.inf
                claims = self._looker.claims
            while not (changed := await ear.changes(look_at - now() if look_at < math.inf else None)):
                # A step that this worker has sent since then has looked, and has passed a token on for what it left.
                if self._looker.claims == claims:
                    await self._nudge()
                look_at = math.inf
            is_strange = self._queue in changed and not changed & self._ours
            if is_strange:
                await self._nudge()
            changed |= await self._pause(ear, goes_on=not is_strange)
            if self._queue in changed:
                look_at = min(look_at, now() + (0.0 if is_strange else DOUBT))

    async def _pause(self, ear: Ear, *, goes_on: bool) -> set[str]:
        """Wait before the keys are read again; return which more have changed meanwhile.

        :param goes_on: whether it goes on while steps of this worker look at the queue, or are to come.
        """
        pause, until = PAUSE, asyncio.get_running_loop().time() + LONGEST_PAUSE
        while True:
            claims = self._looker.claims
            await asyncio.sleep(pause)
            looks = self._looker.wants_slot or self._looker.claims != claims
            if not (goes_on and looks) or asyncio.get_running_loop().time() >= until:
                return ear.heard()
            pause = min(pause * 2, DOUBT)

    async def _nudge(self) -> None:
        try:
            await self._scripts.nudge(self._redis, POLL)
        except FAULTS as error:
            # The poll covers it, and the outage is logged by the parts that must get through.
            logger.debug("wake.not_nudged", extra={"error": str(error)})
