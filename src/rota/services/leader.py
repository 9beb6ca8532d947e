"""The service that stands for election, on an event loop and a thread of its own.

So a handler that blocks the workers' loop holds up neither the renewal of the lease nor the services of the leader, and
they have connections of their own to Redis.
"""

import asyncio
from collections.abc import Callable, Sequence

from rota.process.loop_thread import LoopThread
from rota.process.services import Failure
from rota.server import connections
from rota.server.clones import REPLY_TIMEOUT
from rota.server.target import RedisTarget
from rota.services.election import Election, LeadersService
from rota.wire.leader import Place

#: The time that a leader gets to end its services and to give the place back when the process ends, in seconds.
_PATIENCE = 1.8


class Leader:
    """The service of a worker process that may lead its deployment.

    :param place: the leader's place, as this process seeks it.
    :param target: the Redis of the place.
    :param services: make the services of a term, in the thread in which they run.
    :param on_failure: called in the loop that runs this service for each service of the leader that is given up.
    """

    name = "leader"
    may_end = False

    def __init__(
        self,
        place: Place,
        target: RedisTarget,
        services: Sequence[LeadersService],
        on_failure: Callable[[Failure], object],
    ) -> None:
        self._place = place
        self._target = target
        self._services = services
        self._on_failure = on_failure
        self._thread: LoopThread | None = None
        self._election: Election | None = None
        self._retired = False

    @property
    def leads(self) -> bool:
        """Whether this process leads now; may be asked in any thread."""
        return self._election is not None and self._election.leads

    def retire(self) -> None:
        """Let another process lead, once the leader's services have ended here, and stand no more."""
        self._retired = True
        if self._thread is not None:
            self._thread.tell(self._retire)

    def _retire(self) -> None:
        if self._election is not None:
            self._election.retire()

    async def run(self) -> None:
        """Stand for election until retired, and then do nothing, until cancelled."""
        if not self._retired:
            await self._stand(asyncio.get_running_loop())
        await asyncio.Event().wait()

    async def _stand(self, loop: asyncio.AbstractEventLoop) -> None:
        def given_up(failure: Failure) -> None:
            loop.call_soon_threadsafe(self._on_failure, failure)

        self._thread = thread = LoopThread("rota-leader")
        standing = thread.begin(self._in_thread(given_up))
        try:
            await asyncio.wait({standing})
            standing.result()
        except asyncio.CancelledError:
            self.retire()
            await asyncio.wait({standing}, timeout=_PATIENCE)
            raise
        finally:
            standing.cancel()
            self._thread = self._election = None
            thread.stop()

    async def _in_thread(self, given_up: Callable[[Failure], object]) -> None:
        longest = self._place.lease + REPLY_TIMEOUT
        redis = connections.async_client(self._target)
        blocking = connections.async_client(self._target, socket_timeout=longest)
        async with redis, blocking:
            self._election = Election(self._place, redis, blocking, self._services, given_up)
            if self._retired:
                return
            await self._election.run()
