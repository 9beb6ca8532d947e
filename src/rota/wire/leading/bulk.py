"""Actions on many jobs as they lie in Redis: put there by a client, and changed by the leader that carries them out."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rota.wire.keys import actions_key, bulk_key
from rota.wire.leading.bells import hear, ring
from rota.wire.scripts import BULK

#: The most entries of the list of actions.
ACTIONS = 10_000
#: How long an operation is kept once it is over, in ms, and how many there are at most.
KEPT_MS, MOST = 7 * 86_400_000, 1000
#: The most operations that wait.
MOST_OPEN = 100

Fields = Mapping[bytes, bytes]


class Superseded(Exception):
    """Raised where another leader goes on with the operation, or it is gone."""


@dataclass(frozen=True, slots=True)
class Portion:
    """Some jobs of one queue that are about to be changed, by their ids; written down before the first of them is."""

    queue: str
    ids: tuple[str, ...]

    def write(self) -> str:
        # An id may be no text that UTF-8 can write; JSON in ASCII can.
        return json.dumps([self.queue, self.ids])

    @classmethod
    def read(cls, raw: bytes | None) -> "Portion | None":
        """Return the portion that is written down; None where none is, or it was done with."""
        if not raw:
            return None
        queue, ids = json.loads(raw)
        return cls(queue, tuple(ids))


class BulkKeys:
    """The operations of a deployment in Redis. What it is asked raises what redis-py raises.

    :param namespace: the prefix of the deployment's own keys.
    """

    def __init__(self, namespace: str) -> None:
        self.all = bulk_key(namespace)
        self._open = f"{self.all}:open"
        self._bell = f"{self.all}:bell"
        self._actions = actions_key(namespace)

    def of(self, operation_id: str) -> str:
        """Return the key of the hash of one operation."""
        return f"{self.all}:{operation_id}"

    async def put(self, redis: Any, operation_id: str, fields: Mapping[str, str], now_ms: int) -> bool:
        """Put an operation behind those that wait, and wake the leader; return False where too many do."""
        if await redis.zcard(self._open) >= MOST_OPEN:
            return False
        pipe = redis.pipeline(transaction=True)
        pipe.hset(self.of(operation_id), mapping={**fields, "change": "0", "created": str(now_ms)})
        for key in (self.all, self._open):
            pipe.zadd(key, {operation_id: now_ms})
        ring(pipe, self._bell)
        await pipe.execute()
        await self._bound(redis)
        return True

    async def _bound(self, redis: Any) -> None:
        """Strike the oldest operations where there are more than are kept, but for those that are not over."""
        old = await redis.zrange(self.all, 0, -(MOST + 1))
        if not old:
            return
        waiting = set(await redis.zrange(self._open, 0, -1))
        over = [one for one in old if one not in waiting]
        if over:
            pipe = redis.pipeline(transaction=True)
            pipe.zrem(self.all, *over).delete(*(self.of(one.decode()) for one in over))
            await pipe.execute()

    async def read(self, redis: Any, operation_id: str) -> Fields:
        """Return the fields of an operation; none of one that is not there."""
        found: Fields = await redis.hgetall(self.of(operation_id))
        return found

    async def read_all(self, redis: Any) -> list[tuple[str, Fields]]:
        """Return the fields of all operations that are kept, by their ids, the newest first."""
        ids = [one.decode("utf-8", "replace") for one in reversed(await redis.zrange(self.all, 0, -1))]
        pipe = redis.pipeline(transaction=False)
        for one in ids:
            pipe.hgetall(self.of(one))
        found = await pipe.execute() if ids else []
        return [(one, fields) for one, fields in zip(ids, found, strict=True) if fields]

    async def first_open(self, redis: Any) -> str | None:
        """Return the id of the operation that is next, or under way; None where none is."""
        found = await redis.zrange(self._open, 0, 0)
        return found[0].decode("utf-8", "replace") if found else None

    async def forget(self, redis: Any, operation_id: str) -> None:
        """Strike an operation off those that wait: its own key is gone, or holds something else."""
        await redis.zrem(self._open, operation_id)

    async def abort(self, redis: Any, operation_id: str, by: str) -> None:
        """Let an operation stop before its next portion, in the name of `by`."""
        pipe = redis.pipeline(transaction=True)
        pipe.hset(self.of(operation_id), "abort", by)
        ring(pipe, self._bell)
        await pipe.execute()

    async def hear(self, redis: Any, seconds: float) -> None:
        """Wait until an operation is put, for at most `seconds`."""
        await hear(redis, self._bell, seconds)

    async def change(
        self,
        redis: Any,
        operation_id: str,
        known: int,
        fields: Mapping[str, str] | None = None,
        counts: Mapping[str, int] | None = None,
        *,
        over: Mapping[str, str] | None = None,
    ) -> tuple[int, bool]:
        """Change an operation on top of its change `known`; with `over`, end it, and record that action.

        Return the number of the change, and whether the operation is to stop. Raises Superseded.
        """
        args = (
            *(operation_id, known, "" if over is None else KEPT_MS, ACTIONS),
            *_flat(fields or {}),
            *_flat(counts or {}),
            *(value for pair in (over or {}).items() for value in pair),
        )
        number, is_aborting = await BULK(redis, (self.of(operation_id), self._open, self._actions), args)
        if number < 0:
            raise Superseded(operation_id)
        return number, bool(is_aborting)


def _flat(pairs: Mapping[str, Any]) -> Sequence[Any]:
    return (len(pairs), *(value for pair in pairs.items() for value in pair))
