"""The bench: the service in a test, without a server, a worker process or waiting."""

import math
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from datetime import datetime
from functools import partial
from itertools import count
from typing import Any, ParamSpec, Self, TypeVar

from rota.app import compose, handlers
from rota.attempts.pools import Processes
from rota.attempts.runner import Runner, override
from rota.model.checkpoint import encode
from rota.model.event import Event, EventType
from rota.model.headers import current_headers
from rota.model.job import Job
from rota.model.run import Run
from rota.names import new_id
from rota.seams import Middleware, Subscriber
from rota.settings.settings import Settings
from rota.testing.attempt import Noted, run_alone
from rota.testing.clock import Clock, seconds_of
from rota.testing.evidence import Evidence
from rota.testing.jobs import registry_of
from rota.testing.journal import Journal
from rota.testing.line import Line
from rota.testing.pools import Pools
from rota.testing.server import clients
from rota.testing.virtual_time import PATIENCE, VirtualTime
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
    :param middleware: around every handler, outermost first; by default the service's own.
    :param subscribers: told of every event; by default the service's own.
    :param processes: run process jobs in real child processes; else each runs in a thread of this process.
    :param start: what the clock says first; by default the time of day.
    :param patience: seconds after which open sockets that stay silent count as idle, and time may jump.

    `client` is the service's client, `redis` a stock arq client on the same server.
    """

    def __init__(
        self,
        jobs: str | Iterable[Job[Any, Any]] | None = None,
        *,
        deps: Any = LIFESPAN,
        settings: Settings | Mapping[str, Any] | None = None,
        middleware: Sequence[Middleware] = compose.MIDDLEWARE,
        subscribers: Sequence[Subscriber] = compose.SUBSCRIBERS,
        processes: bool = False,
        start: datetime | None = None,
        patience: float = PATIENCE,
    ) -> None:
        self.settings = settings if isinstance(settings, Settings) else Settings(**(settings or {}))
        registry = registry_of(jobs, self.settings)
        self.redis, looking = clients()
        self._clock = Clock(start)
        self.client = compose.client_of(self.settings, self.redis, clock=self._clock.passed)
        journal = Journal(looking, events_key(self.settings.namespace))
        super().__init__(registry, self.settings.served_queues(registry.queues), looking, journal)
        self._deps = deps
        self._middleware = tuple(middleware)
        self._subscribers = (*subscribers, journal.hear)
        self._processes = processes
        self._time = VirtualTime(self._clock, patience)
        self._open = ExitStack()
        self._draining = False
        self._drains = count(1)

    def __enter__(self) -> Self:
        self._open.enter_context(self._clock.opened())
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    # The clock

    @property
    def now(self) -> datetime:
        """What the server's clock says, in UTC."""
        return self._clock.today

    def advance(self, seconds: float) -> None:
        """Move the clock forward; nothing runs until the next `drain`. Raises ValueError for less than 0."""
        self._clock.advance(seconds)

    # Running

    async def run(self, job: Job[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run one handler alone, with checked arguments and result and `deps`: no queue, no retry, no middleware.

        Its headers are those that are given around this call (`rota.headers`).
        Raises what the handler raises, signals (Retry, Snooze, Cancel) too; JobTimeout after the job's timeout;
        InvalidPayload, InvalidResult, ResultTooLarge.
        """
        return await self._run_alone(job, None, args, kwargs)

    async def resume(self, job: Job[P, R], checkpoint: Any, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """The same for an attempt that finds `checkpoint`, as it comes back from Redis, as its `run.last_checkpoint`.

        Raises TypeError for a checkpoint that JSON cannot carry, CheckpointTooLarge.
        """
        return await self._run_alone(job, checkpoint, args, kwargs)

    async def _run_alone(
        self, job: Job[..., R], checkpoint: Any, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> R:
        queue = self.registry.queue_of(job)
        limit = self.settings.payload_limit
        saved = Checkpoint(1, encode(checkpoint, limit))
        execution = Noted(Claim(new_id(), "", None, 1, 0, 0, checkpoint=saved.wire()))
        rules = override(handlers.rules_of(job, self.settings.queue(queue)), job.enqueue_options.wire())
        async with self._resources() as (deps, pools):
            run = Run(
                id=execution.claim.id,
                job=job.name,
                queue=queue,
                max_attempts=rules.max_attempts,
                enqueued_ms=round(self._clock.now * 1000),
                deps=None if job.kind == "process" else deps,
                headers=dict(current_headers()),
                report=lambda percent, message: self._journal.add(
                    Event(EventType.PROGRESS, queue, run.id, job.name, 1, percent=percent, message=message)
                ),
                last_checkpoint=saved.value,
                checkpoint_limit=limit,
                keep=execution.keep,
            )
            most = self.settings.result_limit
            alone = run_alone(
                job, run, execution, args, kwargs, timeout=rules.timeout, result_limit=most, pools=pools
            )
            try:
                result: R = await self._time.task(alone)
            finally:
                self._journal.save(queue, job.name, execution.states)
            return result

    async def drain(self, *, until: datetime | None = None, max_jobs: int = 10_000) -> int:
        """Run everything that is due, move the clock to what is due next, and so on; how many attempts that were.

        Ends when nothing is left, or nothing that is due by `until`; the clock then says `until`. Jobs that this bench
        does not know stay where they are. Raises AssertionError when `max_jobs` attempts were not enough.
        """
        if self._draining:
            raise RuntimeError("this bench is draining already; await one drain() before the next")
        end = math.inf if until is None else seconds_of(until)
        self._draining = True
        try:
            async with self._resources() as (deps, pools):
                attempts = await self._drain(self._lines(deps, pools), end, max_jobs)
        finally:
            self._draining = False
        if until is not None:
            self._clock.move_to(end)
        return attempts

    async def _drain(self, lines: Sequence[Line], end: float, max_jobs: int) -> int:
        attempts = 0
        while True:
            due = [(at, index) for index, line in enumerate(lines) if (at := line.due()) is not None]
            if not due or min(due)[0] > end:
                return attempts
            if attempts >= max_jobs:
                raise AssertionError(_endless(lines, max_jobs))
            at, index = min(due)
            self._clock.move_to(at)
            attempts += await lines[index].work()
            self._journal.settle_up()

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

    def _lines(self, deps: Any, pools: Pools) -> list[Line]:
        worker = f"bench-{next(self._drains)}"
        parts = compose.ProcessParts(
            self.settings, self.registry, None, Processes(), lambda: deps, lambda reason: None
        )
        return [
            self._line(compose.QueueParts(parts, self.settings.queue(queue)), worker, pools)
            for queue in self.queues
        ]

    def _line(self, service: compose.QueueParts, worker: str, pools: Pools) -> Line:
        queue = service.queue
        reports: list[Report] = []
        flows = compose.flow_jobs(
            self.settings, self.registry, queue, lambda: self.redis, clock=self._clock.passed
        )
        runner = Runner(
            compose.policy_of(self.settings, queue),
            handlers.handlers_of(self.registry, queue, flows),
            inputs=flows,
            deps=service.process.deps,
            report=lambda *report: reports.append(report),
            in_thread=pools.in_thread,
            in_process=pools.in_process,
            tracers=compose.TRACERS,
            middleware=self._middleware,
            subscribers=self._subscribers,
        )
        protocol = service.scripts(QueueKeys.of(queue_key(queue.name)), worker, self.settings.lease)
        return Line(
            protocol,
            runner,
            redis=self.redis,
            looking=self._looking,
            reports=reports,
            saved=partial(self._journal.save, queue.name),
            time=self._time,
        )


def _endless(lines: Sequence[Line], max_jobs: int) -> str:
    ran: dict[str, int] = {}
    for line in lines:
        for task, times in line.ran.items():
            ran[task] = ran.get(task, 0) + times
    most = ", ".join(
        f"{task} {times} times" for task, times in sorted(ran.items(), key=lambda item: -item[1])[:5]
    )
    return (
        f"drain() ran {max_jobs} attempts and jobs are left ({most}); a job that enqueues or snoozes itself for ever "
        "needs drain(until=...), a long test a higher max_jobs"
    )
