"""What is left in Redis of jobs, flows and processes that are gone: found by a look at every key, and struck.

Jobs leave nothing behind by themselves. But keys are deleted by hand, stock workers finish jobs of which they do not
know all, and Redis may lose its last writes. Each portion is looked at by one script, which strikes only what belongs
to nothing in that moment, so nothing is taken of a job that lives, however many processes sweep.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from typing import Any

from redis.exceptions import ResponseError

from rota.errors import JobsGone
from rota.server.faults import explained
from rota.wire import results
from rota.wire.keys import QUEUE
from rota.wire.leading import sweeping
from rota.wire.leading.sweeping import Found, KeyKind

logger = logging.getLogger("rota.leader")

#: Between two calls, in seconds, so that a sweep takes little of Redis' time from others.
PACE = 0.005
#: How many keys one call of SCAN looks at.
_AT_ONCE = 1000
#: The most keys that are remembered from one look to the next.
_MOST_REMEMBERED = 100_000
#: What is deleted only if it belonged to nothing at the look before, too. A client of another kind may write a job's
#: payload before its place in a queue.
_LOOKED_AT_TWICE: tuple[KeyKind, ...] = ("payloads", "counts")
#: What each kind is called for people, but for those that come and go all the time.
_NAMED = {
    "flows": "pipelines or batches whose jobs are gone",
    "flow_keys": "plans and results of flows that are gone",
    "payloads": "payloads of jobs in no queue",
    "counts": "counts of attempts",
    "unique": "unique keys",
    "aliases": "ids of flows",
    "terms": "terms of jobs",
    "notes": "notes about lost or unknown jobs",
    "fields": "values kept between attempts",
    "claims": "claims of jobs",
    "members": "places in lines",
    "slots": "slots of limits",
}
#: What becomes of them.
STRUCK = "the worker that leads removes this within two hours"


async def named(redis: Any, namespace: str, moved: Callable[[int], object] = lambda _: None) -> str:
    """Count what is left of jobs and flows that are gone, and say so in a few words; "" where nothing is.

    `moved` is told how many keys were looked at. Raises ServerError.
    """
    async with explained(redis):
        found = await Leftovers(namespace, moved=moved).of_all(redis)
    return ", ".join(f"{words} ({found[kind]:,})" for kind, words in _NAMED.items() if found[kind])


class Leftovers:
    """Sweeps over a database, one after the other.

    :param namespace: that of the flows, limits and unique keys.
    :param queues: the keys of queues that exist for sure.
    :param strike: whether to strike what is found, or only to count it.
    :param pace: the pause between two calls, in seconds.
    :param moved: called between two calls, with how many keys were looked at; what it raises ends the sweep.
    """

    def __init__(
        self,
        namespace: str,
        queues: Iterable[str] = (),
        *,
        events_maxlen: int = 10_000,
        strike: bool = False,
        pace: float = 0.0,
        moved: Callable[[int], object] = lambda _: None,
    ) -> None:
        self._namespace = namespace
        self._own = tuple(queues)
        self._events_maxlen = events_maxlen
        self._strike = strike
        self._pace = pace
        self._moved = moved
        self._known: set[str] = set()
        self._looked_at: frozenset[bytes] = frozenset()
        self._gone: set[bytes] = set()
        self._refused: set[str] = set()

    async def of_queues(self, redis: Any) -> Counter[str]:
        """Sweep the collections of all queues. Raises what redis-py raises, and what `moved` does."""
        swept: Counter[str] = Counter()
        self._known = set(self._own)
        async for found in self._pages(redis, f"{QUEUE}*"):
            self._known |= found.queues
            swept += await self._of_collections(redis, found.collections)
        return swept

    async def of_all(self, redis: Any) -> Counter[str]:
        """Sweep all keys. Raises what redis-py raises, and what `moved` does."""
        swept = await self.of_queues(redis)
        self._gone = set()
        async for found in self._pages(redis, None):
            self._known |= found.queues
            limits = [one for one in found.collections if one.kind == "slots"]
            swept += await self._of_collections(redis, limits)
            swept += await self._of_flows(redis, found.flows)
            for kind, keys in found.loose.items():
                swept[kind] += await self._of_keys(redis, kind, keys)
        self._looked_at = frozenset(self._gone)
        return +swept

    async def of_collections(self, redis: Any, queue: str) -> Counter[str]:
        """Sweep what a queue with this key may have, without looking for it. Raises as `of_queues` does."""
        return await self._of_collections(redis, sweeping.collections_of(queue))

    async def _pages(self, redis: Any, match: str | None) -> AsyncIterator[Found]:
        cursor = 0
        while True:
            cursor, keys = await redis.scan(cursor, match=match, count=_AT_ONCE)
            await self._pause(_AT_ONCE)
            yield Found(keys, self._namespace)
            if not cursor:
                return

    async def _pause(self, keys: int = 0) -> None:
        self._moved(keys)
        if self._pace:
            await asyncio.sleep(self._pace)

    async def _of_collections(self, redis: Any, some: Collection[sweeping.Collection]) -> Counter[str]:
        swept: Counter[str] = Counter()
        for collection in some:
            start = ""
            while start != "0":
                try:
                    start, gone = await collection.sweep(redis, start or "0", strike=self._strike)
                except ResponseError as error:
                    self._say_refused(collection.kind, collection.key, error)
                    break
                swept[collection.kind] += gone
                await self._pause()
        return swept

    async def _of_keys(self, redis: Any, kind: KeyKind, keys: list[bytes]) -> int:
        if self._strike and kind in _LOOKED_AT_TWICE:
            gone = await self._swept(redis, kind, keys, strike=False)
            again = [key for key in gone if key in self._looked_at]
            room = _MOST_REMEMBERED - len(self._gone)
            self._gone.update([key for key in gone if key not in self._looked_at][:room])
            keys = again
        return len(await self._swept(redis, kind, keys, strike=self._strike))

    async def _swept(self, redis: Any, kind: KeyKind, keys: list[bytes], *, strike: bool) -> list[bytes]:
        gone: list[bytes] = []
        for start in range(0, len(keys), sweeping.KEYS):
            portion, queues = keys[start : start + sweeping.KEYS], sorted(self._known)
            try:
                gone += await sweeping.sweep_keys(
                    redis, kind, portion, queues, self._namespace, strike=strike
                )
            except ResponseError as error:
                self._say_refused(kind, portion[0].decode("utf-8", "backslashreplace"), error)
                continue
            await self._pause()
        return gone

    async def _of_flows(self, redis: Any, keys: list[bytes]) -> Counter[str]:
        swept: Counter[str] = Counter()
        error = results.encode_error(JobsGone())
        for start in range(0, len(keys), sweeping.FLOWS):
            portion = keys[start : start + sweeping.FLOWS]
            try:
                ended, deleted = await sweeping.sweep_flows(
                    redis, portion, self._namespace, self._events_maxlen, error, strike=self._strike
                )
            except ResponseError as error:
                self._say_refused("flows", portion[0].decode("utf-8", "backslashreplace"), error)
                continue
            swept.update(flows=ended, flow_keys=deleted)
            await self._pause()
        return swept

    def _say_refused(self, kind: str, key: str, error: ResponseError) -> None:
        """Log once of each kind that a key cannot be swept: another hand made it, or the user may not touch it."""
        if self._strike and kind not in self._refused:
            self._refused.add(kind)
            logger.warning(
                "housekeeper.refused", extra={"kind": kind, "key": key, "reason": str(error).splitlines()[0]}
            )
