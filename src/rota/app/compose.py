"""The composition root: what a process is made of, from its settings down.

The stacks are the visible lists below. Nothing else in the project puts parts together.
"""

import asyncio
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from arq.worker import Function

from rota.attempts.attempt import QueuePolicy
from rota.attempts.pools import Processes, Threads
from rota.attempts.runner import Handler, Runner
from rota.client.client import Client
from rota.engine.engine import Contract
from rota.engine.isolation import Isolation
from rota.engine.leases import LeaseKeeper
from rota.engine.shares import Shares
from rota.flows.fanout import FlowJobs
from rota.flows.flows import Flows
from rota.model.job import Job
from rota.model.outcome import Rules
from rota.model.registry import Registry
from rota.model.run import Run
from rota.process.clock import SYSTEM_CLOCK, Clock
from rota.seams import Middleware, Sender, Senders, Subscriber
from rota.server import connections
from rota.server.outage import Outages
from rota.server.place import Server, locate
from rota.settings.load import Settings, load
from rota.settings.queues import QueueSettings
from rota.telemetry.logs.events import Log, log
from rota.telemetry.metrics.enqueued import ENQUEUED
from rota.telemetry.tracing import otel, relay
from rota.telemetry.tracing.sentry import sentry
from rota.wire import envelopes
from rota.wire.keys import QueueKeys, events_key, queue_key
from rota.wire.queue import QueueScripts, ServiceRules
from rota.worker.worker import QueueWorker

#: Around every attempt and the encoding of its result, which is what they see, outermost first.
TRACERS: tuple[Middleware, ...] = (relay.receive, sentry.AttemptTracer(), otel.AttemptTracer())
#: Around every handler, within the tracers, outermost first.
MIDDLEWARE: tuple[Middleware, ...] = ()
#: Around every enqueue, and told what it created.
SENDERS: tuple[Sender, ...] = (
    sentry.EnqueueTracer(),
    otel.EnqueueTracer(),
    relay.HeaderSender(),
    ENQUEUED,
)
#: Told of every event.
SUBSCRIBERS: tuple[Subscriber, ...] = (log, sentry.FailureReporter())


def subscribers_of(settings: Settings) -> tuple[Subscriber, ...]:
    """SUBSCRIBERS, as settings have them."""
    return tuple(Log(settings.log_success_rate) if one is log else one for one in SUBSCRIBERS)


async def connect(settings: Settings | None = None) -> Client:
    """A client for the Redis of `settings` (read from the environment if not given). Close it when done.

    Raises ConfigError, ServerError.
    """
    settings = settings or load()
    server = await asyncio.to_thread(locate, settings.redis)
    redis = await connections.open(server.target, boot_timeout=settings.boot_timeout)
    return client_of(settings, redis, server)


def client_of(
    settings: Settings, redis: Any, server: Server | None = None, *, clock: Clock = SYSTEM_CLOCK
) -> Client:
    """A client on an open connection."""
    return Client(
        redis,
        namespace=settings.namespace,
        default_queue=settings.default_queue,
        payload_limit=settings.payload_limit,
        keep_result=settings.keep_result,
        events_maxlen=settings.events_maxlen,
        dead_retention=settings.dead_retention,
        senders=SENDERS,
        clock=clock,
        on_close=server.close if server else None,
    )


@dataclass(frozen=True)
class Parts:
    """What the queue workers of one process share."""

    settings: Settings
    registry: Registry
    keeper: LeaseKeeper | None
    processes: Processes
    deps: Callable[[], Any]
    recycle: Callable[[str], None]
    middleware: tuple[Middleware, ...] = MIDDLEWARE
    subscribers: tuple[Subscriber, ...] = SUBSCRIBERS
    isolation: Isolation = field(default_factory=Isolation)
    outages: Outages = field(default_factory=Outages)
    meter: Callable[[str, Contract], Contract] = lambda queue, contract: contract

    @functools.cached_property
    def shares(self) -> Shares | None:
        """The slots of the process, if they are capped."""
        slots = self.settings.worker_concurrency
        return None if slots is None else Shares(slots)


@dataclass(frozen=True)
class Service:
    """The policy that makes a `QueueWorker` the service, for one queue."""

    parts: Parts
    queue: QueueSettings

    def protocol(self, keys: QueueKeys, worker: str, lease: float) -> QueueScripts:
        """The scripts of this queue, with events and dead letters."""
        settings = self.parts.settings
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
            ),
        )

    def contract(self, worker: QueueWorker) -> Contract:
        """The runner of this queue's jobs."""
        parts = self.parts

        def report(*progress: Any) -> None:
            if worker.engine is not None:
                worker.engine.pulse.report(*progress)

        settings = parts.settings
        flows = flow_jobs(settings, parts.registry, self.queue, lambda: worker.pool)
        runner = Runner(
            policy_of(settings, self.queue),
            handlers_of(parts.registry, self.queue, flows),
            inputs=flows,
            deps=parts.deps,
            report=report,
            in_thread=Threads(self.queue.concurrency, lambda: parts.recycle("thread")).call,
            in_process=functools.partial(parts.processes.call, result_limit=parts.settings.result_limit),
            tracers=TRACERS,
            middleware=parts.middleware,
            subscribers=parts.subscribers,
        )
        return parts.meter(self.queue.name, runner)


