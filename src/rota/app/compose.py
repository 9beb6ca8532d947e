"""The composition root of a worker: what its process is made of, from the settings down.

The stacks are the visible lists below. Clients are put together in `app/connect.py`, and nothing else in the project
puts parts together.
"""

import asyncio
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rota.app.arq_functions import functions_of
from rota.app.declaring import schedules_of
from rota.app.handlers import handlers_of, runnable
from rota.app.probes import Probes
from rota.attempts.off_loop.children import Processes
from rota.attempts.off_loop.off_loop import OffLoop
from rota.attempts.off_loop.threads import Threads
from rota.attempts.parts import QueuePolicy, Resources, Stacks
from rota.attempts.runner import Runner
from rota.attempts.ticks import TickGate
from rota.engine.contract import Contract
from rota.engine.keeper import LeaseKeeper
from rota.engine.shares import UNLIMITED, Shares
from rota.flows.fanout import FlowJobs
from rota.flows.flows import Flows
from rota.model.enqueueing import Clients, Enqueuer, SyncEnqueuer
from rota.model.registry import Registry
from rota.model.run import enter
from rota.process.clock import SYSTEM_CLOCK, Clock
from rota.seams import Entry, Middleware, Senders, Subscriber
from rota.server.outage import Outages
from rota.services.webhooks.delivering import Courier
from rota.settings.load import Settings
from rota.settings.queues import QueueSettings
from rota.telemetry.logs.events import Log, log
from rota.telemetry.tracing import otel, relay
from rota.telemetry.tracing.senders import SENDERS
from rota.telemetry.tracing.sentry import sentry
from rota.wire import envelopes
from rota.wire.keys import QueueKeys, events_key, queue_key
from rota.wire.queue import QueueScripts, ServiceRules
from rota.worker.shared import Shared
from rota.worker.worker import QueueWorker

#: Called at the beginning of every attempt, in its context: logs and enqueues within it find its run and its headers.
ENTRIES: tuple[Entry, ...] = (enter, relay.receive)
#: Around every attempt and the encoding of its result, which is what they see, outermost first.
TRACERS: tuple[Middleware, ...] = (sentry.AttemptTracer(), otel.AttemptTracer())
#: Around every handler, within the tracers and the gate of schedules' ticks, outermost first; that of the jobs package
#: comes within it.
MIDDLEWARE: tuple[Middleware, ...] = ()
#: Told of every event, before those of the jobs package.
SUBSCRIBERS: tuple[Subscriber, ...] = (log, sentry.FailureReporter())


def subscribers_of(settings: Settings, registry: Registry) -> tuple[Subscriber, ...]:
    """Return SUBSCRIBERS, of which the log writes as many successes as `settings` say, and the check-ins of ticks."""
    own = (Log(settings.log_success_rate) if one is log else one for one in SUBSCRIBERS)
    return (*own, sentry.CheckIns(registry.schedules)) if registry.schedules else tuple(own)


def middleware_of(registry: Registry, settings: Settings, redis: Callable[[], Any]) -> tuple[Middleware, ...]:
    """Return the gate of schedules' ticks, which asks `redis`, MIDDLEWARE, and within them the one of the package."""
    declared = {one.name: one.schedule for one in registry.schedules}
    gate = TickGate(declared, schedules_of(settings), redis)
    return (gate, *MIDDLEWARE, *registry.hooks.middleware)


@dataclass(frozen=True)
class ProcessParts:
    """The parts that the queue workers of one process share.

    :param settings: the settings of the process.
    :param registry: the jobs that the process knows.
    :param keeper: renews the leases of all queues; None: each worker makes a keeper of its own.
    :param processes: the child processes, for handlers that run in one.
    :param deps: what handlers get as `run.deps`.
    :param recycle: called with a reason when the process should be replaced by a fresh one.
    :param subscribers: told of the events of all queues.
    :param probes: measure the process, and are told of the events too; None: nothing is measured.
    """

    settings: Settings
    registry: Registry
    keeper: LeaseKeeper | None
    processes: Processes
    deps: Any
    recycle: Callable[[str], None]
    subscribers: tuple[Subscriber, ...] = SUBSCRIBERS
    probes: Probes | None = None

    @functools.cached_property
    def shared(self) -> Shared:
        """The parts that the workers themselves share."""
        slots = self.settings.worker_concurrency
        return Shared(
            self.keeper,
            shares=UNLIMITED if slots is None else Shares(slots),
            outages=self.probes.outages if self.probes else Outages(),
        )


