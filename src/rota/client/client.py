"""The client: enqueue jobs, see what became of them, cancel them, bring dead ones back.

A web handler, a script and another job use the same object. An enqueue is one round trip.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, ParamSpec, Protocol, Self, TypeVar, Unpack, cast

from pydantic_core import to_json

from rota.client import view
from rota.client.cancellation import Cancellation
from rota.client.dead_letters import DeadLetters
from rota.client.enqueue import Draft, Enqueuer
from rota.errors import InvalidPayload, JobNotFound
from rota.flows.batches import BatchHandle, put_batch
from rota.flows.flows import Flows, waited
from rota.model.flows.handle import FlowHandle
from rota.model.flows.stages import Pipeline
from rota.model.handle import Handle
from rota.model.info import CancelAnswer, JobInfo
from rota.model.job import Call, Job, Promise
from rota.model.options import EnqueueFields, EnqueueOptions
from rota.model.state import State
from rota.names import check_name
from rota.process.clock import SYSTEM_CLOCK, Clock
from rota.seams import Sender, Senders
from rota.server.faults import explained
from rota.telemetry.metrics.enqueued import ENQUEUED
from rota.wire.claims import decode_id, encode_id
from rota.wire.keys import QueueKeys, check_queue, events_key, queue_key
from rota.wire.scripts import NUDGE

P = ParamSpec("P")
R = TypeVar("R")
H_co = TypeVar("H_co", covariant=True)


class Client:
    """Talks to the queues over one asyncio Redis client, which it closes if it made it (`rota.connect`).

    `keep_result` (seconds) is how long the record of a job stays that was cancelled before it ran; `payload_limit` is
    in bytes. `senders` are around every enqueue.
    """

    def __init__(
        self,
        redis: Any,
        *,
        namespace: str = "rota",
        default_queue: str = "default",
        payload_limit: int = 262_144,
        keep_result: float = 3600.0,
        events_maxlen: int = 100_000,
        dead_retention: float = 30 * 86400.0,
        senders: Sequence[Sender] = (ENQUEUED,),
        clock: Clock = SYSTEM_CLOCK,
        on_close: Callable[[], object] | None = None,
    ) -> None:
        self.redis = redis
        around = Senders(senders)
        self.flows = Flows(
            redis,
            namespace,
            default_queue,
            payload_limit=payload_limit,
            keep_result=keep_result,
            dead_retention=dead_retention,
            events_maxlen=events_maxlen,
            senders=around,
            clock=clock,
        )
        self._clock = clock
        self._on_close = on_close
        self._default_queue = default_queue
        events = events_key(namespace)
        self._enqueuer = Enqueuer(
            redis,
            namespace,
            default_queue,
            payload_limit=payload_limit,
            events=events,
            events_maxlen=events_maxlen,
            senders=around,
            clock=clock,
        )
        self._cancellation = Cancellation(redis, events, events_maxlen, keep_result, clock)
        self._dead_letters = DeadLetters(redis, events, events_maxlen)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self.redis.aclose(close_connection_pool=True)
        if self._on_close is not None:
            self._on_close()

    # Enqueue

    async def enqueue(self, job: "Enqueueable[P, H_co]", /, *args: P.args, **kwargs: P.kwargs) -> H_co:
        """Enqueue `job`, or a pipeline, with its arguments; `job.options(delay=60)` says more.

        Raises InvalidPayload, PayloadTooLarge, JobExists (unless `on_taken="existing"`), ServerError.
        """
        handle: Any
        if isinstance(job, Pipeline):
            handle = await self.flows.start(job, job.bind(args, kwargs))
        elif isinstance(job, Job):
            (handle,) = await self._send([self._enqueuer.draft(job, job.payload.bind(args, kwargs))])
        else:
            raise TypeError(f"{job!r} is no job; enqueue a function that @job has decorated, or a pipeline")
        return cast(H_co, handle)

    async def enqueue_many(self, calls: Iterable[Call[R]]) -> list[Handle[R]]:
        """Enqueue many jobs, made by `job.call(...)`, in few round trips; handles in the same order.

        Raises InvalidPayload and PayloadTooLarge before anything is sent; JobExists, for the first id that is taken,
        when all others are enqueued; ServerError when nothing was enqueued, EnqueueIncomplete when some were.
        """
        return await self._send([self._enqueuer.draft(call.job, call.arguments) for call in calls])

    async def batch(
        self,
        calls: Iterable[Call[Any]],
        *,
        on_finished: Call[Any] | None = None,
        on_died: Call[Any] | None = None,
        id: str | None = None,  # noqa: A002 - the field's word
        name: str = "batch",
    ) -> BatchHandle:
        """Enqueue jobs that belong together, made by `job.call(...)`: of any kind, on any queues.

        `on_finished` is enqueued once, when all of them have ended, however they did; `on_died` once, at the first
        death. Both are told of the batch by `run.batch`. Jobs are put in portions: whoever is interrupted enqueues the
        same batch under the same `id` again, and it goes on where it was. Raises as `enqueue` does, and ValueError.
        """
        return await put_batch(
            self.flows,
            list(calls),
            name=name,
            on_finished=on_finished,
            on_died=on_died,
            batch_id=id,
            make_handle=self.handle,
        )

    async def enqueue_by_name(
        self, name: str, payload: Mapping[str, Any] | None = None, /, **options: Unpack[EnqueueFields]
    ) -> Handle[Any]:
        """Enqueue a job by its name (`queue:name`, or `name` on the default queue), without its handler's code.

        The worker checks the payload. Raises as `enqueue` does.
        """
        queue, _, task = name.rpartition(":")
        queue = queue or self._default_queue
        check_queue(queue)
        check_name("job", task)
        try:
            arguments = to_json(dict(payload or {}))
        except ValueError as error:
            raise InvalidPayload(task, {"": "cannot travel as JSON"}) from error
        draft = self._enqueuer.draft_by_name(queue, task, arguments, EnqueueOptions().changed(options))
        (handle,) = await self._send([draft])
        return handle

    async def _send(self, drafts: Sequence[Draft]) -> list[Handle[Any]]:
        enqueued = await self._enqueuer.send(drafts)
        return [Handle(self, one.queue, one.id, _parser(one.job), created=one.created) for one in enqueued]

    # See

    def handle(self, queue: str, job_id: str, job: Job[Any, R] | None = None) -> Handle[R]:
        """A handle of a job whose id is known, of the type of `job` if that is given."""
        return Handle(self, queue, job_id, _parser(job))

    def flow(self, flow_id: str, pipeline: Pipeline[Any, R] | None = None) -> FlowHandle[R]:
        """A handle of a pipeline's run whose id is known (its own, or one that was given to it)."""
        return FlowHandle(self.flows, flow_id, None if pipeline is None else pipeline.parse)

    def find_batch(self, batch_id: str) -> BatchHandle:
        """A handle of a batch whose id is known (its own, or one that was given to it)."""
        return BatchHandle(self.flows, batch_id)

    def queue_of(self, job: Job[Any, Any]) -> str:
        """The queue that `job` belongs to."""
        return job.queue or self._default_queue

    async def status(self, queue: str, job_id: str) -> JobInfo:
        """The job as it is now. Raises JobNotFound."""
        async with explained(self.redis):
            (info,) = await view.find(self.redis, queue, QueueKeys.of(queue_key(queue)), [job_id])
        if info is None:
            raise JobNotFound(job_id)
        return info

    async def wait(self, queue: str, job_id: str, timeout: float | None = None) -> JobInfo:
        """Wait until the job is over, at most `timeout` seconds. Raises ResultTimeout, JobNotFound."""
        await waited(partial(self._is_over, queue, job_id), job_id, timeout, self._clock)
        return await self.status(queue, job_id)

    async def _is_over(self, queue: str, job_id: str) -> bool:
        async with explained(self.redis):
            return await self.redis.zscore(queue_key(queue), encode_id(job_id)) is None

    async def jobs(
        self, queue: str, state: State | str = State.WAITING, *, offset: int = 0, limit: int = 50
    ) -> list[JobInfo]:
        """A page of a queue's jobs in `state`: waiting, delayed, active or dead.

        Raises ValueError for a state that Redis keeps no list of (what is finished leaves its queue).
        """
        wanted = State(state)
        if wanted in (State.COMPLETED, State.CANCELLED):
            raise ValueError(f"{wanted} jobs leave their queue; list waiting, delayed, active or dead ones")
        async with explained(self.redis):
            keys = QueueKeys.of(queue_key(queue))
            return await view.page(self.redis, queue, keys, wanted, offset=offset, limit=limit)

    async def counts(self, queue: str) -> dict[State, int]:
        """How many of a queue's jobs wait, are delayed, run, and are dead."""
        async with explained(self.redis):
            return await view.counts(self.redis, QueueKeys.of(queue_key(queue)))

    async def paused_since(self, queue: str) -> datetime | None:
        """When the queue was paused, in UTC; None if it is not."""
        async with explained(self.redis):
            raw = await self.redis.get(QueueKeys.of(queue_key(queue)).paused)
        return None if raw is None else datetime.fromtimestamp(int(raw) / 1000, UTC)

    # Act

    async def pause(self, queue: str) -> None:
        """Let no worker claim from the queue any more, at once and until `resume`, whoever restarts in between.

        What runs goes on to its end, and jobs may be enqueued as before.
        """
        async with explained(self.redis):
            await self.redis.set(QueueKeys.of(queue_key(queue)).paused, self._clock.time_ms(), nx=True)

    async def resume(self, queue: str) -> None:
        """Let workers claim from the queue again."""
        keys = QueueKeys.of(queue_key(queue))
        async with explained(self.redis):
            await self.redis.delete(keys.paused)
            await NUDGE(self.redis, (keys.queue, keys.wake), (0,))

    async def cancel(self, queue: str, job_id: str) -> CancelAnswer:
        """Cancel a job: `cancelled` if it waited, `requested` if a worker has it (it stops within a second, unless it
        ends first), `finished` if it is over already, or was never there.
        """
        (answer,) = await self.cancel_many(queue, [job_id])
        return answer

    async def cancel_many(self, queue: str, ids: Iterable[str]) -> list[CancelAnswer]:
        """Cancel many jobs of a queue in few round trips; what became of each, in the same order."""
        async with explained(self.redis):
            return [answer async for _, answer in self._cancellation.cancel(queue, list(ids))]

    async def cancel_all(self, queue: str, *, task: str | None = None) -> dict[CancelAnswer, int]:
        """Cancel all jobs of a queue that are alive now, or all of one job; how many had which answer."""
        counts: Counter[CancelAnswer] = Counter()
        async with explained(self.redis):
            members = await self.redis.zrange(queue_key(queue), 0, -1)
            ids = [decode_id(member) for member in members]
            async for _, answer in self._cancellation.cancel(queue, ids, task):
                counts[answer] += 1
        return dict(counts)

    async def retry(self, queue: str, job_id: str) -> Handle[Any]:
        """Bring a dead letter back, with all attempts before it, and what it had saved.

        One that ended a pipeline takes it up again where it stopped. Raises JobNotFound for no such letter (or one
        whose payload had expired), JobExists while a live job has its id, NotReplayed for a stage of what is over.
        """
        await self._dead_letters.replay(queue, job_id)
        return Handle(self, queue, job_id)

    async def retry_dead(
        self, queue: str, *, task: str | None = None, reason: str | None = None, since: datetime | None = None
    ) -> int:
        """Bring back all dead letters of a queue: of one job, of one reason, that died since; how many were."""
        return await self._dead_letters.replay_all(queue, task=task, reason=reason, since=since)


class Enqueueable(Protocol[P, H_co]):
    """A job or a pipeline: what may be enqueued, the arguments it takes, and the handle that comes of it."""

    def call(self, /, *args: P.args, **kwargs: P.kwargs) -> Promise[Any]: ...
    def handle(self, client: Client, id: str, /) -> H_co: ...  # noqa: A002 - the field's word


def _parser(job: Job[Any, R] | None) -> Callable[[Any], R] | None:
    return None if job is None else job.result.parse
