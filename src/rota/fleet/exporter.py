"""The exporter: one process that shows the whole fleet, to Prometheus and to what scales the fleet."""

import asyncio
import json
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from rota.fleet.reading import QueueReading, read
from rota.fleet.timetable import Timetable
from rota.fleet.watch import DEADLINE, Snapshot, Watch
from rota.model.registry import Registry
from rota.model.schedules.state import State
from rota.process.http import Endpoint, Reply, Route
from rota.process.services import serve
from rota.server import connections
from rota.server.check import Facts
from rota.server.place import Server, locate
from rota.settings.load import ConfigError, Settings
from rota.telemetry.metrics.page import Metrics, build
from rota.telemetry.metrics.tally import Labels
from rota.wire.schedules import Schedules

logger = logging.getLogger("rota.exporter")

Values = Iterable[tuple[Labels, float]]

#: The gauges of each queue.
QUEUES: dict[str, Callable[[QueueReading], float]] = {
    "arq_queue_latency_seconds": lambda queue: queue.latency,
    "arq_queue_oldest_active_seconds": lambda queue: queue.oldest_active,
    "arq_queue_slots": lambda queue: queue.slots,
    "arq_queue_slots_busy": lambda queue: queue.slots_busy,
    "arq_queue_paused": lambda queue: queue.paused,
}
#: What Redis tells of itself.
SERVER: dict[str, Callable[[Facts], float]] = {
    "arq_redis_memory_used_bytes": lambda server: server.memory_used,
    "arq_redis_memory_max_bytes": lambda server: server.memory_max,
    "arq_redis_evicted_keys_total": lambda server: server.evicted,
}


#: What is shown of a schedule: moments in milliseconds, None where there is none yet.
SCHEDULES: dict[str, Callable[[State], int | None]] = {
    "arq_cron_next_run_timestamp_seconds": lambda state: state.tick,
    "arq_cron_last_success_timestamp_seconds": lambda state: state.succeeded,
}


class Exporter:
    """One exporter process, from its settings to its exit status."""

    def __init__(self, settings: Settings, registry: Registry) -> None:
        if settings.metrics_port == "off":
            raise ConfigError(["METRICS_PORT is off; the exporter needs a port, or 0 for any free one"])
        self._port = settings.metrics_port
        self._settings = settings
        self._queues = all_queues(settings, registry)

    def run(self) -> int:
        """Answer until a signal; return the exit status. Raises EndpointError, ServerError, EmbeddedServerError."""
        server = locate(self._settings.redis)
        try:
            return asyncio.run(self._main(server))
        finally:
            server.close()

    async def _main(self, server: Server) -> int:
        redis = connections.async_client(server.target, socket_timeout=DEADLINE)
        watch = Watch(self._settings, self._queues, redis)
        schedules = Schedules(self._settings.namespace, self._settings.events_maxlen)
        timetable = Timetable(redis, schedules)
        answers = routes(watch, self._settings, timetable)
        endpoint = Endpoint(answers, host=self._settings.metrics_host, port=self._port)
        endpoint.start()
        try:
            # A bug in the watch is the service's to report.
            await connections.look_first(redis, lambda: read(redis, self._queues))
            logger.info("exporter.ready", extra={"queues": list(self._queues)})
            return await serve(watch, watch.strays, watch.unknown, timetable)
        finally:
            endpoint.stop()
            await redis.aclose(close_connection_pool=True)


def all_queues(settings: Settings, registry: Registry) -> tuple[str, ...]:
    """Return every queue there is, including those that a worker with these settings would not serve."""
    return settings.known_queues(registry.queues)


