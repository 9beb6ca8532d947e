"""How an idle worker learns of work: by a token in a list, and by a look of its own now and then.

If every change woke every worker, all would step at once. So an enqueue leaves at most one token, which wakes one idle
worker, and a step that leaves due jobs behind passes the token on. Stock clients leave no token: for them a watcher
leaves it (`rota.engine.watching`).
"""

import asyncio
import random
from typing import Protocol

from rota.engine.link import QueueLink
from rota.engine.tokens import Tokens
from rota.server.outage import FAULTS

#: An idle worker looks at its queue by itself this often, in seconds: it covers a receiver that died with the token.
POLL = 3.0
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
