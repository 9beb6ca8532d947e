"""Parcels: jobs packed for their way to Redis, and sent, those of one queue together."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from rota.errors import EnqueueIncomplete, JobExists, PayloadTooLarge
from rota.model.job import Job
from rota.model.options import EnqueueOptions
from rota.model.policies.terms import terms_and_key
from rota.names import full_name, new_id, wire_id
from rota.process.clock import Clock
from rota.seams import Outgoing, Senders
from rota.server.faults import ServerError, explained
from rota.wire import envelopes
from rota.wire.claims import decode_id
from rota.wire.keys import QueueKeys, check_queue, queue_key
from rota.wire.scripts import ENQUEUE

#: Jobs put by one script: it keeps one call near 2 ms of Redis' time.
_CHUNK = 200
#: What `enqueue.lua` answers for a job that it created.
_CREATED = 1


@dataclass(frozen=True, slots=True)
class Draft:
    """A job ready to be sent; `job` is None where only its name is known."""

    queue: str
    task: str
    payload: bytes
    terms: str
    unique: str
    options: EnqueueOptions
    job: Job[Any, Any] | None

    @property
    def outgoing(self) -> Outgoing:
        """What the senders see of it, under the id that it will have."""
        own = self.options.id
        job_id = new_id() if own is None else wire_id(self.queue, own)
        return Outgoing(self.queue, self.task, job_id, self.payload, declared=self.job is not None)

    @property
    def on_taken(self) -> str:
        """What is to happen where the id, or the unique key, is taken."""
        unique = self.job.unique if self.job else None
        return self.options.on_taken or (unique.on_taken if unique else "refuse")

    @property
    def delay_ms(self) -> int:
        """How long it waits before it may start."""
        unique = self.job.unique if self.job else None
        own = self.options.delay
        delay = own if own is not None or unique is None else unique.delay
        return round((delay or 0) * 1000)


class Enqueued(NamedTuple):
    """What became of a draft: `created` is False where the id was taken by a live job, which is then meant."""

    queue: str
    id: str
    job: Job[Any, Any] | None
    created: bool


@dataclass(frozen=True, slots=True)
class Enqueuer:
    """Packs and sends, over one connection. Sizes in bytes."""

    redis: Any
    namespace: str
    default_queue: str
    payload_limit: int
    events: str
    events_maxlen: int
    senders: Senders
    clock: Clock

    def draft(self, job: Job[Any, Any], arguments: bytes) -> Draft:
        """A job with its arguments (JSON). Raises PayloadTooLarge, InvalidPayload."""
        queue, options = check_queue(job.queue or self.default_queue), job.enqueue_options
        payload = self._written(queue, job.name, arguments, options)
        terms, unique = terms_and_key(
            job, queue, arguments, namespace=self.namespace, priority=options.priority
        )
        return Draft(queue, job.name, payload, terms, unique, options, job)

    def draft_by_name(self, queue: str, task: str, arguments: bytes, options: EnqueueOptions) -> Draft:
        """A job that is known by its name alone. Raises PayloadTooLarge."""
        terms = f"p={options.priority}" if options.priority else ""
        payload = self._written(queue, task, arguments, options)
        return Draft(queue, task, payload, terms, "", options, None)

    async def send(self, drafts: Sequence[Draft]) -> list[Enqueued]:
        """Send them all; what became of each, in the same order.

        Raises JobExists, for the first id that is taken, when all others are there; ServerError when nothing is,
        EnqueueIncomplete when some are.
        """
        made: list[Enqueued | JobExists | None] = [None] * len(drafts)
        for chunk in _chunks(drafts):
            try:
                answers = await self._put([drafts[index] for index in chunk])
            except ServerError as error:
                there = [one.id for one in made if isinstance(one, Enqueued)]
                if not there:
                    raise
                raise EnqueueIncomplete(there, len(drafts), str(error)) from error
            for index, answer in zip(chunk, answers, strict=True):
                made[index] = answer
        for one in made:
            if isinstance(one, JobExists):
                raise one
        return [one for one in made if isinstance(one, Enqueued)]

    def _written(self, queue: str, task: str, arguments: bytes, options: EnqueueOptions) -> bytes:
        enqueued_ms = self.clock.time_ms()
        payload = envelopes.encode_job(task, arguments, enqueued_ms=enqueued_ms, options=options.wire())
        if len(payload) > self.payload_limit:
            raise PayloadTooLarge(full_name(queue, task), len(payload), self.payload_limit)
        return payload

    async def _put(self, drafts: Sequence[Draft]) -> list[Enqueued | JobExists]:
        jobs = [draft.outgoing for draft in drafts]
        with self.senders.around(jobs):
            answers = await self._script(drafts, jobs)
        self.senders.created([job for job, answer in zip(jobs, answers, strict=True) if answer == _CREATED])
        return [
            _enqueued(draft, job.id, answer) for draft, job, answer in zip(drafts, jobs, answers, strict=True)
        ]

    async def _script(self, drafts: Sequence[Draft], jobs: Sequence[Outgoing]) -> list[Any]:
        queue = drafts[0].queue
        keys = QueueKeys.of(queue_key(queue))
        args: list[Any] = [queue, self.events_maxlen, 1]
        for draft, job in zip(drafts, jobs, strict=True):
            args += (
                job.id,
                envelopes.with_headers(job.payload, job.headers),
                _at(draft.options.at),
                draft.delay_ms,
                0,
                draft.task,
                draft.terms,
                draft.unique,
                draft.on_taken,
            )
        async with explained(self.redis):
            answers: list[Any] = await ENQUEUE(self.redis, (keys.queue, keys.wake, self.events), args)
        return answers


def _chunks(drafts: Sequence[Draft]) -> Iterator[list[int]]:
    """The places of those that go together: of one queue, and not too many."""
    by_queue: dict[str, list[int]] = {}
    for index, draft in enumerate(drafts):
        by_queue.setdefault(draft.queue, []).append(index)
    for indexes in by_queue.values():
        yield from (indexes[start : start + _CHUNK] for start in range(0, len(indexes), _CHUNK))


def _enqueued(draft: Draft, job_id: str, answer: Any) -> Enqueued | JobExists:
    if answer == _CREATED:
        return Enqueued(draft.queue, job_id, draft.job, created=True)
    replaced, raw = answer
    job_id = decode_id(raw)
    if not replaced and draft.on_taken != "existing":
        return JobExists(job_id)
    return Enqueued(draft.queue, job_id, draft.job, created=False)


def _at(at: datetime | None) -> int:
    return -1 if at is None else round(at.timestamp() * 1000)
