"""The watch of an exporter: reads the fleet every second beside the thread that answers, so that no scrape waits."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rota.fleet.fleet import Fleet, FleetNeed
from rota.fleet.reading import Reading, read
from rota.fleet.strays import Strays, UnknownJobs
from rota.process.clock import SYSTEM_CLOCK, Clock
from rota.server.outage import FAULTS, Outage
from rota.settings.load import Settings
from rota.wire.lag import Lag, read_lag

#: From one reading to the next; how long one may take; the age up to which one is shown. In seconds.
EVERY, DEADLINE, FRESH = 1.0, 3.0, 5.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A reading, what the fleet needs by it, and when it was made, in seconds of the monotonic clock.

    `lag` is how far the recorder of the audit table is behind.
    """

    reading: Reading
    need: FleetNeed
    at: float
    lag: Lag


class Watch:
    """The service that keeps the latest snapshot of a fleet: written by the event loop, read by any thread."""

    name = "watch"
    may_end = False

    def __init__(
        self, settings: Settings, queues: Sequence[str], redis: Any, *, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self.queues = tuple(queues)
        self.strays = Strays(redis, queues)
        self.unknown = UnknownJobs(redis, queues)
        self.last_success = 0.0
        self._redis = redis
        self._namespace = settings.namespace
        self._clock = clock
        self._fleet = Fleet(settings, queues)
        self._latest: Snapshot | None = None
        self._outage = Outage("exporter")

    @property
    def latest(self) -> Snapshot | None:
        """The latest snapshot; None if it is too old or the last reading failed, as old numbers look like good ones."""
        latest = self._latest
        return latest if latest and self._clock.monotonic() - latest.at <= FRESH else None

    async def run(self) -> None:
        """Read again and again, until cancelled."""
        while True:
            began = self._clock.monotonic()
            try:
                await self.look()
            except FAULTS as error:
                await self._outage.pause(error)
                continue
            self._outage.over()
            await asyncio.sleep(max(0.0, EVERY - (self._clock.monotonic() - began)))

    async def look(self) -> None:
        """Read once. Raises what redis-py raises, and TimeoutError; then there is nothing to show."""
        try:
            async with asyncio.timeout(DEADLINE):
                reading = await read(self._redis, self.queues, self.strays.queues)
                lag = await read_lag(self._redis, self._namespace, reading.at)
            need = self._fleet.appraise(reading)
        except BaseException:
            self._latest = None
            raise
        self._latest = Snapshot(reading, need, self._clock.monotonic(), lag)
        self.last_success = self._clock.time()
