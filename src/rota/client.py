"""The client: enqueue jobs, see what became of them, cancel them, bring dead ones back.

A web handler, a script and another job use the same object. An enqueue is one round trip.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, ParamSpec, Protocol, Self, TypeVar, Unpack, cast

from pydantic_core import to_json

from rota import codec, view
from rota.batches import BatchHandle, put_batch
from rota.cancellation import CancelAnswer, Cancellation
from rota.enqueued import ENQUEUED, JOBS
from rota.errors import (
    EnqueueIncomplete,
    InvalidPayload,
    JobCancelled,
    JobExists,
    JobFailed,
    JobNotFound,
    NotReplayed,
    PayloadTooLarge,
    ResultTimeout,
)
from rota.explained import explained
from rota.flows import FlowHandle, Flows
from rota.job import Call, Job, Promise
from rota.keys import QueueKeys, events_key, queue_key
from rota.names import check_name, full_name, new_id, wire_id
from rota.options import EnqueueFields, EnqueueOptions
from rota.pipelines import Pipeline
from rota.protocol import ENQUEUE, NUDGE, REPLAY
from rota.seams import Outgoing, Sender, sending
from rota.server_faults import ServerError
from rota.setting_types import check_queue
from rota.settlement import decode_id, encode_id
from rota.state import State
from rota.terms import terms_and_key
from rota.view import JobInfo

P = ParamSpec("P")
R = TypeVar("R")
H_co = TypeVar("H_co", covariant=True)

#: Jobs put by one script: it keeps one call near 2 ms of Redis' time.
_CHUNK = 200
#: A waiting `result()` looks this often at first, and at last, seconds.
_FIRST_LOOK, _LAST_LOOK = 0.02, 0.5


@dataclass(frozen=True, slots=True)
class _Parcel:
    """A job ready to be sent."""

    queue: str
    task: str
    payload: bytes
    terms: str
    unique: str
    options: EnqueueOptions
    job: Job[Any, Any] | None

    @property
    def on_taken(self) -> str:
        """What is to happen where the id, or the unique key, is taken."""
        unique = self.job.unique if self.job else None
        return self.options.on_taken or (unique.on_taken if unique else "refuse")


class Handle(Generic[R]):
    """One enqueued job. `id` is its id on the wire; `created` is False where the id was taken by a live job."""

    __slots__ = ("_client", "_job", "created", "id", "queue")

    def __init__(
        self,
        client: "Client",
        queue: str,
        id: str,  # noqa: A002 - the field's word
        job: Job[Any, R] | None = None,
        *,
        created: bool = True,
    ) -> None:
        self._client = client
        self._job = job
        self.queue = queue
        self.id = id
        self.created = created

    async def status(self) -> JobInfo:
        """The job as it is now. Raises JobNotFound for one that Redis no longer holds."""
        return await self._client.status(self.queue, self.id)

    async def result(self, timeout: float | None = None) -> R:
        """Wait for the job's result, at most `timeout` seconds (None: as long as it takes).

        Raises JobFailed for a dead job, JobCancelled, ResultTimeout, JobNotFound.
        """
        info = await self._client.wait(self.queue, self.id, timeout)
        if info.state is State.CANCELLED:
            raise JobCancelled(self.id, info.reason)
        if info.state is State.DEAD:
            error = info.error
            raise JobFailed(
                error.type if error else "unknown",
                error.message if error else "",
                self.id,
                error.traceback if error else None,
            )
        parsed: R = info.result if self._job is None else self._job.result.parse(info.result)
        return parsed

    async def cancel(self) -> CancelAnswer:
        """Cancel the job: `cancelled` if it waited, `requested` if a worker has it, `finished` if it is over."""
        return await self._client.cancel(self.queue, self.id)

    def __repr__(self) -> str:
        return f"<Handle {self.queue} {self.id}>"


class Enqueueable(Protocol[P, H_co]):
    """A job or a pipeline: what may be enqueued, the arguments it takes, and the handle that comes of it."""

    def call(self, /, *args: P.args, **kwargs: P.kwargs) -> Promise[Any]: ...
    def handle(self, client: "Client", id: str, /) -> H_co: ...  # noqa: A002 - the field's word


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
        senders: Sequence[Sender] = (),
        on_close: Callable[[], object] | None = None,
    ) -> None:
        self.redis = redis
        self.flows = Flows(
            redis,
            namespace,
            default_queue,
            payload_limit=payload_limit,
            keep_result=keep_result,
            dead_retention=dead_retention,
            events_maxlen=events_maxlen,
            senders=senders,
        )
        self._on_close = on_close
        self._namespace = namespace
        self._events = events_key(namespace)
        self._default_queue = default_queue
        self._payload_limit = payload_limit
        self._keep_result = keep_result
        self._events_maxlen = events_maxlen
        self._senders = tuple(senders)
        self._cancellation = Cancellation(redis, self._events, events_maxlen, keep_result)

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
            (handle,) = await self._send([self._parcel(job, job.payload.bind(args, kwargs))])
        else:
            raise TypeError(f"{job!r} is no job; enqueue a function that @job has decorated, or a pipeline")
        return cast(H_co, handle)

    async def enqueue_many(self, calls: Iterable[Call[R]]) -> list[Handle[R]]:
        """Enqueue many jobs, made by `job.call(...)`, in few round trips; handles in the same order.

        Raises InvalidPayload and PayloadTooLarge before anything is sent; JobExists, for the first id that is taken,
        when all others are enqueued; ServerError when nothing was enqueued, EnqueueIncomplete when some were.
        """
        return await self._send([self._parcel(call.job, call.arguments) for call in calls])

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
        parcel = self._pack(queue, task, arguments, EnqueueOptions().changed(options))
        (handle,) = await self._send([parcel])
        return handle

    def _parcel(self, job: Job[Any, Any], arguments: bytes) -> _Parcel:
        queue = check_queue(job.queue or self._default_queue)
        return self._pack(queue, job.name, arguments, job.enqueue_options, job)

    def _pack(
        self,
        queue: str,
        task: str,
        arguments: bytes,
        options: EnqueueOptions,
        job: Job[Any, Any] | None = None,
    ) -> _Parcel:
        now_ms = round(time.time() * 1000)
        payload = codec.encode_job(task, arguments, enqueued_ms=now_ms, options=options.wire())
        if len(payload) > self._payload_limit:
            raise PayloadTooLarge(full_name(queue, task), len(payload), self._payload_limit)
        terms, unique = f"p={options.priority}" if options.priority else "", ""
        if job is not None:
            terms, unique = terms_and_key(
                job, queue, arguments, namespace=self._namespace, priority=options.priority
            )
        return _Parcel(queue, task, payload, terms, unique, options, job)

    async def _send(self, parcels: Sequence[_Parcel]) -> list[Handle[Any]]:
        made: list[Handle[Any] | JobExists | None] = [None] * len(parcels)
        by_queue: dict[str, list[int]] = {}
        for index, parcel in enumerate(parcels):
            by_queue.setdefault(parcel.queue, []).append(index)
        for queue, indexes in by_queue.items():
            for start in range(0, len(indexes), _CHUNK):
                chunk = indexes[start : start + _CHUNK]
                try:
                    answers = await self._put(queue, [parcels[index] for index in chunk])
                except ServerError as error:
                    there = [one.id for one in made if isinstance(one, Handle)]
                    if not there:
                        raise
                    raise EnqueueIncomplete(there, len(parcels), str(error)) from error
                for index, answer in zip(chunk, answers, strict=True):
                    made[index] = answer
        for one in made:
            if isinstance(one, JobExists):
                raise one
        return [one for one in made if isinstance(one, Handle)]

    async def _put(self, queue: str, parcels: Sequence[_Parcel]) -> list[Handle[Any] | JobExists]:
        jobs = [Outgoing(queue, one.task, _id_of(queue, one.options), one.payload) for one in parcels]
        with sending(self._senders, jobs):
            answers = await self._script(queue, parcels, jobs)
        return [
            self._handle(queue, parcel, job.id, answer)
            for parcel, job, answer in zip(parcels, jobs, answers, strict=True)
        ]

    async def _script(self, queue: str, parcels: Sequence[_Parcel], jobs: Sequence[Outgoing]) -> list[Any]:
        keys = QueueKeys.of(queue_key(queue))
        args: list[Any] = [queue, self._events_maxlen, 1]
        for parcel, job in zip(parcels, jobs, strict=True):
            options = parcel.options
            unique = parcel.job.unique if parcel.job else None
            delay = options.delay if options.delay is not None or unique is None else unique.delay
            args += (
                job.id,
                codec.with_headers(job.payload, job.headers),
                _at(options.at),
                round((delay or 0) * 1000),
                0,
                parcel.task,
                parcel.terms,
                parcel.unique,
                parcel.on_taken,
            )
        async with explained(self.redis):
            answers: list[Any] = await ENQUEUE(self.redis, (keys.queue, keys.wake, self._events), args)
        return answers

    def _handle(self, queue: str, parcel: _Parcel, job_id: str, answer: Any) -> Handle[Any] | JobExists:
        if answer == 1:
            task = (queue, parcel.task) if parcel.job else JOBS.label(queue, parcel.task)
            ENQUEUED.add(task)
            return Handle(self, queue, job_id, parcel.job)
        replaced, raw = answer
        job_id = decode_id(raw)
        if not replaced and parcel.on_taken != "existing":
            return JobExists(job_id)
        return Handle(self, queue, job_id, parcel.job, created=False)

    # See

    def handle(self, queue: str, job_id: str, job: Job[Any, R] | None = None) -> Handle[R]:
        """A handle of a job whose id is known, of the type of `job` if that is given."""
        return Handle(self, queue, job_id, job)

    def flow(self, flow_id: str, pipeline: Pipeline[Any, R] | None = None) -> FlowHandle[R]:
        """A handle of a pipeline's run whose id is known (its own, or one that was given to it)."""
        return FlowHandle(self.flows, flow_id, pipeline)

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
        deadline = None if timeout is None else time.monotonic() + timeout
        pause = _FIRST_LOOK
        keys = QueueKeys.of(queue_key(queue))
        while True:
            if await self._is_over(keys, job_id):
                return await self.status(queue, job_id)
            if deadline is not None and time.monotonic() + pause > deadline:
                pause = max(0.0, deadline - time.monotonic())
                if pause == 0:
                    raise ResultTimeout(job_id, timeout or 0.0)
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, _LAST_LOOK)

    async def _is_over(self, keys: QueueKeys, job_id: str) -> bool:
        async with explained(self.redis):
            return await self.redis.zscore(keys.queue, encode_id(job_id)) is None

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
            await self.redis.set(QueueKeys.of(queue_key(queue)).paused, round(time.time() * 1000), nx=True)

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
        (answer,) = await self._replay(queue, [encode_id(job_id)])
        if answer == b"taken":
            raise JobExists(job_id)
        if answer in (b"stopping", b"over"):
            raise NotReplayed(job_id, answer.decode())
        if answer != b"replayed":
            raise JobNotFound(job_id)
        return Handle(self, queue, job_id)

    async def retry_dead(
        self, queue: str, *, task: str | None = None, reason: str | None = None, since: datetime | None = None
    ) -> int:
        """Bring back all dead letters of a queue: of one job, of one reason, that died since; how many were."""
        keys = QueueKeys.of(queue_key(queue))
        low = "-inf" if since is None else str(_at(since))
        async with explained(self.redis):
            members = await self.redis.zrangebyscore(keys.dead, low, "+inf")
        replayed = 0
        for start in range(0, len(members), _CHUNK):
            chunk = members[start : start + _CHUNK]
            if task is not None or reason is not None:
                chunk = await self._matching(queue, keys, chunk, task, reason)
            if chunk:
                replayed += (await self._replay(queue, chunk)).count(b"replayed")
        return replayed

    async def _matching(
        self, queue: str, keys: QueueKeys, members: Sequence[bytes], task: str | None, reason: str | None
    ) -> list[bytes]:
        async with explained(self.redis):
            ids = [decode_id(member) for member in members]
            found = await view.find(self.redis, queue, keys, ids, letters=True)
        return [
            encode_id(info.id)
            for info in found
            if info is not None and task in (None, info.task) and reason in (None, info.reason)
        ]

    async def _replay(self, queue: str, members: Sequence[bytes]) -> list[bytes]:
        keys = QueueKeys.of(queue_key(queue))
        async with explained(self.redis):
            answers: list[bytes] = await REPLAY(
                self.redis,
                (keys.queue, keys.dead, keys.wake, self._events, keys.checkpoint),
                (queue, self._events_maxlen, *members),
            )
        return answers


def _at(at: datetime | None) -> int:
    return -1 if at is None else round(at.timestamp() * 1000)


def _id_of(queue: str, options: EnqueueOptions) -> str:
    return new_id() if options.id is None else wire_id(queue, options.id)
