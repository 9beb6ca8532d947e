"""The composition root: what a process is made of, from its settings down.

The stacks are the visible lists below. Nothing else in the project puts parts together.
"""

import asyncio
import functools
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rota.app.arq_functions import functions_of
from rota.app.handlers import guests_of, handlers_of, jobs_of
from rota.app.probes import Probes
from rota.attempts.children import Processes
from rota.attempts.off_loop import OffLoop
from rota.attempts.parts import QueuePolicy, Resources, Stacks
from rota.attempts.runner import Runner
from rota.attempts.threads import Threads
from rota.client.bridge import LoopBridge, OwnBridge
from rota.client.client import Client
from rota.client.sync import SyncClient
from rota.engine.contract import Contract
from rota.engine.keeper import LeaseKeeper
from rota.engine.shares import UNLIMITED, Shares
from rota.flows.fanout import FlowJobs
from rota.flows.flows import Flows
from rota.model.enqueueing import OFFERED, OFFERED_SYNC, Clients
from rota.model.options import check_seconds
from rota.model.registry import Registry
from rota.process.clock import SYSTEM_CLOCK, Clock
from rota.seams import Middleware, Sender, Senders, Subscriber
from rota.server import connections
from rota.server.outage import Outages
from rota.server.place import Server, locate
from rota.settings.load import Settings, load
from rota.settings.queues import QueueSettings
from rota.telemetry.logs import belonging
from rota.telemetry.logs.events import Log, log
from rota.telemetry.metrics.enqueued import ENQUEUED
from rota.telemetry.tracing import otel, relay
from rota.telemetry.tracing.sentry import sentry
from rota.wire import envelopes
from rota.wire.keys import QueueKeys, events_key, queue_key
from rota.wire.queue import QueueScripts, ServiceRules
from rota.worker.shared import Shared
from rota.worker.worker import QueueWorker

#: Around every attempt and the encoding of its result, which is what they see, outermost first.
TRACERS: tuple[Middleware, ...] = (
    belonging.trace,
    relay.receive,
    sentry.AttemptTracer(),
    otel.AttemptTracer(),
)
#: Around every handler, within the tracers, outermost first; that of the jobs package comes within it.
MIDDLEWARE: tuple[Middleware, ...] = ()
#: Around every enqueue, and told what it created; those of a jobs package and of an application come within them.
SENDERS: tuple[Sender, ...] = (
    sentry.EnqueueTracer(),
    otel.EnqueueTracer(),
    relay.HeaderSender(),
    ENQUEUED,
)
#: Told of every event, before those of the jobs package.
SUBSCRIBERS: tuple[Subscriber, ...] = (log, sentry.FailureReporter())


def subscribers_of(settings: Settings) -> tuple[Subscriber, ...]:
    """Return SUBSCRIBERS, of which the log writes as many successes as `settings` say."""
    return tuple(Log(settings.log_success_rate) if one is log else one for one in SUBSCRIBERS)


def middleware_of(registry: Registry) -> tuple[Middleware, ...]:
    """Return MIDDLEWARE, and within it the one of the jobs package."""
    return (*MIDDLEWARE, *registry.hooks.middleware)


async def connect(settings: Settings | None = None, *, senders: Sequence[Sender] = ()) -> Client:
    """Open a client on the Redis of `settings` (read from the environment if not given). Close it when done.

    `senders` are around every enqueue, within the service's own, or told what it created. Until it is closed, the
    client is also the one that `job.enqueue` uses on this event loop. Warns where no Redis is set and an embedded
    server was started, on which no worker is. Raises ConfigError, ServerError.
    """
    client = await _connect(settings or load(), once=False, senders=senders, tell=_warn)
    loop = asyncio.get_running_loop()
    OFFERED.add(client, lambda: asyncio.get_running_loop() is loop)
    return client