def routes(watch: Watch, settings: Settings, timetable: Timetable | None = None) -> dict[str, Route]:
    """Return what an exporter answers, each from the watch's latest snapshot."""
    metrics = Metrics()
    expose(metrics, watch, settings)
    if timetable is not None:
        expose_schedules(metrics, watch, timetable)

    def scaling(queue: str = "") -> Reply:
        if queue and queue not in watch.queues:
            return _json(404, {"error": f"there is no queue {queue!r}", "queues": list(watch.queues)})
        # Nothing is to scale by an old number.
        if (latest := watch.latest) is None:
            return _json(503, {"error": "Redis does not answer"})
        if not queue:
            return _json(200, latest.need.to_json())
        return _json(200, next(one for one in latest.need.queues if one.queue == queue).to_json())

    def readyz(_: str) -> Reply:
        if watch.latest is None:
            return _json(503, {"status": "Redis does not answer"})
        return _json(200, {"status": "ok"})

    return {
        "/metrics": metrics.page,
        "/scaling": scaling,
        "/scaling/": scaling,
        "/healthz": lambda _: _json(200, {"status": "ok"}),
        "/readyz": readyz,
    }


def expose(metrics: Metrics, watch: Watch, settings: Settings) -> None:
    """Provide the series of the fleet from the latest snapshot; without one, only that there is none."""

    def provide(name: str, values: Callable[[Snapshot], Values]) -> None:
        metrics.provide(name, lambda: () if (latest := watch.latest) is None else values(latest))

    metrics.provide("arq_redis_up", lambda: [((), watch.latest is not None)])
    metrics.provide("arq_exporter_last_success_timestamp_seconds", lambda: [((), watch.last_success)])
    metrics.provide("arq_build_info", lambda: [(build(settings.version), 1)])
    provide("arq_queue_jobs", _jobs)
    provide("arq_queue_workers", _workers)
    provide("arq_queue_declared", _declared)
    provide(
        "arq_queue_unknown_jobs",
        lambda _: (((queue,), count) for queue, count in watch.unknown.counts.items()),
    )
    provide("arq_queue_slo_seconds", lambda _: (((one,), settings.queue(one).slo) for one in watch.queues))
    provide("arq_queue_desired_workers", lambda now: (((one.queue,), one.desired) for one in now.need.queues))
    provide("arq_redis_config_ok", lambda now: (((k,), v) for k, v in now.reading.server.checks.items()))
    provide("arq_events_lag", lambda now: [((), now.lag.entries)])
    provide("arq_events_lag_seconds", lambda now: [((), now.lag.seconds)])
    provide("arq_records_level", lambda now: [((), now.lag.level)])
    for name, value in QUEUES.items():
        provide(name, _of_queues(value))
    for name, fact in SERVER.items():
        provide(name, _of_server(fact))


def expose_schedules(metrics: Metrics, watch: Watch, timetable: Timetable) -> None:
    """Provide the series of the schedules, while the watch has a snapshot to show."""

    def provide(name: str, value: Callable[[State], float | None]) -> None:
        def values() -> Values:
            if watch.latest is None:
                return
            for state in timetable.states:
                if (found := value(state)) is not None:
                    yield (state.name, state.place[1] if state.place else ""), found

        metrics.provide(name, values)

    for name, moment in SCHEDULES.items():
        provide(name, _seconds(moment))
    provide("arq_cron_missed_total", lambda state: state.missed)


def _seconds(moment: Callable[[State], int | None]) -> Callable[[State], float | None]:
    return lambda state: None if (found := moment(state)) is None else found / 1000


def _of_queues(value: Callable[[QueueReading], float]) -> Callable[[Snapshot], Values]:
    return lambda now: (((queue,), value(one)) for queue, one in now.reading.every_queue.items())


def _of_server(fact: Callable[[Facts], float]) -> Callable[[Snapshot], Values]:
    return lambda now: [((), fact(now.reading.server))]


def _declared(now: Snapshot) -> Iterator[tuple[Labels, float]]:
    for queue in now.reading.every_queue:
        yield (queue,), queue in now.reading.queues


def _jobs(now: Snapshot) -> Iterator[tuple[Labels, float]]:
    for queue, one in now.reading.every_queue.items():
        for state, count in one.states.items():
            yield (queue, str(state)), count


def _workers(now: Snapshot) -> Iterator[tuple[Labels, float]]:
    for queue, one in now.reading.every_queue.items():
        for status in ("running", "draining"):
            yield (queue, status), one.workers(status)


def _json(status: int, body: dict[str, Any]) -> Reply:
    return Reply(status, "application/json", json.dumps(body).encode() + b"\n")
