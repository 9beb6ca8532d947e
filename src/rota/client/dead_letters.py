"""Dead letters, brought back or deleted: one by its id, or all of a queue that match."""

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Self, TypedDict

from rota.client import view
from rota.errors import JobExists, JobNotFound, NoDeadLetter, NotReplayed
from rota.errors.causes import cause_of
from rota.model.info import JobInfo
from rota.names import ids_of, short_name
from rota.server.faults import explained
from rota.settings.settings import Settings
from rota.wire.claims import decode_id, encode_id
from rota.wire.keys import QueueKeys, events_key, queue_key
from rota.wire.scripts import DELETE_LETTERS, REPLAY

#: The most letters that one call of the script brings back.
_CHUNK = 200


#: Told how far a call over many letters has come: how many are done, and how many there are.
Moved = Callable[[int, int], object]


def _unmoved(done: int, of: int) -> None: ...


class Replayed(NamedTuple):
    """The job that a letter came back as; `is_itself` is False where the job that has its unique key stands for it."""

    id: str
    is_itself: bool


class WhichFields(TypedDict, total=False):
    """The fields of `Which`, as a client's methods take them."""

    task: str | None
    reason: str | None
    cause: str | None
    since: datetime | None


class Which(NamedTuple):
    """A choice of a queue's dead letters; None in a field means any.

    :param task: those of this job, by its short name.
    :param reason: those that died of this.
    :param cause: those whose error has this fingerprint.
    :param since: those that died at this time or later.
    """

    task: str | None = None
    reason: str | None = None
    cause: str | None = None
    since: datetime | None = None

    @classmethod
    def of(cls, queue: str, fields: WhichFields) -> Self:
        """Return the choice that these fields make on a queue; `task` may have the queue before it."""
        chosen = cls(**fields)
        return chosen._replace(task=chosen.task and short_name(queue, chosen.task))

    @property
    def asks_for_letters(self) -> bool:
        """Whether the letters themselves must be read to choose."""
        return (self.task, self.reason, self.cause) != (None, None, None)

    def includes(self, info: JobInfo) -> bool:
        """Tell whether the letter is one of those, whenever it died."""
        cause = None if self.cause is None or info.error is None else cause_of(info.error, info.error.type)
        return self.task in (None, info.task) and self.reason in (None, info.reason) and self.cause == cause


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
            (answer,) = await self.replay_these(queue, [encode_id(found)])
            replayed = _read(answer, found)
            if replayed is not None:
                return replayed
        raise await self.no_letter(queue, job_id)

    async def replay_fixed(
        self, queue: str, letter_id: str, actions: str, change: Sequence[Any]
    ) -> Replayed | None:
        """Bring one letter back with another payload; None where it is gone, or has not the payload that it had.

        `change` has what `replay.lua` takes: the payload before, the payload, its terms, the most entries of the list
        at `actions`, and the fields of the action that is written down there. Raises as `replay` does.
        """
        (answer,) = await self.replay_these(queue, [encode_id(letter_id)], (actions,), change)
        return _read(answer, letter_id)

    async def replay_all(self, queue: str, which: Which, moved: Moved | None = None) -> int:
        """Bring back the letters that match, and return how many were brought back. Raises ServerError."""
        replayed, tell = 0, moved or _unmoved
        async for chunk, of in self._chosen(queue, which):
            answers = await self.replay_these(queue, chunk)
            replayed += sum(answer == b"replayed" or answer[0] == b"replaced" for answer in answers)
            tell(replayed, of)
        return replayed

    async def delete(self, queue: str, job_id: str) -> None:
        """Delete one letter, as its expiry would. Raises JobNotFound, ServerError."""
        async with explained(self._redis):
            for found in ids_of(queue, job_id):
                if await self.delete_these(queue, [encode_id(found)]):
                    return
        raise await self.no_letter(queue, job_id)

    async def delete_all(self, queue: str, which: Which, moved: Moved | None = None) -> int:
        """Delete the letters that match, and return how many there were. Raises ServerError."""
        deleted, tell = 0, moved or _unmoved
        async for chunk, of in self._chosen(queue, which):
            async with explained(self._redis):
                deleted += await self.delete_these(queue, chunk)
            tell(deleted, of)
        return deleted

    async def replay_these(
        self, queue: str, members: Sequence[bytes], others: Sequence[str] = (), change: Sequence[Any] = ()
    ) -> list[Any]:
        """Bring back some letters, and return for each what replay.lua answers. Raises ServerError.

        `change` is for a single one, as `replay_fixed` takes it; `others` are the keys that it needs.
        """
        keys = QueueKeys.of(queue_key(queue))
        async with explained(self._redis):
            answers: list[Any] = await REPLAY(
                self._redis,
                (keys.queue, keys.dead, keys.wake, self._events, keys.checkpoint, *others),
                (queue, self._events_maxlen, len(change), *change, *members),
            )
        return answers

    async def count(self, queue: str, which: Which, moved: Moved | None = None) -> int:
        """Return how many letters match. Raises ServerError."""
        counted, tell = 0, moved or _unmoved
        async for chunk, of in self._chosen(queue, which):
            counted += len(chunk)
            tell(counted, of)
        return counted

    async def delete_these(self, queue: str, members: Sequence[bytes]) -> int:
        """Delete some letters, and return how many of them there were. Raises what redis-py raises."""
        keys = QueueKeys.of(queue_key(queue))
        return int(await DELETE_LETTERS(self._redis, (keys.queue, keys.dead), members))

    async def _chosen(self, queue: str, which: Which) -> AsyncIterator[tuple[Sequence[bytes], int]]:
        """Yield the letters that match, in portions, with how many may match in all."""
        keys = QueueKeys.of(queue_key(queue))
        low = "-inf" if which.since is None else str(round(which.since.timestamp() * 1000))
        async with explained(self._redis):
            members = await self._redis.zrangebyscore(keys.dead, low, "+inf")
        for start in range(0, len(members), _CHUNK):
            chunk = members[start : start + _CHUNK]
            if which.asks_for_letters:
                chunk = await self._matching(queue, chunk, which)
            if chunk:
                yield chunk, len(members)

    async def no_letter(self, queue: str, job_id: str) -> JobNotFound:
        """Return what to raise for a letter that is not there: the job may be, in another state."""
        async with explained(self._redis):
            info = await view.find_given(self._redis, queue, job_id)
        return JobNotFound(job_id) if info is None else NoDeadLetter(info.id, info.state)

    async def _matching(self, queue: str, members: Sequence[bytes], which: Which) -> list[bytes]:
        async with explained(self._redis):
            ids = [decode_id(member) for member in members]
            found = await view.find(self._redis, queue, QueueKeys.of(queue_key(queue)), ids, letters=True)
        return [encode_id(info.id) for info in found if info is not None and which.includes(info)]


def _read(answer: Any, letter_id: str) -> Replayed | None:
    """Return the job that a letter came back as, None for a letter that is not there, or is another by now.

    Raises JobExists, NotReplayed.
    """
    if isinstance(answer, list):
        rule, holder = answer
        if rule == b"held":
            raise JobExists(decode_id(holder), letter_id)
        return Replayed(decode_id(holder), is_itself=False)
    if answer == b"taken":
        raise JobExists(letter_id)
    if answer in (b"stopping", b"over", b"empty", b"input"):
        raise NotReplayed(letter_id, answer.decode())
    return Replayed(letter_id, is_itself=True) if answer == b"replayed" else None
