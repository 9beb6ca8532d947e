"""One action done to the jobs of a portion, by the same scripts as to one job: each looks again at what the job is."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from redis.exceptions import NoPermissionError, OutOfMemoryError, ReadOnlyError, ResponseError

from rota.client.cancellation import Cancellation
from rota.client.dead_letters import DeadLetters
from rota.client.rescheduling import run_now
from rota.model.bulk.filters import BulkAction
from rota.names import printable
from rota.process.clock import SYSTEM_CLOCK, Clock
from rota.server.faults import ServerError
from rota.settings.settings import Settings
from rota.wire.claims import encode_id

#: Why a dead letter could not be brought back, by the answer of replay.lua.
_WHY = {
    "taken": "a live job has its id",
    "empty": "its payload is no longer kept",
    "stopping": "other jobs of its pipeline are still being stopped",
    "over": "its pipeline is over, and its input went with that",
    "held": "a job that runs, or that is not to be replaced, has its unique key",
    "existing": "another job has its unique key, and stands for it",
}
#: Refusals of a server that concern every job.
_OF_ALL = (NoPermissionError, OutOfMemoryError, ReadOnlyError)


@dataclass(frozen=True, slots=True)
class Fate:
    """The fate of one job: it was done, it was not what it had been any more ("gone"), or why it was refused."""

    id: str
    done: bool = False
    why: str = ""

    @property
    def is_gone(self) -> bool:
        return not self.done and not self.why


class Acting:
    """Acts on portions of jobs, over one connection.

    :param redis: an asyncio client.
    :param settings: namespace, the bound of the events, and how long records of cancelled jobs are kept.
    """

    def __init__(self, redis: Any, settings: Settings, clock: Clock = SYSTEM_CLOCK) -> None:
        self._redis = redis
        self._settings = settings
        self._letters = DeadLetters(redis, settings)
        self._cancellation = Cancellation(redis, settings, clock)
        self._ways: dict[BulkAction, Callable[[str, Sequence[str]], Awaitable[list[Fate]]]] = {
            BulkAction.RETRY: self._retry,
            BulkAction.DELETE: self._delete,
            BulkAction.CANCEL: self._cancel,
            BulkAction.RUN_NOW: self._run_now,
        }

    async def act(self, action: BulkAction, queue: str, ids: Sequence[str]) -> list[Fate]:
        """Do an action to jobs of a queue by their ids in Redis, and return what became of each.

        Raises what redis-py raises, and ServerError, where the server cannot be used.
        """
        way = self._ways[action]
        try:
            return await way(queue, ids)
        except (ResponseError, ServerError) as error:
            cause = error if isinstance(error, ResponseError) else error.__cause__
            if not isinstance(cause, ResponseError) or isinstance(cause, _OF_ALL):
                raise
            # A key of another type under the name of one of the jobs keeps back no other.
            if len(ids) == 1:
                return [Fate(ids[0], why=f"Redis refused it: {str(cause).splitlines()[0][:200]}")]
        return [fate for one in ids for fate in await self.act(action, queue, [one])]

    async def _retry(self, queue: str, ids: Sequence[str]) -> list[Fate]:
        answers = await self._letters.replay_these(queue, [encode_id(one) for one in ids])
        return [_of_replay(one, answer) for one, answer in zip(ids, answers, strict=True)]

    async def _delete(self, queue: str, ids: Sequence[str]) -> list[Fate]:
        deleted = await self._letters.delete_these(queue, [encode_id(one) for one in ids])
        return [Fate(one, done=number < deleted) for number, one in enumerate(ids)]

    async def _cancel(self, queue: str, ids: Sequence[str]) -> list[Fate]:
        return _fates(ids, await self._cancellation.cancel_these(queue, ids))

    async def _run_now(self, queue: str, ids: Sequence[str]) -> list[Fate]:
        return _fates(ids, await run_now(self._redis, self._settings, queue, ids))


def _fates(ids: Sequence[str], done: Sequence[bool]) -> list[Fate]:
    return [Fate(one, done=is_done) for one, is_done in zip(ids, done, strict=True)]


def _of_replay(job_id: str, answer: Any) -> Fate:
    word = (answer[0] if isinstance(answer, list) else answer).decode()
    if word in ("replayed", "replaced"):
        return Fate(job_id, done=True)
    return Fate(job_id, why=_WHY.get(word, "" if word == "absent" else word))


def refusals(queue: str, fates: Sequence[Fate]) -> list[dict[str, str]]:
    """Return those jobs that could not be changed, each with the reason."""
    return [{"queue": queue, "id": printable(fate.id), "why": fate.why} for fate in fates if fate.why]
