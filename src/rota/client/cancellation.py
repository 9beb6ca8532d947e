"""Cancelling from outside: jobs that wait leave their queue with a record, jobs that run are asked to stop."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Any, NamedTuple, TypeVar

from rota.client import view
from rota.errors import RefusedPayload, UnreadablePayload
from rota.model.info import CancelAnswer
from rota.names import ids_of
from rota.process.clock import Clock
from rota.settings.settings import Settings
from rota.wire import envelopes, results
from rota.wire.claims import decode_id, encode_id
from rota.wire.keys import JOB, RETRY, QueueKeys, events_key, queue_key
from rota.wire.scripts import CANCEL
from rota.wire.sealing.sealed import seal_record, unseal_job

T = TypeVar("T")

#: The jobs that are cancelled in two round trips.
_CHUNK = 200

_ANSWERS: dict[bytes, CancelAnswer] = {b"cancelled": "cancelled", b"requested": "requested"}


class _Found(NamedTuple):
    """A job as it was read before it is cancelled; `envelope` is None for a payload that is missing or unreadable."""

    id: str
    envelope: envelopes.Envelope | None
    attempts: int
    is_there: bool

    @property
    def name(self) -> str:
        """The job's name; empty where it is not known."""
        return self.envelope.name if self.envelope else ""


class Cancellation:
    """How one client cancels jobs. Raises the faults of Redis as they are."""

    def __init__(self, redis: Any, settings: Settings, clock: Clock) -> None:
        self._redis = redis
        self._events = events_key(settings.namespace)
        self._events_maxlen = settings.events_maxlen
        self._life_ms = round(settings.keep_result * 1000)
        self._clock = clock
        self._sealer = settings.sealer

    async def cancel_all(self, queue: str, task: str | None) -> dict[CancelAnswer, int]:
        """Cancel all live jobs of a queue, or those whose name is `task`; return how many got which answer."""
        counts: Counter[CancelAnswer] = Counter()
        members = await self._redis.zrange(queue_key(queue), 0, -1)
        for start in range(0, len(members), _CHUNK):
            ids = [decode_id(member) for member in members[start : start + _CHUNK]]
            found = await self._read(queue, ids)
            if task is not None:
                found = [job for job in found if job.envelope and job.name == task]
            answers = await self._run(queue, [self._args(queue, job) for job in found])
            counts.update(_ANSWERS.get(answer, "finished") for answer in answers)
        return dict(counts)

    async def cancel_these(self, queue: str, ids: Sequence[str]) -> list[bool]:
        """Cancel jobs by their ids in Redis; return for each whether it is cancelled, or asked to stop."""
        found = await self._read(queue, ids)
        return [one in _ANSWERS for one in await self._run(queue, [self._args(queue, job) for job in found])]

    async def cancel_given(self, queue: str, ids: Sequence[str]) -> AsyncIterator[CancelAnswer]:
        """Cancel jobs by their ids in Redis, or by those that their users gave; yield the answers in the same order."""
        for start in range(0, len(ids), _CHUNK // 2):
            chunk = ids[start : start + _CHUNK // 2]
            both = [one for job_id in chunk for one in ids_of(queue, job_id)]
            found = await self._read(queue, both)
            jobs = [own if own.is_there and not job.is_there else job for job, own in _pairs(found)]
            answers = await self._run(queue, [self._args(queue, job) for job in jobs])
            others = [job_id for job_id, one in zip(chunk, answers, strict=True) if one not in _ANSWERS]
            over = await self._over(queue, others)
            for job_id, answer in zip(chunk, answers, strict=True):
                yield _ANSWERS.get(answer) or ("finished" if job_id in over else "not found")

    async def _over(self, queue: str, ids: Sequence[str]) -> set[str]:
        """Return those of `ids` of which Redis holds a record, or a letter."""
        if not ids:
            return set()
        both = [one for job_id in ids for one in ids_of(queue, job_id)]
        found = _pairs(await view.find(self._redis, queue, QueueKeys.of(queue_key(queue)), both))
        return {job_id for job_id, infos in zip(ids, found, strict=True) if any(infos)}

    async def _read(self, queue: str, ids: Sequence[str]) -> list[_Found]:
        members = [encode_id(job_id) for job_id in ids]
        values = await self._redis.mget(
            [prefix.encode() + member for member in members for prefix in (JOB, RETRY)]
        )
        return [
            _Found(job_id, self._envelope(queue, job_id, payload), int(attempts or 0), payload is not None)
            for job_id, payload, attempts in zip(ids, values[::2], values[1::2], strict=True)
        ]

    async def _run(self, queue: str, calls: Sequence[tuple[Any, ...]]) -> list[bytes]:
        found: list[bytes] = await CANCEL.each(self._redis, (queue_key(queue), self._events), calls)
        return found

    def _args(self, queue: str, job: _Found) -> tuple[Any, ...]:
        error = results.encode_error(asyncio.CancelledError("cancelled before it ran"))
        record = self._record(queue, job, error) if self._life_ms else b""
        member, life_ms = encode_id(job.id), self._life_ms or 1
        return queue, self._events_maxlen, member, record, life_ms, job.name, error

    def _envelope(self, queue: str, job_id: str, payload: bytes | None) -> envelopes.Envelope | None:
        raw = payload or b""
        try:
            try:
                return envelopes.decode_job(unseal_job(self._sealer, raw, queue=queue, job_id=job_id))
            except RefusedPayload as error:
                return envelopes.outlined(raw) if error.needs_key else None
        except UnreadablePayload:
            return None

    def _record(self, queue: str, job: _Found, error: bytes) -> bytes:
        now_ms = self._clock.time_ms()
        record = results.encode_result(
            attempt=job.attempts,
            name=job.name,
            arguments=job.envelope or b"{}",
            enqueued_ms=job.envelope.enqueued_ms if job.envelope else 0,
            success=False,
            result=error,
            started_ms=now_ms,
            finished_ms=now_ms,
            queue=queue_key(queue),
            id=job.id,
        )
        return seal_record(self._sealer, record, queue=queue, job_id=job.id)


def _pairs(both: Sequence[T]) -> list[tuple[T, T]]:
    return list(zip(both[::2], both[1::2], strict=True))
