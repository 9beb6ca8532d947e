"""What the memory of Redis is used for: the keys of a database by kind, counted, and measured by samples."""

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from rota.server.check import Facts
from rota.server.faults import explained
from rota.wire.keys import ABORT, BELL, IN_PROGRESS, JOB, LOG_OF_JOB, QUEUE, RESULT, RETRY

#: How many keys one call of SCAN looks at, and how many are measured in one round trip.
_AT_ONCE, _MEASURED_AT_ONCE = 1000, 200
#: The most keys of a kind that are measured; of more, as many are chosen at random.
SAMPLE = 400
#: The elements of a large key that Redis looks at to estimate its size.
_ELEMENTS = 50

_LETTER = re.compile(rf"{QUEUE}[^:]+:dead:")
_BEGINNINGS = {
    JOB: "payloads of jobs",
    RESULT: "records of jobs that are over",
    LOG_OF_JOB: "logs of jobs",
    RETRY: "counts of attempts",
    IN_PROGRESS: "claims, as stock workers see them",
    ABORT: "requests to cancel",
    BELL: "wake-ups",
}
#: The kinds of keys that belong to no queue, by what follows the namespace.
_OF_NAMESPACE = {
    "events": "events",
    "records": "records for the audit table",
    "flow": "pipelines and batches",
    "flow-id": "pipelines and batches",
    "flows": "pipelines and batches",
    "limit": "limits",
    "slots": "limits",
    "unique": "unique keys",
    "idempotency": "idempotency keys",
    "schedule": "schedules",
    "history": "history of queues",
    "history-sent": "history of queues",
    "schedules": "schedules",
    "bulk": "actions on jobs",
    "actions": "actions on jobs",
    "webhook": "webhooks",
    "webhooks": "webhooks",
}


@dataclass(frozen=True, slots=True)
class Usage:
    """The keys of one kind: how many there are, and about how many bytes they take."""

    kind: str
    keys: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Memory:
    """The memory of a server, and what the keys of one database take of it.

    :param used: what Redis uses in all, in bytes, with its buffers and other databases.
    :param most: the limit that it has (`maxmemory`), in bytes; 0 for none.
    :param usage: the kinds of keys, the largest first.
    """

    used: int
    most: int
    usage: Sequence[Usage]


@dataclass(slots=True)
class _Kind:
    keys: int = 0
    sample: list[bytes] = field(default_factory=list)

    def add(self, key: bytes) -> None:
        """Count a key, and keep it in the sample as likely as any other (reservoir sampling)."""
        self.keys += 1
        if len(self.sample) < SAMPLE:
            self.sample.append(key)
        elif (place := random.randrange(self.keys)) < SAMPLE:  # noqa: S311 - a sample
            self.sample[place] = key


async def memory_of(redis: Any, namespace: str, moved: Callable[[int], object] = lambda _: None) -> Memory:
    """Measure what the keys of the database take, by kind. Raises ServerError.

    Looks at every key, a part at a time between the commands of others: a second for a million keys. `moved` is told
    how many keys each part had.
    """
    async with explained(redis):
        kinds = await _counted(redis, namespace, moved)
        usage = [await _measured(redis, name, kind) for name, kind in kinds.items()]
        facts = Facts.of(await redis.info("memory"))
    return Memory(facts.memory_used, facts.memory_max, sorted(usage, key=lambda one: (-one.bytes, one.kind)))


def kind_of(key: str, namespace: str) -> str:
    """Return what a key is for, in words."""
    if key.startswith(QUEUE):
        if _LETTER.match(key):
            return "dead letters"
        return "what is known of jobs and workers" if ":" in key.removeprefix(QUEUE) else "queues"
    for beginning, kind in _BEGINNINGS.items():
        if key.startswith(beginning):
            return kind
    own, _, rest = key.partition(":")
    if own == namespace:
        return _OF_NAMESPACE.get(rest.partition(":")[0], "other keys of rota")
    return "keys of other programs"


async def _counted(redis: Any, namespace: str, moved: Callable[[int], object]) -> dict[str, _Kind]:
    kinds: dict[str, _Kind] = {}
    cursor = 0
    while True:
        cursor, keys = await redis.scan(cursor, count=_AT_ONCE)
        for key in keys:
            kinds.setdefault(kind_of(key.decode("utf-8", "replace"), namespace), _Kind()).add(key)
        moved(len(keys))
        if not cursor:
            return kinds


async def _measured(redis: Any, name: str, kind: _Kind) -> Usage:
    sizes: list[int] = []
    for start in range(0, len(kind.sample), _MEASURED_AT_ONCE):
        async with redis.pipeline(transaction=False) as pipe:
            for key in kind.sample[start : start + _MEASURED_AT_ONCE]:
                pipe.memory_usage(key, samples=_ELEMENTS)
            # A key that has gone meanwhile has no size.
            sizes += [size for size in await pipe.execute() if size is not None]
    return Usage(name, kind.keys, round(sum(sizes) / len(sizes) * kind.keys) if sizes else 0)
