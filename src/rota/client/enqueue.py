"""Enqueueing: drafts are sent, those of one queue together."""

from collections.abc import Awaitable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

from redis.exceptions import OutOfMemoryError

from rota.client.sending.coalescing import MOST_JOBS, Coalescer, Shape
from rota.client.sending.drafts import Draft, Drafter, outgoing
from rota.client.sending.together import WIDTH, arguments_of
from rota.errors import EnqueueIncomplete, IdempotencyMismatch, JobExists
from rota.model.job import Job
from rota.process.clock import Clock
from rota.seams import Outgoing, Senders
from rota.server.failover.replicated import replicated
from rota.server.faults import ServerError, explained, fault_at_work
from rota.server.outage import FAULTS
from rota.settings.settings import Settings
from rota.wire.claims import decode_id
from rota.wire.keys import QueueKeys, events_key, idempotency_key, queue_key
from rota.wire.scripts import ENQUEUE, ENQUEUE_ONCE, Script

#: How many events are left where a full Redis needs their room.
_EVENTS_IF_FULL = 1000
#: How long it is remembered that something was sent once, in ms.
_REMEMBERED_MS = 86_400_000
#: The values of a job: its id, its payload, and a tuple of the others that the scripts take.
_JOBS = Shape(WIDTH, (0,))
#: The same with the marker and the fingerprint of the request behind them.
_MARKER = WIDTH
_REQUESTS = Shape(WIDTH + 2, (0, _MARKER))
#: What `enqueue.lua` answers for a job that it created.
_CREATED = 1
#: How often a job that is to replace another is sealed again, where the other changes in the meantime.
_MOST_HOLDERS = 5


class Enqueued(NamedTuple):
    """The outcome of a draft. `created` is False where a live job has the id or the unique key; `id` is that job's."""

    queue: str
    id: str
    job: Job[Any, Any] | None
    created: bool


# As `Enqueued._make`, which calls it through two functions more.
_made = partial(tuple.__new__, Enqueued)


class Once(NamedTuple):
    """The outcome of a draft that may be sent twice: of this one, or, where `is_replayed`, of the first."""

    enqueued: Enqueued
    is_replayed: bool


