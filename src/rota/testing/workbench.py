"""The bench: the service in a test, without a server, a worker process or waiting."""

import math
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from datetime import datetime
from functools import partial
from itertools import count
from typing import Any, ParamSpec, Self, TypeVar

from pydantic_core import from_json

from rota.app import compose, connect, handlers
from rota.attempts.attempt import override
from rota.attempts.off_loop.children import Processes
from rota.attempts.parts import Resources, Stacks
from rota.attempts.runner import Runner
from rota.client.sync import SyncClient
from rota.errors import ResultTooLarge
from rota.model.checkpoint import encode
from rota.model.enqueueing import OFFERED, OFFERED_SYNC, Clients
from rota.model.headers import current_headers
from rota.model.job import Job
from rota.model.run import Run, RunFacts
from rota.names import full_name, new_id
from rota.seams import Middleware, Subscriber
from rota.settings.settings import Settings
from rota.telemetry.tracing.senders import SENDERS
from rota.testing.attempt import RecordedExecution, run_alone
from rota.testing.clock import BenchClock, seconds_of
from rota.testing.draining import BenchTicks, drain
from rota.testing.evidence import Evidence
from rota.testing.jobs import registry_of
from rota.testing.journal import Journal
from rota.testing.pools import Pools
from rota.testing.server import BenchBridge, clients
from rota.testing.virtual_time import PATIENCE, VirtualTime
from rota.testing.worker import Worker
from rota.wire.claims import Checkpoint, Claim, Report
from rota.wire.keys import QueueKeys, events_key, queue_key

P = ParamSpec("P")
R = TypeVar("R")

#: Stands for "what the package's lifespan yields".
LIFESPAN: Any = object()


