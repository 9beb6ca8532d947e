"""Heartbeats: each worker process writes every few seconds, for each of its queues, how many slots it has and uses.

A heartbeat is a key that expires, so the death of a process shows soon. A set has the names of a queue's processes.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from redis.exceptions import OutOfMemoryError

from rota.server.outage import FAULTS
from rota.wire.keys import QueueKeys
from rota.wire.scripts import BEAT

#: From one heartbeat to the next, and how long each of them holds, in seconds.
EVERY, LIFE = 5.0, 16.0
#: A heartbeat that is not answered within this time is given up for the next one, in seconds.
_PATIENCE = 3.0

Status = Literal["running", "draining"]


class Served(Protocol):
    """One queue's worker in this process, as a heartbeat sees it."""

    queue_name: str
    max_jobs: int

    @property
    def running(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Beat:
    """The last heartbeat of a process for one queue.

    :param process: the name of the process.
    :param status: whether it claims jobs, or drains.
    :param slots: its slots for this queue.
    :param busy: the slots in which a job runs.
    :param cap: its slots over all of its queues; 0: uncapped.
    :param version: of the code that it runs, without spaces; empty where that is unknown.
    """

    process: str
    status: Status
    slots: int
    busy: int
    cap: int
    version: str = ""

    def wire(self) -> str:
        """Return the text that is written to Redis."""
        return f"{self.status} {self.slots} {self.busy} {self.cap} {self.version}".rstrip()

    @classmethod
    def read(cls, process: str, raw: bytes) -> "Beat | None":
        """Return the heartbeat that `wire` wrote; None for anything else."""
        try:
            status, slots, busy, cap, *version = raw.decode().split(" ")
            drains: Status = "draining" if status == "draining" else "running"
            return cls(process, drains, int(slots), int(busy), int(cap), *version[:1])
        except ValueError:
            return None


class Heartbeat:
    """The service that writes the heartbeats of one process.

    :param redis: a client of its own, so that no other call delays a heartbeat.
    :param process: the name of the process, unlike any other.
    :param workers: the workers of its queues, as far as there are any yet.
    :param cap: the slots of the process over all of its queues; None: uncapped.
    :param draining: tells whether the process drains.
    :param version: of the code that the process runs; empty where that is unknown.
    """

    name = "heartbeat"
    may_end = False

    def __init__(
        self,
        redis: Any,
        process: str,
        workers: Sequence[Served],
        *,
        cap: int | None = None,
        draining: Callable[[], bool] = lambda: False,
        version: str = "",
    ) -> None:
        self._redis = redis
        self._process = process
        self._workers = workers
        self._cap = cap or 0
        self._draining = draining
        self._version = version
        self._changed = asyncio.Event()
        self._listed = False

    def look(self) -> None:
        """Write the next heartbeat at once, because the status has changed."""
        self._changed.set()

    async def run(self) -> None:
        """Write heartbeats until cancelled; then take them back, unless the server does not answer: they expire."""
        try:
            await self._try(self._forget_the_dead())
            while True:
                self._changed.clear()
                await self._try(self.beat())
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(EVERY):
                        await self._changed.wait()
        except asyncio.CancelledError:
            await self._try(self._take_back())
            raise

    async def beat(self) -> None:
        """Write one heartbeat: a command a queue, in one round trip. Raises what redis-py raises."""
        try:
            await self._beat()
        except OutOfMemoryError:
            keys = [
                key for one in self._workers for key in (self._key(one), QueueKeys.of(one.queue_name).workers)
            ]
            words = [self._word(one) for one in self._workers]
            await BEAT(self._redis, keys, (self._process, round(LIFE * 1000), *words))

    async def _beat(self) -> None:
        pipe = self._redis.pipeline(transaction=False)
        for worker in self._workers:
            pipe.set(self._key(worker), self._word(worker), px=round(LIFE * 1000), get=True)
        # A process whose key had expired, as at the start, may have been removed from the set.
        listed, self._listed = self._listed, False
        for worker, former in zip(self._workers, await pipe.execute(), strict=True):
            if former is None or not listed:
                pipe.sadd(QueueKeys.of(worker.queue_name).workers, self._process)
        await pipe.execute()
        self._listed = True

    def _word(self, worker: Served) -> str:
        status: Status = "draining" if self._draining() else "running"
        return Beat(self._process, status, worker.max_jobs, worker.running, self._cap, self._version).wire()

    def _key(self, worker: Served) -> str:
        return f"{QueueKeys.of(worker.queue_name).worker}:{self._process}"

    async def _take_back(self) -> None:
        pipe = self._redis.pipeline(transaction=False)
        for worker in self._workers:
            pipe.srem(QueueKeys.of(worker.queue_name).workers, self._process)
            pipe.delete(self._key(worker))
        await pipe.execute()

    async def _forget_the_dead(self) -> None:
        for worker in self._workers:
            keys = QueueKeys.of(worker.queue_name)
            names = list(await self._redis.smembers(keys.workers))
            beats = await self._redis.mget(beat_keys(keys, names)) if names else []
            gone = [name for name, beat in zip(names, beats, strict=True) if beat is None]
            if gone:
                await self._redis.srem(keys.workers, *gone)

    async def _try(self, call: Awaitable[None]) -> None:
        # The workers log that Redis is away.
        with contextlib.suppress(*FAULTS):
            async with asyncio.timeout(_PATIENCE):
                await call


def beat_keys(keys: QueueKeys, processes: Iterable[bytes]) -> list[bytes]:
    """Return the keys of the heartbeats of `processes`."""
    return [f"{keys.worker}:".encode() + process for process in processes]
