"""The election: one worker process of a deployment leads, and runs the services that are to run once.

A process seeks the leader's place, and waits while another has it. Once it has the place, it runs the services, and
renews the place's lease at half of it. It trusts in its term only until a second before that lease ends, counted from
the moment when the last renewal was sent: a process that was stopped and continued, or cut off from Redis, steps down
before another can lead. A process that retires gives the place back once its services have ended, which wakes another.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

from rota.model.policies.backoff import exponential
from rota.process.clock import SYSTEM_CLOCK, Clock
from rota.process.services import Failure, Services
from rota.process.tasks import end
from rota.seams import Service
from rota.server.outage import FAULTS
from rota.services.leadership import Leadership, LeadershipLost
from rota.wire.leader import Place

logger = logging.getLogger("rota.leader")

T = TypeVar("T")
#: Makes a service for one term.
LeadersService = Callable[[Leadership], Service]

#: Trust in a term ends this long before its lease does, in seconds; of a short lease, a quarter before.
MARGIN = 1.0
#: Those who wait look at the place within this time after its lease was to end, spread over it, in seconds.
SPREAD = 0.25
#: The time to give the place back, in seconds; after it, the lease ends by itself.
_PATIENCE = 1.0
#: The pauses after calls that failed in a row, in seconds.
_PAUSES = exponential(0.1, ceiling=1.0, jitter=0.2)


class Election:
    """The part of one process in the election.

    :param place: the leader's place, as this process seeks it.
    :param redis: a client that nothing else uses.
    :param blocking: a client on which a call may block for as long as a lease lasts.
    :param services: make the services of a term.
    :param on_failure: called for each service that is given up; the others, and the term, go on.
    :param clock: tells how long a term is trusted.
    :param sleep: waits until the next renewal, and between tries.
    """

    def __init__(
        self,
        place: Place,
        redis: Any,
        blocking: Any,
        services: Sequence[LeadersService],
        on_failure: Callable[[Failure], object],
        *,
        clock: Clock = SYSTEM_CLOCK,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._place = place
        self._redis = redis
        self._blocking = blocking
        self._services = services
        self._on_failure = on_failure
        self._clock = clock
        self._sleep = sleep
        self._retiring = asyncio.Event()
        self._trust = place.lease - min(MARGIN, place.lease / 4)
        self._failures = 0
        #: The term of this process, or its last one.
        self.term: Leadership | None = None

    @property
    def leads(self) -> bool:
        """Whether this process leads now."""
        return self.term is not None and self.term.is_leader

    def retire(self) -> None:
        """Stand no more, and end a term that lasts. `run` returns once another can lead."""
        self._retiring.set()

    async def run(self) -> None:
        """Stand for election, term after term, until retired."""
        while not self._retiring.is_set():
            term = await self._unless_retiring(self._seek())
            if term is not None:
                self.term = term
                await self._lead(term)
        await self._give_back()

    # Without the place

    async def _seek(self) -> Leadership:
        """Wait until the place is vacant, and take it."""
        left = 0.0
        while True:
            try:
                if left > 0:
                    late = SPREAD * random.random()  # noqa: S311 - spreads those who look
                    await self._place.vacancy(self._blocking, min(left, self._place.lease) + late)
                    left = await self._place.left(self._redis)
                if left <= 0:
                    began = self._clock.monotonic()
                    epoch, left = await self._place.take(self._redis)
                    term = Leadership(epoch, began + self._trust, self._clock)
                    if epoch and term.is_leader:
                        self._failures = 0
                        return term
                self._failures = 0
            except FAULTS:
                left = 0.0
                await self._pause()

    # With the place

    async def _lead(self, term: Leadership) -> None:
        """Run the services of a term until it is lost or given back."""
        logger.info("leader.gained", extra={"epoch": term.epoch, "worker": self._place.worker})
        async with Services((_UnderTerm(make(term)) for make in self._services), self._on_failure):
            why = await self._unless_retiring(self._keep(term))
            if why is not None:
                term.end()
        if why is not None:
            logger.warning("leader.lost", extra={"epoch": term.epoch, "why": why})

    async def _keep(self, term: Leadership) -> str:
        """Renew the lease until the term is lost; return why it is."""
        why, pause = "", self._place.lease / 2
        while True:
            await self._sleep(min(pause, term.left))
            began = self._clock.monotonic()
            if not term.is_leader:
                return why or "the process stood still"
            try:
                async with asyncio.timeout(term.left):
                    held = await self._place.renew(self._redis, term.epoch)
            except FAULTS as error:
                why, pause = f"not renewed: {type(error).__name__}: {error}", 0.0
                await self._pause()
                continue
            if not held:
                return "the place is another's, or was deleted"
            term.extend(began + self._trust)
            why, pause, self._failures = "", self._place.lease / 2, 0

    async def _give_back(self) -> None:
        if self.term is not None and self.term.is_leader:
            logger.info("leader.resigned", extra={"epoch": self.term.epoch})
            self.term.end()
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._place.give_back(self._redis)
        except FAULTS:
            pass  # the lease ends by itself

    # Both

    async def _unless_retiring(self, work: Coroutine[Any, Any, T]) -> T | None:
        """Return what comes of `work`; None if the process retires before."""
        tasks = asyncio.create_task(work), asyncio.create_task(self._retiring.wait())
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            return tasks[0].result() if tasks[0].done() else None
        finally:
            await end(tasks)

    async def _pause(self) -> None:
        """Wait a little longer than the last time. The workers of the process log that Redis is away."""
        self._failures += 1
        for client in (self._redis, self._blocking):
            # After a failover an old connection may lead to a replica.
            await client.connection_pool.disconnect(inuse_connections=False)
        await self._sleep(_PAUSES.delay(self._failures))


class _UnderTerm:
    """A service of a term. That the term is over does not count as a failure: the service waits to be cancelled."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.name = service.name
        self.may_end = service.may_end

    async def run(self) -> None:
        try:
            await self._service.run()
        except LeadershipLost:
            await asyncio.Event().wait()