def connect_sync(
    settings: Settings | None = None, *, timeout: float = 10.0, senders: Sequence[Sender] = ()
) -> SyncClient:
    """Return a client for code without an event loop, on the Redis of `settings` (by default, of the environment).

        client = rota.connect_sync()
        client.enqueue(send_email, to="ann@example.com")

    Nothing is read or opened before its first call, so it may be made where a module is imported, and before a server
    forks its processes. `timeout` is the longest time that a call may take, in seconds, beside what a wait is given.

    Until it is closed it is also the one that `job.enqueue_sync` uses. `senders` are those of `connect`.

    Its calls raise ServerError while Redis is away, at once where it can be told, and connect again when it is back.
    The first raises ConfigError for settings that cannot work.
    """
    check_seconds("timeout", timeout, above_zero=True)

    @functools.cache
    def found() -> Settings:
        return load() if settings is None else settings

    client = SyncClient(OwnBridge(lambda: connect_at_once(found(), senders), timeout=timeout), found)
    OFFERED_SYNC.add(client)
    return client


async def connect_at_once(
    settings: Settings, senders: Sequence[Sender] = (), *, tell: Callable[[str], object] | None = None
) -> Client:
    """Open a client as `connect` does, with one try: a person waits for the answer. Raises ServerError.

    `tell` is called with the sentence that `connect` gives as a warning, where no worker is on an embedded server.
    """
    return await _connect(settings, once=True, senders=senders, tell=tell or _warn)


async def _connect(
    settings: Settings, *, once: bool, senders: Sequence[Sender], tell: Callable[[str], object]
) -> Client:
    server = await asyncio.to_thread(locate, settings.redis)
    try:
        if server.loneliness:
            tell(server.loneliness)
        redis = await connections.open(server.target, boot_timeout=settings.boot_timeout, once=once)
    except BaseException:
        server.close()
        raise
    return client_of(settings, redis, server, senders=senders)


def _warn(sentence: str) -> None:
    # A warning, and not a line of a log: an application need not have set its logs up to see it.
    warnings.warn(sentence, UserWarning, stacklevel=4)


def client_of(
    settings: Settings,
    redis: Any,
    server: Server | None = None,
    *,
    senders: Sequence[Sender] = (),
    clock: Clock = SYSTEM_CLOCK,
) -> Client:
    """Return a client on an open connection, which closes `server` with itself. `senders` come within SENDERS."""
    on_close = server.close if server else None
    return Client(redis, settings, senders=(*SENDERS, *senders), clock=clock, on_close=on_close)


@dataclass(frozen=True)
class ProcessParts:
    """The parts that the queue workers of one process share.

    :param settings: the settings of the process.
    :param registry: the jobs that the process knows.
    :param keeper: renews the leases of all queues; None: each worker makes a keeper of its own.
    :param processes: the child processes, for handlers that run in one.
    :param deps: returns what handlers get as `run.deps`.
    :param recycle: called with a reason when the process should be replaced by a fresh one.
    :param subscribers: told of the events of all queues.
    :param probes: measure the process, and are told of the events too; None: nothing is measured.
    """

    settings: Settings
    registry: Registry
    keeper: LeaseKeeper | None
    processes: Processes
    deps: Callable[[], Any]
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
        threads = Threads(queue.concurrency, lambda: process.recycle("thread"))
        off_loop = OffLoop(threads, process.processes, settings.result_limit)
        runner = Runner(
            policy_of(settings, queue),
            handlers_of(process.registry, queue, flows) | guests_of(process.registry, queue),
            Resources(
                deps=process.deps,
                report=report,
                off_loop=off_loop.call,
                inputs=flows,
                clients=functools.cache(lambda: clients_of(settings, process.registry, worker.pool)),
            ),
            Stacks(
                tracers=TRACERS,
                middleware=middleware_of(process.registry),
                subscribers=(
                    *process.subscribers,
                    *((probes.subscriber,) if probes else ()),
                    *process.registry.hooks.subscribers,
                ),
            ),
        )
        return probes.meter(queue.name, runner) if probes else runner


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


def clients_of(settings: Settings, registry: Registry, redis: Any, clock: Clock = SYSTEM_CLOCK) -> Clients:
    """Return the clients of a worker for its handlers, on its own connections. Call it on the worker's event loop."""
    client = client_of(settings, redis, senders=registry.hooks.senders, clock=clock)
    return Clients(client, SyncClient(LoopBridge(client, asyncio.get_running_loop()), lambda: settings))


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
    )


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
        lambda: Flows(redis(), settings, senders=senders, clock=clock), jobs_of(registry, queue), terms
    )