def policy_of(settings: Settings, queue: QueueSettings) -> QueuePolicy:
    """What one queue allows of jobs that never run."""
    return QueuePolicy(
        queue.name,
        queue_key(queue.name),
        max_lost=settings.max_lost,
        unknown_grace=settings.unknown_grace,
        unknown_delay=settings.unknown_delay,
        keep_result=queue.keep_result,
        namespace=settings.namespace,
        payload_limit=settings.payload_limit,
        result_limit=settings.result_limit,
    )


def handlers_of(
    registry: Registry, queue: QueueSettings, flows: FlowJobs | None = None
) -> dict[str, Handler]:
    """The jobs of a queue with their rules, by short name, and those that the engine brings along for flows."""
    jobs = [*jobs_of(registry, queue).values(), *(flows.builtin if flows else ())]
    return {job.name: Handler(job, rules_of(job, queue)) for job in jobs}


def jobs_of(registry: Registry, queue: QueueSettings) -> Mapping[str, Job[Any, Any]]:
    """The jobs of a queue by short name. A queue that no job declares has none."""
    return registry.for_queue(queue.name) if queue.name in registry.queues else {}


def flow_jobs(
    settings: Settings,
    registry: Registry,
    queue: QueueSettings,
    redis: Callable[[], Any],
    *,
    clock: Clock = SYSTEM_CLOCK,
) -> FlowJobs:
    """What the worker of a queue does for flows; `redis` gives its connection once it is there."""
    return FlowJobs(lambda: flows_of(settings, redis(), clock), jobs_of(registry, queue))


def flows_of(settings: Settings, redis: Any, clock: Clock = SYSTEM_CLOCK) -> Flows:
    """Flows on an open connection."""
    return Flows(
        redis,
        settings.namespace,
        settings.default_queue,
        payload_limit=settings.payload_limit,
        keep_result=settings.keep_result,
        dead_retention=settings.dead_retention,
        events_maxlen=settings.events_maxlen,
        senders=Senders(SENDERS),
        clock=clock,
    )


def rules_of(job: Job[Any, Any], queue: QueueSettings) -> Rules:
    """How a job's attempts are judged: its own policy, and the queue's where it has none."""
    rules = Rules(
        max_attempts=queue.max_attempts,
        backoff=queue.backoff,
        timeout=queue.timeout,
        keep_result=queue.keep_result,
        retry_on=job.retry_on,
        give_up_on=job.give_up_on,
    )
    own = {name: getattr(job, name) for name in ("max_attempts", "backoff", "timeout", "keep_result")}
    return replace(rules, **{name: value for name, value in own.items() if value is not None})


def worker_settings(parts: Parts, queue: str) -> dict[str, Any]:
    """arq's worker settings for one queue, and ours beside them: keyword arguments of `QueueWorker`."""
    settings = parts.settings
    own = settings.queue(queue)
    handlers = handlers_of(parts.registry, own)
    return {
        "functions": [as_function(handler, own.name) for handler in handlers.values()] or [_placeholder()],
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
        "policy": Service(parts, own),
        "keeper": parts.keeper,
        "isolation": parts.isolation,
        "outages": parts.outages,
        "share": parts.shares.share(own.weight) if parts.shares else None,
    }


def as_function(handler: Handler, queue: str) -> Function:
    """A job as arq's plain function, so that its settings run on a stock worker too."""
    job, rules = handler.job, handler.rules

    async def call(ctx: dict[Any, Any], *args: Any, **kwargs: Any) -> Any:
        run = Run(id=ctx["job_id"], job=job.name, queue=queue, attempt=ctx["job_try"], deps=ctx.get("deps"))
        arguments = job.payload.parse(args, kwargs)
        if job.kind == "async":
            return await job.handler(run, **arguments)
        return await asyncio.to_thread(functools.partial(job.handler, run, **arguments))

    return Function(job.name, call, rules.timeout, rules.keep_result, None, rules.max_attempts)


def _placeholder() -> Function:
    """arq wants a function; a queue without jobs only waits for a worker that has some."""

    async def nothing(ctx: dict[Any, Any], *args: Any, **kwargs: Any) -> None:
        """Never called: no job can be enqueued under a name with a space."""

    return Function("no jobs", nothing, None, None, None, None)