class Enqueuer(Drafter):
    """Makes drafts and sends them.

    :param redis: an asyncio client.
    :param settings: namespace, default queue, payload limit and the length of the stream of events.
    :param senders: around every call.
    :param clock: the time at which jobs are enqueued.
    """

    def __init__(self, redis: Any, settings: Settings, senders: Senders, clock: Clock) -> None:
        super().__init__(settings, clock)
        self._redis = redis
        self._written = replicated(redis, settings.replicas, settings.durability_timeout, settings.namespace)
        self._events = events_key(settings.namespace)
        self._events_maxlen = settings.events_maxlen
        self._senders = senders
        self._coalescer = Coalescer(self._enqueue, _JOBS)
        self._requests = Coalescer(self._enqueue_once, _REQUESTS)

    def close(self) -> None:
        """Refuse the enqueues that wait for their turn, as the connections are closed."""
        self._coalescer.close()
        self._requests.close()

    async def send_one(self, draft: Draft) -> Enqueued:
        """Send a draft; return what became of it. Raises JobExists, ServerError."""
        if self._sealer is not None or self._senders.are_on():
            (enqueued,) = await self._put([draft])
        else:
            job = draft.outgoing
            (answer,) = await self._script_of_one(draft, job)
            if answer == _CREATED:
                self._senders.created([job])
            enqueued = _enqueued(draft, job, answer)
        if isinstance(enqueued, JobExists):
            raise enqueued
        return enqueued

    async def send(self, drafts: Sequence[Draft]) -> list[Enqueued]:
        """Send drafts; return what became of each, in the same order.

        Raises JobExists, for the first id that is taken, when all other jobs are enqueued; ServerError when none is,
        EnqueueIncomplete when some are.
        """
        answers: list[Enqueued | JobExists | None] = [None] * len(drafts)
        for chunk in _chunks(drafts):
            try:
                chunk_answers = await self._put([drafts[index] for index in chunk])
            except ServerError as error:
                there = [answer.id for answer in answers if isinstance(answer, Enqueued)]
                if not there:
                    raise
                raise EnqueueIncomplete(there, len(drafts), str(error)) from error
            for index, one in zip(chunk, chunk_answers, strict=True):
                answers[index] = one
        for answer in answers:
            if isinstance(answer, JobExists):
                raise answer
        return [answer for answer in answers if isinstance(answer, Enqueued)]

    async def send_once(self, draft: Draft, key: str, fingerprint: str) -> Once:
        """Send a draft once for a key, however often it is sent within a day, and whatever becomes of the job.

        `fingerprint` stands for what is asked for, without blanks. Raises IdempotencyMismatch where the key was used
        for something else; JobExists; ServerError, after which the same may be sent again.
        """
        job, marker = draft.outgoing, idempotency_key(self._namespace, key, draft.mould.options.tenant)
        with self._senders.around([job]):
            is_new, answer = await self._send_request(draft, job, marker, fingerprint)
            if is_new and self._stands_elsewhere(draft, job, answer):
                job.id = decode_id(answer[1])
                is_new, answer = await self._send_request(draft, job, marker, fingerprint)
        if not is_new:
            return _replayed(answer, draft, key, fingerprint)
        if answer == _CREATED:
            self._senders.created([job])
        enqueued = _enqueued(draft, job, answer)
        if isinstance(enqueued, JobExists):
            raise enqueued
        return Once(enqueued, is_replayed=False)

    async def _send_request(self, draft: Draft, job: Outgoing, marker: str, fingerprint: str) -> Any:
        (answer,) = await self._requests.put(job.queue, (*self._values(draft, job), marker, fingerprint))
        return answer

    async def _put(self, drafts: Sequence[Draft]) -> list[Enqueued | JobExists]:
        jobs = outgoing(drafts)
        with self._senders.around(jobs):
            answers = await self._script(drafts, jobs)
            if self._sealer is not None:
                answers = await self._seal_for_holders(drafts, jobs, answers)
        if answers.count(_CREATED) == len(answers):
            self._senders.created(jobs)
        else:
            self._senders.created(
                [job for job, answer in zip(jobs, answers, strict=True) if answer == _CREATED]
            )
        return list(map(_enqueued, drafts, jobs, answers))

    def _script(self, drafts: Sequence[Draft], jobs: Sequence[Outgoing]) -> Awaitable[Sequence[Any]]:
        values = list(chain.from_iterable(map(self._values, drafts, jobs)))
        return self._coalescer.put(jobs[0].queue, values)

    def _script_of_one(self, draft: Draft, job: Outgoing) -> Awaitable[Sequence[Any]]:
        return self._coalescer.put(job.queue, self._values(draft, job))

    def _enqueue(self, queue: str, values: Sequence[Any]) -> Awaitable[Sequence[Any]]:
        return self._call(ENQUEUE, queue, (queue, self._events_maxlen, 1, *arguments_of(values)))

    def _enqueue_once(self, queue: str, values: Sequence[Any]) -> Awaitable[Sequence[Any]]:
        ids, payloads, rests, markers, fingerprints = (
            values[place :: _REQUESTS.width] for place in range(_REQUESTS.width)
        )
        jobs = [
            value
            for job, payload, rest in zip(ids, payloads, rests, strict=True)
            for value in (job, payload, *rest)
        ]
        head = (queue, self._events_maxlen, _REMEMBERED_MS, *fingerprints)
        return self._call(ENQUEUE_ONCE, queue, (*head, *jobs), *markers)

    def _values(self, draft: Draft, job: Outgoing) -> tuple[Any, ...]:
        """Return of a job its id, its payload, and the 7 others that the scripts take."""
        mould = draft.mould
        if mould.rest is not None and self._sealer is None and not job.headers:
            return (job.id, job.payload, mould.rest)
        when = (mould.at_ms, mould.delay_ms, 0)
        return (job.id, self.sealed(draft, job), (*when, mould.task, *draft.terms_of(job), mould.on_taken))

    async def _seal_for_holders(
        self, drafts: Sequence[Draft], jobs: Sequence[Outgoing], answers: Sequence[Any]
    ) -> Sequence[Any]:
        """Send again, each by itself, what is to replace the job that holds its unique key: sealed for that job's id.

        The scripts put no payload under another id than the one that it was sealed for. Returns the last answers.
        """
        answers = list(answers)
        for index, (draft, job) in enumerate(zip(drafts, jobs, strict=True)):
            for _ in range(_MOST_HOLDERS):
                if not self._stands_elsewhere(draft, job, answers[index]):
                    break
                job.id = decode_id(answers[index][1])
                (answers[index],) = await self._script([draft], [job])
        return answers

    def _stands_elsewhere(self, draft: Draft, job: Outgoing, answer: Any) -> bool:
        """Tell whether a sealed job was to replace one of another id, and did not."""
        if self._sealer is None or answer == _CREATED or draft.mould.on_taken not in ("replace", "debounce"):
            return False
        replaced, holder = answer
        return not replaced and decode_id(holder) != job.id

    async def _call(self, script: Script, queue: str, args: Sequence[Any], *others: str) -> Sequence[Any]:
        """Call a script that puts jobs on a queue; `others` are the keys that it has besides. Raises ServerError."""
        hung = QueueKeys.of(queue_key(queue))
        keys = (hung.queue, hung.wake, self._events, *others)
        try:
            answers: Any = await script(self._written, keys, args)
        except OutOfMemoryError:
            # Nothing was written. Of all that is ours only events may go before their time.
            async with explained(self._redis):
                if not await self._redis.xtrim(self._events, maxlen=_EVENTS_IF_FULL):
                    raise
                answers = await script(self._written, keys, args)
        except FAULTS as error:
            raise fault_at_work(error, self._redis) from error
        # A number says of all jobs that they were created.
        return [_CREATED] * answers if isinstance(answers, int) else answers


def _chunks(drafts: Sequence[Draft]) -> Iterator[list[int]]:
    """Yield the indexes of the drafts that go together: of one queue, and at most `MOST_JOBS` of them."""
    by_queue: dict[str, list[int]] = {}
    for index, draft in enumerate(drafts):
        by_queue.setdefault(draft.mould.queue, []).append(index)
    for indexes in by_queue.values():
        yield from (indexes[start : start + MOST_JOBS] for start in range(0, len(indexes), MOST_JOBS))


def _enqueued(draft: Draft, job: Outgoing, answer: Any) -> Enqueued | JobExists:
    if answer == _CREATED:
        enqueued: Enqueued = _made((job.queue, job.id, draft.mould.job, True))
        return enqueued
    replaced, raw = answer
    live_id = decode_id(raw)
    if not replaced and draft.mould.on_taken != "existing":
        return JobExists(live_id)
    return Enqueued(job.queue, live_id, draft.mould.job, created=False)


def _replayed(marker: bytes, draft: Draft, key: str, fingerprint: str) -> Once:
    """Return what the marker tells that `enqueue_once.lua` wrote. Raises IdempotencyMismatch."""
    of_first, created, queue, job_id = marker.split(b" ", 3)
    if of_first.decode() != fingerprint:
        raise IdempotencyMismatch(key)
    first = Enqueued(queue.decode(), decode_id(job_id), draft.mould.job, created=created == b"1")
    return Once(first, is_replayed=True)
