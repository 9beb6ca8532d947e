"""The client: enqueue jobs, look at them, wait for them, cancel them, and bring dead ones back.

A web handler, a script and another job use the same object. An enqueue is one round trip to Redis.
"""

from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, ParamSpec, Self, TypeVar, Unpack, cast

from rota.client import pausing, view
from rota.client.bulk.actions import Actions
from rota.client.bulk.operations import Bulk
from rota.client.calls import check_enqueueable, checked_calls, parser_of
from rota.client.cancellation import Cancellation
from rota.client.dead_letters import DeadLetters, Moved, Which, WhichFields
from rota.client.enqueue import Enqueued, Enqueuer
from rota.client.events import EventReader, ended, newest
from rota.client.failures import failures
from rota.client.hands.fixing import Fixing
from rota.client.hands.stack import ask
from rota.client.outbox.bell import Bell
from rota.client.outbox.outbox import Outbox
from rota.client.outbox.rows import Rows
from rota.client.rescheduling import reschedule
from rota.client.schedules import ScheduleControl
from rota.client.sending.drafts import Draft
from rota.client.webhooks.webhooks import Webhooks
from rota.errors import JobNotFound
from rota.flows.batches import BatchHandle
from rota.flows.flows import Flows
from rota.flows.members import NewBatch
from rota.flows.waiting import wait_for
from rota.model.bulk.actions import Actor
from rota.model.enqueueing import OFFERED, Enqueueable
from rota.model.event import EventType, StreamEvent
from rota.model.flows.handle import FlowHandle
from rota.model.flows.stages import FlowCall, Pipeline
from rota.model.handle import Handle
from rota.model.history.series import QueueHistory, Window
from rota.model.info import CancelAnswer, FailureGroup, JobInfo, RescheduleAnswer
from rota.model.job import Call, Job, Promise, queue_of
from rota.model.log.lines import LogLine
from rota.model.options import EnqueueFields, EnqueueOptions
from rota.model.schedules.info import ScheduleInfo
from rota.model.stack.stack import JobStack
from rota.model.state import State
from rota.model.webhooks.destinations import NOTHING
from rota.names import ids_of, short_name
from rota.process.clock import SYSTEM_CLOCK, Clock
from rota.seams import Sender, Senders
from rota.server.faults import explained
from rota.settings.settings import Settings
from rota.telemetry.history.reading import read_histories
from rota.telemetry.metrics.enqueued import ENQUEUED
from rota.wire.claims import encode_id
from rota.wire.inventory import queues_in
from rota.wire.keys import QueueKeys, events_key, queue_key

P = ParamSpec("P")
R = TypeVar("R")
H_co = TypeVar("H_co", covariant=True)

#: The most points of a history whose step is not said.
_POINTS = 100


