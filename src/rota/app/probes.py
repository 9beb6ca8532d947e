"""The probes of a worker process: its `/metrics`, `/healthz` and `/readyz`.

They are answered in the endpoint's thread, from what the process knows of itself: no request asks Redis anything, or
waits for the event loop.
"""

import contextlib
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from typing import Any

from rota.app.metering import Meter
from rota.engine.contract import Contract
from rota.engine.executions import Executions
from rota.engine.keeper import LeaseKeeper
from rota.model.registry import Registry
from rota.process.http import Endpoint, Reply, Route
from rota.server.outage import Outages
from rota.services.figures import Figures
from rota.services.leader import Leader
from rota.settings.settings import Settings
from rota.telemetry.logs.outflow import dropped
from rota.telemetry.metrics.enqueued import ENQUEUED
from rota.telemetry.metrics.jobs import JobMetrics
from rota.telemetry.metrics.tally import Labels, Tally
from rota.wire.envelopes import FAN_OUT, SWEEP, WEBHOOK
from rota.worker.worker import QueueWorker

logger = logging.getLogger("rota.endpoint")


class Probes:
    """The probes of one worker process. `workers` are its queues' workers: a list that is filled later."""

    def __init__(self, settings: Settings, registry: Registry, workers: Sequence[QueueWorker]) -> None:
        jobs = [(registry.queue_of(job), job.name) for job in registry.jobs]
        ENQUEUED.names.learn([*jobs, *((queue, FAN_OUT) for queue in registry.queues)])
        queues = settings.served_queues(registry.queues)
        # One enqueue may put any of the jobs on any of the queues.
        anywhere = frozenset((FAN_OUT, SWEEP, WEBHOOK, *(name for _, name in jobs)))
        self.subscriber = JobMetrics([job for job in jobs if job[0] in queues], anywhere)
        self.outages = Outages()
        self.keeper: LeaseKeeper | None = None
        self.leader: Leader | None = None
        self.recorded = Figures()
        self.draining = False
        self.recycled = Tally((reason,) for reason in ("jobs", "memory", "thread"))
        self._settings = settings
        self._workers = workers
        self._meters: dict[str, Meter] = {}
        self._endpoint: Endpoint | None = None
        self._page: Route | None = None

    # Life

    def start(self) -> int:
        """Begin to answer and return the port, 0 where METRICS_PORT is off. Raises EndpointError."""
        port = self._settings.metrics_port
        if port == "off":
            return 0
        self._endpoint = Endpoint(self._routes(), host=self._settings.metrics_host, port=port)
        return self._endpoint.start()

    def stop(self) -> None:
        """Stop answering, and give the port back."""
        if self._endpoint is not None:
            self._endpoint.stop()

    def meter(self, queue: str, contract: Contract, executions: Callable[[], Executions | None]) -> Contract:
        """Return the contract of `queue` with a meter around it; `executions` returns what runs of that queue."""
        sealed = ("unsigned", "bad_signature") if self._settings.payload_keys else ()
        for reason in ("stale", "unknown", "unreadable", "invalid", *sealed):
            self.subscriber.rejected.add((queue, reason), 0)
        meter = Meter(queue, self.subscriber.rejected, self.subscriber.lost, executions)
        self._meters[queue] = meter
        return meter.around(contract)

    def recovered(self) -> dict[str, int]:
        """Return how many lost jobs were claimed again so far, by queue."""
        return {queue: meter.recovered for queue, meter in self._meters.items()}

    def tidy(self) -> None:
        """Sort recent values into their buckets. The event loop calls this now and then."""
        self.subscriber.tidy()
        for meter in self._meters.values():
            meter.sizes.tidy()

    def _routes(self) -> dict[str, Route]:
        routes: dict[str, Route] = {"/healthz": self.healthz, "/readyz": self.readyz}
        if find_spec("prometheus_client") is None:
            logger.warning("metrics.off", extra={"reason": "install rota[worker] for /metrics"})
        else:
            routes["/metrics"] = self._scraped
        return routes

    def _scraped(self, query: str) -> Reply:
        # prometheus_client is 2 MB, with the servers that it could be: of workers that nothing scrapes it is not taken.
        self._page = self._page or self._metrics()
        return self._page(query)

    @contextlib.contextmanager
    def watching(self, keeper: LeaseKeeper) -> Iterator[None]:
        """Make the health of the process depend on `keeper` while the block runs."""
        self.keeper = keeper
        try:
            yield
        finally:
            self.keeper = None

    # Health

    def healthz(self, _: str = "") -> Reply:
        """Tell whether the process is well: its loop beats and its leases are renewed. If not, it needs a restart."""
        keeper = self.keeper
        if keeper is None or not keeper.began:
            # A lifespan may take its time to open and to close resources.
            return _answer(200, status="draining" if self.draining else "starting")
        silence = keeper.watch.silence()
        well = keeper.alive and silence < self._settings.loop_block_report
        return _answer(
            200 if well else 503,
            status="ok" if well else "blocked" if keeper.alive else "no lease keeper",
            loop_silent_seconds=round(silence, 3),
            loop_lag_seconds=round(keeper.watch.lag(), 3),
            lease_keeper=keeper.alive,
        )

    def readyz(self, _: str = "") -> Reply:
        """Tell whether the process takes jobs: Redis answers, and its queues are claimed from, paused ones included."""
        why = self._why_not_ready()
        return _answer(503 if why else 200, status=why or "consuming")

    def _why_not_ready(self) -> str:
        if self.draining:
            return "draining"
        engines = [worker.engine for worker in self._workers]
        if not engines or None in engines or self.keeper is None:
            return "starting"
        if self.outages.ongoing:
            return "Redis does not answer"
        if self.keeper.watch.silence() >= self._settings.loop_block_report:
            return "the event loop is blocked"
        if not all(engine is not None and engine.picking for engine in engines):
            return "draining"
        return ""

    # Metrics

    def _metrics(self) -> Route:
        from rota.telemetry.metrics.page import Metrics, build  # noqa: PLC0415 - an extra

        metrics = Metrics()
        self.subscriber.expose(metrics)
        provide = metrics.provide
        provide("arq_jobs_enqueued_total", ENQUEUED.read)
        provide("arq_jobs_recovered_total", self._of_queues(lambda meter: meter.recovered))
        provide("arq_worker_slots", self._slots)
        provide("arq_worker_slots_busy", self._of_queues(lambda meter: meter.busy))
        provide("arq_worker_slot_seconds_total", self._of_queues(lambda meter: meter.seconds()))
        provide("arq_worker_draining", lambda: [((), self.draining)])
        provide("arq_leader", lambda: [(("leader",), self.leader is not None and self.leader.leads)])
        provide("arq_records_written_total", lambda: [((), self.recorded.rows)])
        provide("arq_records_lost_total", lambda: [((), self.recorded.lost)])
        self._provide_outbox(metrics)
        provide("arq_worker_log_lines_dropped_total", lambda: [((), dropped())])
        provide("arq_worker_event_loop_lag_seconds", self._lag)
        provide("arq_worker_recycled_total", self.recycled.read)
        provide("arq_redis_reconnects_total", lambda: [((), self.outages.ended)])
        provide("arq_build_info", lambda: [(build(self._settings.version), 1)])
        metrics.provide_histogram(
            "arq_job_payload_bytes",
            lambda: [meter.sizes.spread((queue,)) for queue, meter in list(self._meters.items())],
        )
        return metrics.page

    def _provide_outbox(self, metrics: Any) -> None:
        outbox = self.recorded.outbox
        metrics.provide("arq_outbox_waiting", lambda: _known(outbox.waiting))
        metrics.provide("arq_outbox_oldest_seconds", lambda: _known(outbox.oldest))
        metrics.provide("arq_outbox_sent_total", lambda: [((), outbox.sent)])
        metrics.provide("arq_outbox_sent_again_total", lambda: [((), outbox.again)])
        metrics.provide("arq_outbox_refused_total", lambda: [((), outbox.refused)])

    def _of_queues(self, read: Callable[[Meter], float]) -> Callable[[], Iterator[tuple[Labels, float]]]:
        def values() -> Iterator[tuple[Labels, float]]:
            for queue, meter in list(self._meters.items()):
                yield (queue,), read(meter)

        return values

    def _slots(self) -> Iterator[tuple[Labels, float]]:
        for queue in list(self._meters):
            yield (queue,), self._settings.queue(queue).concurrency

    def _lag(self) -> list[tuple[Labels, float]]:
        return [] if self.keeper is None else [((), self.keeper.watch.lag())]


def _known(value: float | None) -> list[tuple[Labels, float]]:
    return [] if value is None else [((), value)]


def _answer(code: int, **fields: Any) -> Reply:
    return Reply(code, "application/json", json.dumps(fields).encode() + b"\n")
