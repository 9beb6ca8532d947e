"""Cancelling from outside: what waits is taken off its queue with a record, what runs is asked to stop."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from redis.exceptions import NoScriptError

from rota.errors import UnreadablePayload
from rota.model.info import CancelAnswer
from rota.process.clock import Clock
from rota.wire import envelopes
from rota.wire.claims import encode_id
from rota.wire.keys import JOB, RETRY, QueueKeys, queue_key
from rota.wire.scripts import CANCEL

#: Jobs cancelled in two round trips.
_CHUNK = 200

_ANSWERS: dict[bytes, CancelAnswer] = {b"cancelled": "cancelled", b"requested": "requested"}


@dataclass(frozen=True, slots=True)
class Cancellation:
    """How one client cancels jobs. `keep_result` (seconds) is how long the record of one that waited stays."""

    redis: Any
    events: str
    events_maxlen: int
    keep_result: float
    clock: Clock

    async def cancel(
        self, queue: str, ids: Sequence[str], task: str | None = None
    ) -> AsyncIterator[tuple[str, CancelAnswer]]:
        """Cancel these jobs of a queue, or those of them that are of the job `task`: each id, and what became of it."""
        for start in range(0, len(ids), _CHUNK):
            chunk = ids[start : start + _CHUNK]
            found = [
                (job_id, *read)
                for job_id, read in zip(chunk, await self._read(chunk), strict=True)
                if task is None or (read[0] is not None and read[0].name == task)
            ]
            answers = await self._run(
                [self._args(queue, *one) for one in found], QueueKeys.of(queue_key(queue))
            )
            for (job_id, *_), answer in zip(found, answers, strict=True):
                yield job_id, _ANSWERS.get(answer, "finished")

    async def _read(self, ids: Sequence[str]) -> list[tuple[envelopes.Envelope | None, int]]:
        members = [encode_id(job_id) for job_id in ids]
        keys = [prefix.encode() + member for member in members for prefix in (JOB, RETRY)]
        values = await self.redis.mget(keys)
        return [
            (_envelope(payload), int(attempts or 0))
            for payload, attempts in zip(values[::2], values[1::2], strict=True)
        ]

    async def _run(self, calls: Sequence[tuple[Any, ...]], keys: QueueKeys) -> list[bytes]:
        if not calls:
            return []
        names = (keys.queue, self.events)
        pipe = self.redis.pipeline(transaction=False)
        for args in calls:
            pipe.execute_command("EVALSHA", CANCEL.sha, len(names), *names, *args)
        answers = await pipe.execute(raise_on_error=False)
        unknown = [index for index, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if unknown:
            await self.redis.script_load(CANCEL.source)
            again = await self._run([calls[index] for index in unknown], keys)
            for index, answer in zip(unknown, again, strict=True):
                answers[index] = answer
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return list(answers)

    def _args(
        self, queue: str, job_id: str, envelope: envelopes.Envelope | None, attempts: int
    ) -> tuple[Any, ...]:
        error = envelopes.encode_error(asyncio.CancelledError("cancelled before it ran"))
        name = envelope.name if envelope else ""
        now_ms = self.clock.time_ms()
        record = envelopes.encode_result(
            attempt=attempts,
            name=name,
            arguments=envelope or b"{}",
            enqueued_ms=envelope.enqueued_ms if envelope else 0,
            success=False,
            result=error,
            started_ms=now_ms,
            finished_ms=now_ms,
            queue=queue_key(queue),
            id=job_id,
        )
        life_ms = round(self.keep_result * 1000)
        return (
            queue,
            self.events_maxlen,
            encode_id(job_id),
            record if life_ms else b"",
            life_ms or 1,
            name,
            error,
        )


def _envelope(payload: bytes | None) -> envelopes.Envelope | None:
    try:
        return envelopes.decode_job(payload or b"")
    except UnreadablePayload:
        return None