@dataclass(frozen=True)
class QueueParts:
    """The scripts and the runner of one queue's worker: the `policy` that gives a `QueueWorker` our job semantics."""

    process: ProcessParts
    queue: QueueSettings

    def scripts(self, keys: QueueKeys, worker: str, lease: float) -> QueueScripts:
        """Return the scripts of this queue, with events and dead letters."""
        settings = self.process.settings
        return QueueScripts(
            keys,
            worker,
            lease,
            ServiceRules(
                self.queue.name,
                events=events_key(settings.namespace),
                events_maxlen=settings.events_maxlen,
                dead_retention=settings.dead_retention,
                # The last time before it is given up, a job runs alone.
                suspect=max(0, settings.max_lost - 1),
                rate=self.queue.rate_limit.figures if self.queue.rate_limit else "",
                most=self.queue.fleet_concurrency,
                unknown_grace=settings.unknown_grace,
                unknown_delay=settings.unknown_delay,
                version=settings.version,
            ),
        )

    def stuck(self, what: str) -> None:
        """Ask for a fresh process: a handler, or a thread of it, runs on and nothing ends it."""
        self.process.recycle(what)

    def contract(self, worker: QueueWorker) -> Contract:
        """Return the runner of this queue's jobs, measured if the process has probes."""
        process, queue = self.process, self.queue

        def report(*progress: Any) -> None:
            if worker.engine is not None:
                worker.engine.pulse.report(*progress)

        settings, probes = process.settings, process.probes
        flows = flow_jobs(settings, process.registry, queue, lambda: worker.pool)
        courier = Courier(lambda: worker.pool, settings)
        threads = Threads(queue.concurrency, lambda: process.recycle("thread"))
        off_loop = OffLoop(threads, process.processes, settings.result_limit)
        runner = Runner(
            policy_of(settings, queue),
            runnable(process.registry, queue, (*flows.builtin, *courier.builtin)),
            Resources(
                deps=process.deps,
                report=report,
                off_loop=off_loop.call,
                inputs=flows,
                clients=functools.cache(lambda: clients_for(settings, process.registry, worker.pool)),
            ),
            Stacks(
                entries=ENTRIES,
                tracers=TRACERS,
                middleware=middleware_of(process.registry, settings, lambda: worker.pool),
                subscribers=(
                    *process.subscribers,
                    *((probes.subscriber,) if probes else ()),
                    *process.registry.hooks.subscribers,
                ),
            ),
        )
        if probes is None:
            return runner
        return probes.meter(queue.name, runner, lambda: worker.engine.executions if worker.engine else None)


def worker_settings(parts: ProcessParts, queue: str) -> dict[str, Any]:
    """Return the keyword arguments of the `QueueWorker` for one queue: arq's own worker settings, and ours."""
    settings = parts.settings
    own = settings.queue(queue)
    return {
        "functions": functions_of(handlers_of(parts.registry, own).values(), own.name),
        "queue_name": queue_key(queue),
        "max_jobs": own.concurrency,
        "job_timeout": own.timeout,
        "keep_result": own.keep_result,
        "max_tries": own.max_attempts,
        "job_serializer": envelopes.job_serializer,
        "job_deserializer": envelopes.job_deserializer,
        "allow_abort_jobs": True,
        "handle_signals": False,
        "lease": settings.lease,
        "policy": QueueParts(parts, own),
        "shared": parts.shared,
        "weight": own.weight,
    }


def policy_of(settings: Settings, queue: QueueSettings) -> QueuePolicy:
    """Return what the settings allow the jobs of one queue."""
    return QueuePolicy(
        queue=queue.name,
        queue_key=queue_key(queue.name),
        namespace=settings.namespace,
        max_lost=settings.max_lost,
        unknown_grace=settings.unknown_grace,
        unknown_delay=settings.unknown_delay,
        keep_result=queue.keep_result,
        payload_limit=settings.payload_limit,
        result_limit=settings.result_limit,
        sealer=settings.sealer,
    )


def clients_for(settings: Settings, registry: Registry, redis: Any, clock: Clock = SYSTEM_CLOCK) -> Clients:
    """Return the clients for a worker's handlers, on its own connections. Call it on the worker's event loop."""
    loop = asyncio.get_running_loop()

    def make() -> tuple[Enqueuer, SyncEnqueuer]:
        # Where no handler enqueues, a worker is 1.8 MB smaller without them; the first enqueue waits 40 ms.
        from rota.app.connect import clients_of  # noqa: PLC0415

        return clients_of(settings, registry, redis, loop, clock)

    return Clients(make)


def flow_jobs(
    settings: Settings,
    registry: Registry,
    queue: QueueSettings,
    redis: Callable[[], Any],
    *,
    clock: Clock = SYSTEM_CLOCK,
) -> FlowJobs:
    """Return the worker's part in the flows of a queue; `redis` is called for its connection when a job needs it."""
    terms = QueueKeys.of(queue_key(queue.name)).terms
    senders = Senders((*SENDERS, *registry.hooks.senders))
    return FlowJobs(
        lambda: Flows(redis(), settings, senders=senders, clock=clock),
        registry.by_any_name(queue.name),
        terms,
    )