class Client:
    """The application's way to its queues. `rota.connect()` makes one from the environment.

        async with await rota.connect() as client:
            handle = await client.enqueue(send_email, to="ann@example.com")
            await handle.result(timeout=10)

    It works over one asyncio Redis client, which `close` closes. Whatever Redis refuses, or does not answer, is raised
    as ServerError, in one sentence, by every method.
    """

    def __init__(
        self,
        redis: Any,
        settings: Settings | None = None,
        *,
        senders: Sequence[Sender] = (ENQUEUED,),
        clock: Clock = SYSTEM_CLOCK,
        on_close: Callable[[], object] | None = None,
    ) -> None:
        """Make a client on a Redis client that exists.

        :param redis: an asyncio client of redis-py, or arq's.
        :param settings: namespace, default queue, limits, and how long things are kept; without it, the defaults.
        :param senders: called around every enqueue, outermost first, or told what it created.
        :param clock: the time at which jobs are enqueued, and records written.
        :param on_close: called once the connections are closed.
        """
        self.redis = redis
        self._settings = settings = Settings() if settings is None else settings
        around = Senders(senders)
        self.flows = Flows(redis, settings, senders=around, clock=clock)
        self._sealer = settings.sealer
        self._enqueuer = Enqueuer(redis, settings, around, clock)
        self._rows = Rows(self._enqueuer, around, settings.namespace)
        #: Who did what to which jobs.
        self.actions = Actions(redis, settings.namespace)
        #: Who is told of the ends of jobs, and what was sent to them.
        self.webhooks = Webhooks(
            redis, settings.namespace, settings.webhook_allow or NOTHING, self.enqueue_many
        )
        #: Actions on many jobs at once.
        self.bulk = Bulk(redis, settings, self.queues)
        #: Wakes the relay of the outbox, after a commit.
        self.bell = Bell(redis, settings.namespace)
        self._cancellation = Cancellation(redis, settings, clock)
        self._dead_letters = DeadLetters(redis, settings)
        self._fixing = Fixing(redis, settings, clock, self._dead_letters)
        self._schedules = ScheduleControl(redis, settings)
        self._events = events_key(settings.namespace)
        self._clock = clock
        self._on_close = on_close

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections to Redis. Handles of this client cannot be used any more."""
        OFFERED.remove(self)
        self._enqueuer.close()
        await self.redis.aclose(close_connection_pool=True)
        if self._on_close is not None:
            self._on_close()

    # Enqueue

    async def enqueue(self, job: Enqueueable[P, H_co], /, *args: P.args, **kwargs: P.kwargs) -> H_co:
        """Enqueue a job, or a pipeline, with its arguments, in one round trip, which calls at the same time share.

            handle = await client.enqueue(send_email, to="ann@example.com")
            later = await client.enqueue(send_email.options(delay=60, id="welcome-ann"), to="ann@example.com")

        Arguments are checked against the handler's annotations; `job.options` says when, under which id, and with which
        policy. Returns a handle whose `result()` is typed as the handler's return value.

        Raises InvalidPayload for arguments that do not fit; PayloadTooLarge (`PAYLOAD_LIMIT`); JobExists where a live
        job has the id or the unique key, unless `on_taken` says otherwise; ServerError, after which the job may or may
        not be enqueued. A job with an `id` can then be enqueued again without harm.
        """
        if isinstance(job, Job):
            draft = self._enqueuer.draft(job, job.payload.bind(args, kwargs))
            handle: Any = self._handle_of(await self._enqueuer.send_one(draft))
        else:
            check_enqueueable(job)
            handle = await put(self, job.call(*args, **kwargs))
        return cast("H_co", handle)

    async def enqueue_many(self, calls: Iterable[Call[R]]) -> list[Handle[R]]:
        """Enqueue many jobs, in a round trip for each 200 of a queue.

            handles = await client.enqueue_many(send_email.call(to=address) for address in addresses)

        Returns handles in the order of `calls`. Raises InvalidPayload and PayloadTooLarge before anything is sent;
        JobExists, for the first id that is taken, when all other jobs are enqueued; ServerError when no job was
        enqueued, EnqueueIncomplete, with the ids, when some were.
        """
        return await self._send(
            [self._enqueuer.draft(call.job, call.arguments) for call in checked_calls(calls)]
        )

    async def batch(
        self,
        calls: Iterable[Call[Any]],
        *,
        on_finished: Call[Any] | None = None,
        on_died: Call[Any] | None = None,
        id: str | None = None,  # noqa: A002 - the field's word
        name: str = "batch",
    ) -> BatchHandle:
        """Enqueue jobs that belong together, of any kind and on any queues.

            batch = await client.batch(
                [resize.call(image) for image in images], on_finished=publish.call(album), id="album-7"
            )

        `on_finished` is enqueued once, when all jobs have ended, however they did; `on_died` once, at the first death.
        Both find the batch in `run.batch`. The jobs are put in portions: a caller that is interrupted enqueues the same
        batch under the same `id` again, which then goes on where it stopped. `name` is how the batch is shown.

        Raises InvalidPayload, PayloadTooLarge (before anything is sent), ServerError, TypeError for what is no
        `job.call(...)` or has an id of its own, ValueError for a batch of the same `id` with another number of jobs.
        """
        calls = list(calls)
        batch = NewBatch.of(
            self.flows, calls, name=name, user_id=id, on_finished=on_finished, on_died=on_died
        )
        batch_id, created = await batch.put()
        handles = [
            self.handle(member.queue, f"{batch_id}.0.{number}", call.job)
            for number, (member, call) in enumerate(zip(batch.members, calls, strict=True))
        ]
        return BatchHandle(self.flows, batch_id, handles, created=created)

    async def enqueue_by_name(
        self, name: str, payload: Mapping[str, Any] | None = None, /, **options: Unpack[EnqueueFields]
    ) -> Handle[Any]:
        """Enqueue a job whose code this process does not have: `queue:name`, or `name` on the default queue.

            await client.enqueue_by_name("email:send_email", {"to": "ann@example.com"}, delay=60)

        `payload` holds the arguments by name; the worker checks them. The priority and the unique key that the job's
        code declares are not known here, and do not count. `queue=` lets it run on another queue than that of its name.

        Raises InvalidPayload for arguments that JSON cannot carry, ValueError for a name that is not allowed, TypeError
        for a payload that is not a mapping, and otherwise as `enqueue` does.
        """
        draft = self._enqueuer.draft_by_name(name, payload, EnqueueOptions().changed(options))
        (handle,) = await self._send([draft])
        return handle

    async def enqueue_once(self, call: Call[R], key: str, *, fingerprint: str) -> tuple[Handle[R], bool]:
        """Enqueue a call once for a key, however often it is sent within a day, and whatever became of the job.

            handle, is_replayed = await client.enqueue_once(charge.call(order=7), request_key, fingerprint=digest)

        A key is what the sender of a request makes up for it, and `fingerprint` a digest of what it asks for. Returns
        the handle that the first enqueue got, and whether this was a later one. Raises IdempotencyMismatch where the
        key came with another fingerprint before, and otherwise what `enqueue` does. It may be tried again after a
        ServerError.
        """
        (checked,) = checked_calls([call])
        draft = self._enqueuer.draft(checked.job, checked.arguments)
        once = await self._enqueuer.send_once(draft, key, fingerprint)
        return self._handle_of(once.enqueued), once.is_replayed

    def outbox(self, holder: Any) -> Outbox:
        """Return the outbox of a transaction: what is enqueued in it runs if the transaction is committed.

            async with session.begin():
                session.add(order)
                await session.flush()  # gives order.id
                await client.outbox(session).enqueue(send_receipt, order_id=order.id)

        `holder` is what holds the transaction: an AsyncSession, AsyncConnection, Session or Connection of SQLAlchemy
        (and SQLModel), a connection of asyncpg, a connection or cursor of psycopg 3, Django's connection or its alias.
        The table is in the database of the workers' `DATABASE_URL`. Raises TypeError for anything else.
        """
        return Outbox(self, self._rows, holder, self.bell)

    async def _put(self, job: Job[Any, R], arguments: bytes) -> Handle[R]:
        """Enqueue a job with checked arguments. Raises what `enqueue` raises."""
        return self._handle_of(await self._enqueuer.send_one(self._enqueuer.draft(job, arguments)))

    async def _send(self, drafts: Sequence[Draft]) -> list[Handle[Any]]:
        enqueued = await self._enqueuer.send(drafts)
        return [self._handle_of(one) for one in enqueued]

    def _handle_of(self, one: Enqueued) -> Handle[Any]:
        queue, job_id, job, created = one
        return Handle(self, queue, job_id, job and job.result.parse, created=created)

    # Look and wait

    def handle(self, queue: str, job_id: str, job: Job[Any, R] | None = None) -> Handle[R]:
        """Return a handle of a job by its id in Redis or the id that you gave it, typed as `job` is if that is given.

        Redis is not asked, so the job need not exist.
        """
        return Handle(self, queue, job_id, parser_of(job))

    def flow(self, flow_id: str, pipeline: Pipeline[Any, R] | None = None) -> FlowHandle[R]:
        """Return a handle of a pipeline's run: by the run's own id, or by the one that `options(id=...)` gave it."""
        return FlowHandle(self.flows, flow_id, None if pipeline is None else pipeline.parse)

    def find_batch(self, batch_id: str) -> BatchHandle:
        """Return a handle of a batch: by the batch's own id, or by the one that was given to `batch`."""
        return BatchHandle(self.flows, batch_id)

    def queue_of(self, job: Job[Any, Any]) -> str:
        """Return the short name of the queue on which `job` is enqueued."""
        return queue_of(job, self._settings.default_queue)

    async def status(self, queue: str, job_id: str, *, letter: bool = False) -> JobInfo:
        """Return a job as it is now, by its id in Redis or the id that you gave it.

        With `letter` the dead letter of that id, where there is one: a later job may have the id again. Raises
        JobNotFound, ServerError.
        """
        async with explained(self.redis):
            info = await view.find_given(self.redis, queue, job_id, self._sealer, letters=letter)
        if info is None:
            raise JobNotFound(job_id)
        return info

    async def wait(self, queue: str, job_id: str, timeout: float | None = None) -> JobInfo:
        """Wait until a job is over, at most `timeout` seconds (None: without end), and return it as it is then.

        Raises ResultTimeout, and the job goes on; JobNotFound when its record is no longer kept; ServerError.
        """
        await wait_for(partial(self._is_over, queue, job_id), job_id, timeout, self._clock)
        return await self.status(queue, job_id)

    async def log(self, queue: str, job_id: str, *, after: str | None = None) -> list[LogLine]:
        """Return what the handler of a job has logged, in all attempts; of one that runs, up to a second ago.

            for line in await client.log("email", "welcome-ann"):
                print(line.at, line.level, line.message, line.fields)

        `job_id` is the id in Redis, or the one that you gave the job. `after` is the `position` of a line that was read
        before: then the lines behind that one are returned, and no others are read. An empty list is returned for a job
        that has logged nothing, or keeps no log (`keep_log`). Raises JobNotFound where Redis holds neither a log nor a
        job of this id, ValueError for another text than a position, ServerError.
        """
        async with explained(self.redis):
            lines = await view.log(self.redis, queue, job_id, after)
        if not lines and after is None:
            await self.status(queue, job_id)
        return lines

    async def stack(self, queue: str, job_id: str) -> JobStack:
        """Return what a running job is doing now: the calls in which its handler is, without values of variables.

            print((await client.stack("reports", "monthly")).text)

        Its worker answers from a thread of its own, also while the job blocks the event loop: for a task, a thread or
        a child process. `job_id` is the id in Redis, or the one that you gave the job. Raises NotRunning for a job that
        waits or is over; WorkerSilent where the worker does not answer within five seconds; JobNotFound, ServerError.
        """
        return await ask(self.redis, queue, job_id)

    async def _is_over(self, queue: str, job_id: str) -> bool:
        async with explained(self.redis):
            members = [encode_id(one) for one in ids_of(queue, job_id)]
            scores: list[float | None] = await self.redis.zmscore(queue_key(queue), members)
        return scores == [None, None]

    async def jobs(
        self,
        queue: str,
        state: State | str = State.WAITING,
        *,
        offset: int = 0,
        limit: int = 50,
        tenant: str | None = None,
    ) -> list[JobInfo]:
        """Return a page of a queue's jobs in one state, or of those of one tenant.

            newest = await client.jobs("email", "dead", limit=10)

        Jobs come in the order in which they are due; dead, completed and cancelled ones newest first. Redis keeps no
        list of completed and cancelled jobs: they are found by their events, as long as the stream has those
        (`EVENTS_MAXLEN`), and with their records (`keep_result`). A tenant's are looked for among the first 10,000.
        Raises ValueError for an unknown state, ServerError.
        """
        wanted = State(state)
        async with explained(self.redis):
            if wanted in (State.COMPLETED, State.CANCELLED):
                most, sealer = offset + limit, self._sealer
                found = await ended(
                    self.redis, self._events, queue, wanted, most, tenant=tenant, sealer=sealer
                )
                return found[offset:]
            where = self.redis, queue, QueueKeys.of(queue_key(queue)), wanted
            return await view.page(*where, offset=offset, limit=limit, tenant=tenant, sealer=self._sealer)

    async def counts(self, queue: str) -> dict[State, int]:
        """Return how many of a queue's jobs are waiting, delayed, active and dead. Raises ServerError."""
        async with explained(self.redis):
            return await view.counts(self.redis, QueueKeys.of(queue_key(queue)))

    async def queues(self) -> list[str]:
        """Return the names of all queues that have jobs or dead letters in Redis, whichever code put them there.

        Looks at every key of the database: a second for a million of them. Raises ServerError.
        """
        async with explained(self.redis):
            return sorted(await queues_in(self.redis))

    async def workers(self, queue: str) -> int:
        """Return how many worker processes serve a queue, those that drain included. Raises ServerError."""
        async with explained(self.redis):
            return await view.workers(self.redis, QueueKeys.of(queue_key(queue)))

    async def paused_since(self, queue: str) -> datetime | None:
        """Return when the queue was paused, in UTC, or None for a queue that is not paused. Raises ServerError."""
        async with explained(self.redis):
            return await pausing.since(self.redis, queue)

    async def history(
        self, queue: str, *, period: float | timedelta = 86_400.0, step: float | timedelta | None = None
    ) -> QueueHistory:
        """Return what became of a queue's jobs in the last `period` seconds, at most 72 hours, step by step.

            history = await client.history("email", period=timedelta(hours=8))
            print(history.total.completed, history.total.wait.p95, history.marks)

        Without a `step`, which is a number of whole minutes, there are at most 100 points. Workers tell what they have
        counted every ten seconds. Enqueues are not counted, nor jobs that are cancelled while they wait. It takes one
        round trip. Raises ValueError for a period or a step that cannot be, ServerError.
        """
        return (await self.histories([queue], period=period, step=step))[queue]

    async def histories(
        self,
        queues: Sequence[str],
        *,
        period: float | timedelta = 86_400.0,
        step: float | timedelta | None = None,
    ) -> dict[str, QueueHistory]:
        """Return what became of the jobs of each of some queues, as `history` does, in one round trip for all."""
        window, about = Window.of(period, step, most=_POINTS), self._clock.time()
        async with explained(self.redis):
            return await read_histories(self.redis, self._settings.namespace, queues, window, about)

    def events(
        self,
        *,
        after: str | None = None,
        queue: str | None = None,
        types: Iterable[EventType | str] | None = None,
    ) -> AsyncIterator[StreamEvent]:
        """Read what happens to jobs, on all workers, as it happens: an iterator without end.

            async for event in client.events(queue="email", types=["dead"]):
                print(event.task, event.error)

        Begins with what comes after the iteration has begun, or after the event at `after`: the `position` of one that
        was read, an `event_position()`, or "0-0" for all that are kept. While Redis is away it waits, and goes on where
        it was. Where the stream was trimmed before it was read (`EVENTS_MAXLEN`), the next event has `gap`.

        Raises ValueError for a type or a position that is not one; ServerError for a fault that stays.
        """
        return EventReader(self._events, after, queue=queue, types=types).all(self.redis)

    async def event_position(self) -> str:
        """Return the position of the newest event, from which `events` misses nothing that is enqueued afterwards.

        Raises ServerError.
        """
        return await newest(self.redis, self._events)

    # Pause, cancel, retry

    async def pause(self, queue: str) -> None:
        """Let no worker claim from the queue until `resume`: at once, and also after workers or Redis restart.

        Jobs that run go on to their end, and jobs may be enqueued as before. Raises ServerError.
        """
        async with explained(self.redis):
            await pausing.pause(self.redis, queue, self._clock.time_ms())

    async def resume(self, queue: str) -> None:
        """Let workers claim from the queue again. Raises ServerError."""
        async with explained(self.redis):
            await pausing.resume(self.redis, queue)

    async def cancel(self, queue: str, job_id: str) -> CancelAnswer:
        """Cancel a job, by its id in Redis or the id that you gave it.

        Returns "cancelled" for a job that waited, and is gone; "requested" for a job that runs, which its worker stops
        within a second unless it ends before; "finished" for a job that is over; "not found" where Redis holds neither
        a job of this id nor its record. Raises ServerError.
        """
        (answer,) = await self.cancel_many(queue, [job_id])
        return answer

    async def cancel_many(self, queue: str, ids: Iterable[str]) -> list[CancelAnswer]:
        """Cancel many jobs of a queue, in three round trips for each 200; return the answers in the order of `ids`.

        Raises ServerError.
        """
        async with explained(self.redis):
            return [answer async for answer in self._cancellation.cancel_given(queue, list(ids))]

    async def cancel_all(self, queue: str, *, task: str | None = None) -> dict[CancelAnswer, int]:
        """Cancel all live jobs of a queue, or those whose name is `task`; return how many got which answer.

            await client.cancel_all("email", task="send_newsletter")

        `task` may have its queue before it, `email:send_newsletter`. Raises ServerError.
        """
        task = task and short_name(queue, task)
        async with explained(self.redis):
            return await self._cancellation.cancel_all(queue, task)

    async def reschedule(
        self, queue: str, job_id: str, *, delay: float | timedelta | None = None, at: datetime | None = None
    ) -> RescheduleAnswer:
        """Make a job that waits due at another time: now, `delay` seconds from now, or at `at`.

            await client.reschedule("email", "welcome-ann")  # now
            await client.reschedule("email", "welcome-ann", delay=timedelta(hours=1))

        `job_id` is the id in Redis, or the one that you gave the job. A job that waits for its next attempt may be
        moved too, and keeps its attempts; one that a limit keeps back waits for its turn all the same. Returns
        "rescheduled"; "running" for a job that a worker has; "finished" for one that is over; "not found" where Redis
        holds neither a job of this id nor its record. Raises ValueError as `Job.options` does, ServerError.
        """
        when = EnqueueOptions().changed({"delay": delay, "at": at})
        async with explained(self.redis):
            return await reschedule(
                self.redis, self._settings, queue, job_id, delay=when.delay or 0.0, at=when.at
            )

    async def retry(
        self,
        queue: str,
        job_id: str,
        *,
        call: Call[Any] | None = None,
        by: Actor | None = None,
        reason: str = "",
    ) -> Handle[Any]:
        """Bring a dead letter back, with its full number of attempts, and the checkpoint that it saved.

            await client.retry("email", "welcome-ann", call=send_email.call(to="ann@example.com"))

        `job_id` is the id in Redis, or the one that you gave the job. `call`, of the same job, gives it other
        arguments; id, headers and options stay its own. What they were is kept with the action, for which `by` answers,
        and with it the `reason`.
        A job whose death ended a pipeline lets the pipeline go on where it stopped. While another job has the unique
        key of the letter, the key's rule holds as at an enqueue: "existing" returns a handle of that job, whose
        `created` is False, and the letter stays; "replace" and "debounce" give that job the letter's arguments.

        Raises JobNotFound, and for a job that is there and has no dead letter NoDeadLetter; JobExists while a live job
        has its id, or its unique key and "refuse" is the rule or that job runs; NotReplayed for a letter without a
        payload, and for a job of a pipeline or a batch that is over or still being stopped; ServerError. With `call`
        also PayloadTooLarge; ValueError for the call of another job; NotReplayed for a stage of a pipeline, which gets
        its arguments from there; RefusedPayload for a letter whose seal does not fit.
        """
        if call is None:
            job = await self._dead_letters.replay(queue, job_id)
        else:
            (checked,) = checked_calls([call])
            job = await self._fixing.fix(queue, job_id, checked, by, reason)
        return Handle(self, queue, job.id, parser_of(call.job if call else None), created=job.is_itself)

    async def failures(self, queue: str | None = None, *, moved: Moved | None = None) -> list[FailureGroup]:
        """Return the dead letters of one queue, or of all, grouped by cause, the most numerous first.

        Reads all dead letters, 1,000 in a round trip; after each `moved` is called with how many were read, and how
        many there are. Raises ServerError.
        """
        return await failures(self.redis, await self.queues() if queue is None else (queue,), moved)

    async def retry_dead(
        self, queue: str, *, moved: Moved | None = None, **which: Unpack[WhichFields]
    ) -> int:
        """Bring back all dead letters of a queue, or those of one job, reason or cause, or that died since a moment.

            await client.retry_dead("email", task="send_email", since=datetime.now(UTC) - timedelta(hours=1))

        `task` may have its queue before it, `email:send_email`. Letters that cannot be brought back are passed over.
        After each 200 letters `moved` is called with how many were brought back, and how many may match. Returns how
        many were brought back. Raises ServerError.
        """
        return await self._dead_letters.replay_all(queue, Which.of(queue, which), moved)

    async def count_dead(
        self, queue: str, *, moved: Moved | None = None, **which: Unpack[WhichFields]
    ) -> int:
        """Return how many dead letters a queue has, or how many of one job, reason or cause. Raises ServerError."""
        return await self._dead_letters.count(queue, Which.of(queue, which), moved)

    async def purge_dead(
        self, queue: str, *, moved: Moved | None = None, **which: Unpack[WhichFields]
    ) -> int:
        """Delete all dead letters of a queue, or those of one job, reason or cause, or that died since a moment.

        They cannot be brought back then. `moved` is called as in `retry_dead`. Returns how many were deleted. Raises
        ServerError.
        """
        return await self._dead_letters.delete_all(queue, Which.of(queue, which), moved)

    async def delete_dead(self, queue: str, job_id: str) -> None:
        """Delete a dead letter, as if its time (`DEAD_RETENTION`) were over: it cannot be brought back then.

        `job_id` is the id in Redis, or the one that you gave the job. The record that waiters read stays for the rest
        of its own time. Raises JobNotFound (NoDeadLetter where the job is there), ServerError.
        """
        await self._dead_letters.delete(queue, job_id)

    # Schedules

    async def schedules(self) -> list[ScheduleInfo]:
        """Return all schedules, by name: those that workers have declared, on all queues. Raises ServerError."""
        async with explained(self.redis):
            return await self._schedules.look()

    async def run_schedule(self, name: str) -> Handle[Any]:
        """Enqueue the job of a schedule now, beside its ticks, with the schedule's arguments.

        Raises UnknownSchedule, ServerError.
        """
        async with explained(self.redis):
            draft = await self._schedules.draft(name, self._clock.time_ms())
        (handle,) = await self._send([draft])
        return handle

    async def pause_schedule(self, name: str) -> None:
        """Let a schedule enqueue nothing until `resume_schedule`; a job that runs goes on.

        Raises UnknownSchedule, ServerError.
        """
        async with explained(self.redis):
            await self._schedules.pause(name)

    async def resume_schedule(self, name: str) -> None:
        """Let a schedule go on with the tick that comes next; what it was paused over is not made up.

        Raises UnknownSchedule, ServerError.
        """
        async with explained(self.redis):
            await self._schedules.resume(name)


def put(client: Client, promise: Promise[Any]) -> Coroutine[Any, Any, Handle[Any] | FlowHandle[Any]]:
    """Enqueue a job, or a pipeline, whose arguments are checked. Raises what `Client.enqueue` raises."""
    if isinstance(promise, FlowCall):
        return client.flows.start(promise.pipeline, promise.arguments)
    call = cast("Call[Any]", promise)
    return client._put(call.job, call.arguments)