class Bench(Evidence):
    """Queues on a fake server whose clock is ours; use it as `with Bench([send_email]) as bench`.

    :param jobs: the jobs to run, or the name of their package; None is the package that the settings name.
    :param deps: what handlers get as `run.deps`; by default what the package's lifespan yields, opened for the time of
        each `run` and `drain`.
    :param settings: `Settings`, or those that differ from their defaults, by name. The environment is not read.
    :param middleware: around every handler, outermost first; by default the service's own and that of the jobs package.
    :param subscribers: told of every event; by default the service's own and those of the jobs package.
    :param processes: run process jobs in real child processes; else each runs in a thread of this process.
    :param start: what the clock says first; by default the time of day.
    :param patience: seconds after which open sockets that stay silent count as idle, and time may jump.

    `client` is the service's client, `sync_client` the same for code without an event loop, and `redis` a stock arq
    client on the same server.
    """

    def __init__(
        self,
        jobs: str | Iterable[Job[Any, Any]] | None = None,
        *,
        deps: Any = LIFESPAN,
        settings: Settings | Mapping[str, Any] | None = None,
        middleware: Sequence[Middleware] | None = None,
        subscribers: Sequence[Subscriber] | None = None,
        processes: bool = False,
        start: datetime | None = None,
        patience: float = PATIENCE,
    ) -> None:
        self.settings = settings if isinstance(settings, Settings) else Settings(**(settings or {}))
        registry = registry_of(jobs, self.settings)
        self.redis, looking = clients()
        self._clock = BenchClock(start)
        self.client = connect.client_of(self.settings, self.redis, clock=self._clock.passed)
        self.sync_client = SyncClient(BenchBridge(self.client), lambda: self.settings, SENDERS)
        journal = Journal(looking, events_key(self.settings.namespace))
        self.redis.changed = journal.look
        queues, sealer = self.settings.served_queues(registry.queues), self.settings.sealer
        super().__init__(registry, queues, looking, journal, sealer=sealer)
        self._deps = deps
        around = compose.middleware_of(registry, self.settings, lambda: self.redis)
        self._middleware = around if middleware is None else tuple(middleware)
        own = (*compose.SUBSCRIBERS, *registry.hooks.subscribers) if subscribers is None else subscribers
        self._subscribers = (*own, journal.hear)
        self._processes = processes
        self._time = VirtualTime(self._clock, patience)
        self._open = ExitStack()
        self._draining = False
        self._drains = count(1)

    def __enter__(self) -> Self:
        self._open.enter_context(self._clock.opened())
        OFFERED.add(self.client)
        self._open.callback(OFFERED.remove, self.client)
        OFFERED_SYNC.add(self.sync_client)
        self._open.callback(OFFERED_SYNC.remove, self.sync_client)
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    # The clock

    @property
    def now(self) -> datetime:
        """The time of the server's clock, in UTC."""
        return self._clock.today

    def advance(self, seconds: float) -> None:
        """Move the clock forward; nothing runs until the next `drain`. Raises ValueError for less than 0."""
        self._clock.advance(seconds)

    # Running

    async def run(self, job: Job[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run one handler alone, with checked arguments and result and `deps`: no queue, no retry, no middleware.

        The headers of its run are those that are set around this call (`rota.headers`).
        Raises what the handler raises, signals (Retry, Snooze, Cancel) too; JobTimeout after the job's timeout;
        InvalidPayload, InvalidResult, ResultTooLarge.
        """
        return await self._run_alone(job, None, args, kwargs)

    async def resume(self, job: Job[P, R], checkpoint: Any, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run one handler alone, as `run` does, with `checkpoint` as its `run.last_checkpoint`.

        The handler gets the checkpoint as it comes back from Redis. Raises TypeError for one that JSON cannot carry,
        CheckpointTooLarge, and what `run` raises.
        """
        return await self._run_alone(job, checkpoint, args, kwargs)

    async def _run_alone(
        self, job: Job[..., R], checkpoint: Any, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> R:
        saved = Checkpoint(1, encode(checkpoint, self.settings.payload_limit))
        execution = RecordedExecution(Claim(new_id(), "", None, 1, 0, 0, checkpoint=saved.wire()))
        arguments = job.payload.parse(kwargs=from_json(job.payload.bind(args, kwargs)))
        facts, timeout = self._facts(job, execution)
        async with self._resources() as (deps, pools):
            report = partial(self._journal.report, facts)
            own = None if job.kind == "process" else deps
            run = Run(facts, deps=own, report=report, keep=execution.keep, clients=self._clients())
            call = run_alone(job, run, arguments, execution, timeout=timeout, off_loop=pools.call)
            try:
                raw = await self._time.task(call)
            finally:
                self._journal.save(facts.queue, job.name, execution.states)
        if len(raw) > self.settings.result_limit:
            name = full_name(facts.queue, job.name)
            raise ResultTooLarge(name, len(raw), self.settings.result_limit)
        result: R = job.result.parse(from_json(raw))
        return result

    def _facts(self, job: Job[..., Any], execution: RecordedExecution) -> tuple[RunFacts, float]:
        """Return the facts of an attempt that runs alone, and its timeout in seconds."""
        queue = self.registry.queue_of(job)
        rules = override(handlers.rules_of(job, self.settings.queue(queue)), job.enqueue_options.wire())
        facts = RunFacts(
            id=execution.claim.id,
            job=job.name,
            queue=queue,
            max_attempts=rules.max_attempts,
            enqueued_ms=self._clock.passed.time_ms(),
            headers=dict(current_headers()),
            last_checkpoint=execution.checkpoint.value,
            checkpoint_limit=self.settings.payload_limit,
        )
        return facts, rules.timeout

    async def drain(
        self, *, until: datetime | None = None, schedules: bool = False, max_jobs: int = 10_000
    ) -> int:
        """Run everything that is due, move the clock to what is due next, and so on; return the number of attempts.

        Ends when nothing is left, or nothing that is due by `until`; the clock then says `until`. Jobs that this bench
        does not know stay where they are. With `schedules` it also runs the ticks from now on until `until`, which is
        needed then. Raises AssertionError when `max_jobs` attempts were not enough.
        """
        if self._draining:
            raise RuntimeError("this bench is draining already; await one drain() before the next")
        if schedules and until is None:
            raise ValueError(
                "schedules have no end; say until when to run them: drain(until=..., schedules=True)"
            )
        end = math.inf if until is None else seconds_of(until)
        self._draining = True
        try:
            async with self._resources() as (deps, pools):
                workers = self._workers(deps, pools)
                ticks = BenchTicks(
                    self.redis, self.settings, self.registry if schedules else None, self._clock
                )
                attempts = await drain(workers, self._clock, self._journal, ticks, end=end, max_jobs=max_jobs)
        finally:
            self._draining = False
        if until is not None:
            self._clock.move_to(end)
        return attempts

    # What it is made of

    @asynccontextmanager
    async def _resources(self) -> AsyncIterator[tuple[Any, Pools]]:
        if not self._clock.is_open:
            raise RuntimeError("this bench is not open; use it as `with Bench(...) as bench`")
        async with AsyncExitStack() as stack:
            lifespan = self.registry.lifespan if self._deps is LIFESPAN else None
            deps = None if self._deps is LIFESPAN else self._deps
            if lifespan is not None:
                deps = await stack.enter_async_context(lifespan())
            pools = Pools(self._time, processes=self._processes)
            stack.push_async_callback(pools.close)
            stack.enter_context(self._time.running())
            yield deps, pools

    def _clients(self) -> Clients:
        return compose.clients_for(self.settings, self.registry, self.redis, self._clock.passed)

    def _workers(self, deps: Any, pools: Pools) -> list[Worker]:
        name = f"bench-{next(self._drains)}"
        parts = compose.ProcessParts(
            self.settings, self.registry, None, Processes(), deps, lambda reason: None
        )
        own = [compose.QueueParts(parts, self.settings.queue(queue)) for queue in self.queues]
        return [self._worker(one, name, pools) for one in own]

    def _worker(self, parts: compose.QueueParts, name: str, pools: Pools) -> Worker:
        queue = parts.queue
        reports: list[Report] = []
        runner = self._runner(parts, pools, lambda *report: reports.append(report))
        return Worker(
            parts.scripts(QueueKeys.of(queue_key(queue.name)), name, self.settings.lease),
            runner,
            redis=self.redis,
            looking=self._looking,
            reports=reports,
            saved=partial(self._journal.save, queue.name),
            time=self._time,
        )

    def _runner(
        self, parts: compose.QueueParts, pools: Pools, report: Callable[[Claim, str, float, str], None]
    ) -> Runner:
        settings, queue, clock = self.settings, parts.queue, self._clock.passed
        flows = compose.flow_jobs(settings, self.registry, queue, lambda: self.redis, clock=clock)
        return Runner(
            compose.policy_of(settings, queue),
            handlers.runnable(self.registry, queue, flows.builtin),
            Resources(
                deps=parts.process.deps,
                report=report,
                off_loop=pools.call,
                inputs=flows,
                clients=self._clients,
            ),
            Stacks(
                entries=compose.ENTRIES,
                tracers=compose.TRACERS,
                middleware=self._middleware,
                subscribers=self._subscribers,
            ),
            clock=clock,
            # Jitter spreads a herd; in a test it would only change the order from one run to the next.
            rand=lambda: 0.5,
        )
