"""What of a queue's keys can outlive what it belonged to, and how it is struck."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Literal

from rota.names import NAME
from rota.wire.keys import QUEUE, RESERVED
from rota.wire.scripts import SWEEP

Kind = Literal["letters", "workers", "fields"]

#: The collections of a queue that are swept, by the last part of their key.
SWEPT: dict[str, Kind] = {
    "dead": "letters",
    "workers": "workers",
    **dict.fromkeys(("terms", "attempts", "snoozes", "checkpoint", "progress"), "fields"),
}
#: How many entries one call of the script looks at, and how many keys one call of SCAN.
PORTION, KEYS = 100, 1000


@dataclass(frozen=True, slots=True)
class Collection:
    """One key of a queue that has entries for several jobs or processes."""

    queue: str
    key: str
    kind: Kind

    async def sweep(self, redis: Any, start: str) -> tuple[str, int]:
        """Strike what belongs to nothing, of the portion that begins at `start`; "0" begins the first.

        Return where the next one begins, "0" after the last, and how many entries were struck.
        """
        following, struck = await SWEEP(redis, (self.queue, self.key), (self.kind, start, PORTION))
        return following.decode(), int(struck)


def collections_of(queue: str) -> list[Collection]:
    """Return what is swept of the queue with this key, whether it is there or not."""
    return [Collection(queue, f"{queue}:{part}", kind) for part, kind in SWEPT.items()]


async def collections_in(redis: Any) -> AsyncIterator[list[Collection]]:
    """Find the collections of all queues, those that no code names included. Yields after each call of SCAN."""
    cursor = 0
    while True:
        cursor, keys = await redis.scan(cursor, match=f"{QUEUE}*", count=KEYS)
        yield [found for key in keys if (found := _collection(key))]
        if not cursor:
            return


def _collection(key: bytes) -> Collection | None:
    queue, _, part = key.decode("utf-8", "replace").rpartition(":")
    name = queue.removeprefix(QUEUE)
    if part not in SWEPT or not NAME.fullmatch(name) or name in RESERVED:
        return None
    return Collection(queue, f"{queue}:{part}", SWEPT[part])
