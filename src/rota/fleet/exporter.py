"""The exporter: one process that shows the whole fleet, to Prometheus and to whoever scales it.

It reads Redis every second beside the thread that answers, so that no scrape waits for Redis. What it could not read
just now it does not show: a number that is old looks like one that is well.
"""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rota.fleet.fleet import Fleet, FleetNeed
from rota.fleet.reading import QueueReading, Reading, read
from rota.model.registry import Registry
from rota.process.http import Endpoint, Reply
from rota.process.signals import until_signalled
from rota.server import connections
from rota.server.outage import FAULTS, Outage
from rota.server.place import Server, locate
from rota.settings.load import ConfigError, Settings
from rota.telemetry.metrics.page import Metrics, build
from rota.telemetry.metrics.tally import Labels

logger = logging.getLogger("rota.exporter")

#: From one reading to the next; how long one may take; how old one may be that is shown; seconds.
EVERY, DEADLINE, FRESH = 1.0, 3.0, 5.0

Values = Iterator[tuple[Labels, float]]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One reading, what follows from it, and when it was made by the monotonic clock, seconds."""

    reading: Reading
    need: FleetNeed
    at: float


class Watch:
    """The latest snapshot of some queues; written by the event loop, read by any thread."""

    def __init__(self, settings: Settings, queues: Sequence[str]) -> None:
        self.queues = tuple(queues)
        self.last_success = 0.0
        self._fleet = Fleet(settings, queues)
        self._latest: Snapshot | None = None
        self._outage = Outage("exporter")

    @property
    def latest(self) -> Snapshot | None:
        """What was read last; None if that is too long ago, or went wrong."""
        latest = self._latest
        return latest if latest and time.monotonic() - latest.at <= FRESH else None

    async def run(self, redis: Any) -> None:
        """Read again and again, until cancelled."""
        while True:
            began = time.monotonic()
            try:
                await self.look(redis)
            except FAULTS as error:
                await self._outage.pause(error)
                continue
            self._outage.over()
            await asyncio.sleep(max(0.0, EVERY - (time.monotonic() - began)))

    async def look(self, redis: Any) -> Snapshot:
        """Read once. Raises what redis-py raises, and TimeoutError; then there is nothing to show."""
        try:
            async with asyncio.timeout(DEADLINE):
                reading = await read(redis, self.queues)
        except BaseException:
            self._latest = None
            raise
        self._latest = Snapshot(reading, self._fleet.appraise(reading), time.monotonic())
        self.last_success = time.time()
        return self._latest


def expose(metrics: Metrics, watch: Watch, settings: Settings) -> None:
    """The series of the fleet, from the latest snapshot; without one, only that there is none."""

    def provide(name: str, values: Callable[[Snapshot], Values]) -> None:
        def read_now() -> Iterable[tuple[Labels, float]]:
            latest = watch.latest
            return () if latest is None else values(latest)

        metrics.provide(name, read_now)

    def of_queues(value: Callable[[QueueReading], float]) -> Callable[[Snapshot], Values]:
        return lambda snapshot: (((queue,), value(one)) for queue, one in snapshot.reading.queues.items())

    metrics.provide("arq_redis_up", lambda: [((), watch.latest is not None)])
    metrics.provide("arq_exporter_last_success_timestamp_seconds", lambda: [((), watch.last_success)])
    provide("arq_queue_jobs", _jobs)
    provide("arq_queue_workers", _workers)
    provide("arq_queue_latency_seconds", of_queues(lambda one: one.latency))
    provide("arq_queue_oldest_active_seconds", of_queues(lambda one: one.oldest_active))
    provide("arq_queue_slots", of_queues(lambda one: one.slots))
    provide("arq_queue_slots_busy", of_queues(lambda one: one.slots_busy))
    provide("arq_queue_paused", of_queues(lambda one: one.paused))
    provide("arq_queue_slo_seconds", lambda _: (((one,), settings.queue(one).slo) for one in watch.queues))
    provide("arq_queue_desired_workers", lambda one: (((q.queue,), q.desired) for q in one.need.queues))
    provide("arq_redis_memory_used_bytes", lambda one: iter([((), one.reading.server.memory_used)]))
    provide("arq_redis_memory_max_bytes", lambda one: iter([((), one.reading.server.memory_max)]))
    provide("arq_redis_evicted_keys_total", lambda one: iter([((), one.reading.server.evicted)]))
    provide("arq_redis_config_ok", lambda one: (((k,), v) for k, v in one.reading.server.checks.items()))
    metrics.provide("arq_build_info", lambda: [(build(), 1)])


def _jobs(snapshot: Snapshot) -> Values:
    for queue, one in snapshot.reading.queues.items():
        for state, count in one.states.items():
            yield (queue, str(state)), count


def _workers(snapshot: Snapshot) -> Values:
    for queue, one in snapshot.reading.queues.items():
        for status in ("running", "draining"):
            yield (queue, status), one.workers(status)


class Exporter:
    """One exporter process, from its settings to its end by a signal."""

    def __init__(self, settings: Settings, registry: Registry) -> None:
        if settings.metrics_port == "off":
            raise ConfigError(["METRICS_PORT is off; the exporter needs a port, or 0 for any free one"])
        self._port = settings.metrics_port
        self._settings = settings
        self.watch = Watch(settings, all_queues(settings, registry))

    def run(self) -> int:
        """Answer until a signal; the exit status. Raises EndpointError and EmbeddedServerError at boot."""
        server = locate(self._settings.redis)
        try:
            asyncio.run(self._main(server))
        finally:
            server.close()
        return 0

    async def _main(self, server: Server) -> None:
        endpoint = Endpoint(self._routes(), host=self._settings.metrics_host, port=self._port)
        endpoint.start()
        redis = connections.async_client(server.target, socket_timeout=DEADLINE)
        try:
            logger.info("exporter.ready", extra={"queues": list(self.watch.queues)})
            await until_signalled(self.watch.run(redis))
        finally:
            endpoint.stop()
            await redis.aclose(close_connection_pool=True)

    def _routes(self) -> dict[str, Callable[[str], Reply]]:
        metrics = Metrics()
        expose(metrics, self.watch, self._settings)
        return {
            "/metrics": metrics.page,
            "/scaling": self.scaling,
            "/scaling/": self.scaling,
            "/healthz": lambda _: _json(200, {"status": "ok"}),
            "/readyz": self.readyz,
        }

    def scaling(self, queue: str = "") -> Reply:
        """What one queue needs, or the whole fleet; 503 without a fresh reading: nobody is to scale by an old one."""
        if queue and queue not in self.watch.queues:
            return _json(404, {"error": f"there is no queue {queue!r}", "queues": list(self.watch.queues)})
        latest = self.watch.latest
        if latest is None:
            return _json(503, {"error": "Redis does not answer"})
        if not queue:
            return _json(200, latest.need.to_json())
        return _json(200, next(one for one in latest.need.queues if one.queue == queue).to_json())

    def readyz(self, _: str = "") -> Reply:
        """Whether there is something to show."""
        if self.watch.latest is None:
            return _json(503, {"status": "Redis does not answer"})
        return _json(200, {"status": "ok"})


def all_queues(settings: Settings, registry: Registry) -> tuple[str, ...]:
    """Every queue there is, whichever of them a worker with these settings would serve."""
    return settings.model_copy(update={"worker_queues": None}).served_queues(registry.queues)


def _json(status: int, body: dict[str, Any]) -> Reply:
    return Reply(status, "application/json", json.dumps(body).encode() + b"\n")
