"""Dead letters, brought back or deleted: one by its id, or all of a queue that match."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from rota.client import view
from rota.errors import JobExists, JobNotFound, NoDeadLetter, NotReplayed
from rota.names import ids_of
from rota.server.faults import explained
from rota.settings.settings import Settings
from rota.wire.claims import decode_id, encode_id
from rota.wire.keys import QueueKeys, events_key, queue_key
from rota.wire.scripts import REPLAY

#: The most letters that one call of the script brings back.
_CHUNK = 200


class Replayed(NamedTuple):
    """The job that a letter came back as; `is_itself` is False where the job that has its unique key stands for it."""

    id: str
    is_itself: bool


class DeadLetters:
    """The dead letters of all queues, over one connection."""

    def __init__(self, redis: Any, settings: Settings) -> None:
        self._redis = redis
        self._events = events_key(settings.namespace)
        self._events_maxlen = settings.events_maxlen

    async def replay(self, queue: str, job_id: str) -> Replayed:
        """Bring one letter back, or find the job that has its unique key, by the rule of the key.

        Raises JobNotFound, JobExists, NotReplayed, ServerError.
        """
        for found in ids_of(queue, job_id):
            (answer,) = await self._replay(queue, [encode_id(found)])
            if isinstance(answer, list):
                rule, holder = answer
                if rule == b"held":
                    raise JobExists(decode_id(holder), found)
                return Replayed(decode_id(holder), is_itself=False)
            if answer == b"taken":
                raise JobExists(found)
            if answer in (b"stopping", b"over", b"empty"):
                raise NotReplayed(found, answer.decode())
            if answer == b"replayed":
                return Replayed(found, is_itself=True)
        raise await self._no_letter(queue, job_id)

    async def replay_all(
        self, queue: str, *, task: str | None, reason: str | None, since: datetime | None
    ) -> int:
        """Bring back the letters of one job, of one reason, that died since; None in an argument means any.

        Returns how many were brought back. Raises ServerError.
        """
        keys = QueueKeys.of(queue_key(queue))
        low = "-inf" if since is None else str(round(since.timestamp() * 1000))
        async with explained(self._redis):
            members = await self._redis.zrangebyscore(keys.dead, low, "+inf")
        replayed = 0
        for start in range(0, len(members), _CHUNK):
            chunk = members[start : start + _CHUNK]
            if task is not None or reason is not None:
                chunk = await self._matching(queue, chunk, task, reason)
            if chunk:
                answers = await self._replay(queue, chunk)
                replayed += sum(answer == b"replayed" or answer[0] == b"replaced" for answer in answers)
        return replayed

    async def delete(self, queue: str, job_id: str) -> None:
        """Delete one letter, as its expiry would. Raises JobNotFound, ServerError."""
        keys = QueueKeys.of(queue_key(queue))
        async with explained(self._redis):
            for found in ids_of(queue, job_id):
                member = encode_id(found)
                async with self._redis.pipeline(transaction=True) as pipe:
                    pipe.delete(f"{keys.dead}:".encode() + member)
                    pipe.zrem(keys.dead, member)
                    letter, _ = await pipe.execute()
                if letter:
                    return
        raise await self._no_letter(queue, job_id)

    async def _no_letter(self, queue: str, job_id: str) -> JobNotFound:
        """Return what to raise for a letter that is not there: the job may be, in another state."""
        async with explained(self._redis):
            info = await view.find_given(self._redis, queue, job_id)
        return JobNotFound(job_id) if info is None else NoDeadLetter(info.id, info.state)

    async def _matching(
        self, queue: str, members: Sequence[bytes], task: str | None, reason: str | None
    ) -> list[bytes]:
        async with explained(self._redis):
            ids = [decode_id(member) for member in members]
            found = await view.find(self._redis, queue, QueueKeys.of(queue_key(queue)), ids, letters=True)
        return [
            encode_id(info.id)
            for info in found
            if info is not None and task in (None, info.task) and reason in (None, info.reason)
        ]

    async def _replay(self, queue: str, members: Sequence[bytes]) -> list[Any]:
        keys = QueueKeys.of(queue_key(queue))
        async with explained(self._redis):
            answers: list[Any] = await REPLAY(
                self._redis,
                (keys.queue, keys.dead, keys.wake, self._events, keys.checkpoint),
                (queue, self._events_maxlen, *members),
            )
        return answers
