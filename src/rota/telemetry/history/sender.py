"""The service of a worker process that adds what the process counts to the history of its queues in Redis.

A process that does nothing sends nothing. A killed one has lost what it counted since its last call; one that stops
sends the rest. A call whose answer was lost is sent again under its number, and counts once.
"""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis.exceptions import OutOfMemoryError

from rota.model.history.series import LONGEST
from rota.model.history.tallies import Tallies
from rota.server.outage import FAULTS
from rota.telemetry.history.counting import Deltas
from rota.wire.keys import QueueKeys, history_key, history_sent_key, queue_key
from rota.wire.scripts import DEPLOYED, HISTORY

logger = logging.getLogger("rota.history")

#: From one call to the next, in seconds: a killed process has lost what it counted in this time.
EVERY = 10.0
#: A call that is not answered within this time is sent again with the next one, in seconds.
_PATIENCE = 3.0
#: How long the number of a call is remembered: longer than an outage after which it is sent again, ms.
_REMEMBERED = 86_400_000
#: How long the last mark of a queue is kept, to tell a restart from a deploy, ms.
_MARKED = 30 * 86_400_000


@dataclass(frozen=True, slots=True)
class Place:
    """The place where a process writes.

    :param namespace: the prefix of the deployment's own keys.
    :param process: the name of the process, unlike any other.
    :param queues: the queues that it serves.
    :param version: of the code that it runs; empty where that is unknown, and then nothing is marked.
    """

    namespace: str
    process: str
    queues: Sequence[str]
    version: str = ""


class HistorySender:
    """The service that sends what was counted.

    :param redis: a client on the loop that runs this service.
    :param place: where it is written.
    :param deltas: what was counted.
    """

    name = "history"
    may_end = False

    def __init__(self, redis: Any, place: Place, deltas: Deltas) -> None:
        self._redis = redis
        self._place = place
        self._deltas = deltas
        self._number = 0
        self._unanswered: dict[str, Tallies] = {}
        self._is_marked = not place.version
        self._is_given_up = False

    async def run(self) -> None:
        """Send again and again until cancelled; then send the rest, if Redis answers."""
        try:
            while True:
                await self._try(self.send())
                await asyncio.sleep(EVERY)
        except asyncio.CancelledError:
            await self._try(self._end())
            raise

    async def send(self) -> None:
        """Mark the version, once, and send what was counted. Raises what redis-py raises."""
        if not self._is_marked:
            with contextlib.suppress(OutOfMemoryError):
                await self._mark()
                self._is_marked = True
        if self._unanswered:
            await self._call()
        self._unanswered = await self._deltas.take_in_turns()
        if self._unanswered:
            self._number += 1
            await self._call()

    async def _call(self) -> None:
        place, counted = self._place, self._unanswered
        sent = history_sent_key(place.namespace, place.process)
        keys = [sent, *(history_key(place.namespace, queue) for queue in counted)]
        args = [self._number, _REMEMBERED, round(LONGEST * 1000), *(one.text() for one in counted.values())]
        try:
            await HISTORY(self._redis, keys, args)
            self._is_given_up = False
        except OutOfMemoryError as error:
            # Of all that lies in a full Redis, this can be missed first.
            if not self._is_given_up:
                self._is_given_up = True
                logger.warning("history.given_up", extra={"error": str(error)})
        self._unanswered = {}

    async def _mark(self) -> None:
        place, keys = self._place, []
        for queue in place.queues:
            of_queue = QueueKeys.of(queue_key(queue))
            keys += [
                f"{history_key(place.namespace, queue)}:marks",
                of_queue.workers,
                of_queue.worker,
            ]
        await DEPLOYED(self._redis, keys, [place.process, place.version, round(LONGEST * 1000), _MARKED])

    async def _end(self) -> None:
        await self.send()
        if self._number:
            await self._redis.delete(history_sent_key(self._place.namespace, self._place.process))

    async def _try(self, call: Any) -> None:
        # The workers log that Redis is away.
        with contextlib.suppress(*FAULTS):
            async with asyncio.timeout(_PATIENCE):
                await call
