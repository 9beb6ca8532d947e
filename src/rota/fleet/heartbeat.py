"""Heartbeats: each worker process says every few seconds, for each of its queues, how many slots it has and uses.

A heartbeat is a key that expires, so a process that died is missed soon; the names of the processes are a set.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from rota.server.outage import FAULTS
from rota.wire.keys import QueueKeys

#: A heartbeat is written this often, and holds for so long, seconds.
EVERY, LIFE = 5.0, 16.0
#: A server that does not answer a heartbeat within this gets the next one, seconds.
_PATIENCE = 3.0

Status = Literal["running", "draining"]


class Served(Protocol):
    """What a heartbeat tells of: one queue's worker in this process."""

    queue_name: str
    max_jobs: int

    @property
    def running(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Beat:
    """What a process last said of itself for one queue. `cap` is its slots over all of its queues (0: uncapped)."""

    process: str
    status: Status
    slots: int
    busy: int
    cap: int

    def wire(self) -> str:
        """As it lies in Redis."""
        return f"{self.status} {self.slots} {self.busy} {self.cap}"

    @classmethod
    def read(cls, process: str, raw: bytes) -> "Beat | None":
        """What lies in Redis; None for what is no heartbeat."""
        try:
            status, slots, busy, cap = raw.decode().split(" ")
            drains: Status = "draining" if status == "draining" else "running"
            return cls(process, drains, int(slots), int(busy), int(cap))
        except ValueError:
            return None


class Heartbeat:
    """Tells of the workers of one process, on a connection of its own. `cap` is None where its slots are not capped."""

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
    ) -> None:
        self._redis = redis
        self._process = process
        self._workers = workers
        self._cap = cap or 0
        self._draining = draining
        self._changed = asyncio.Event()
        self._listed = False

    def look(self) -> None:
        """Something changed: tell it now."""
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
        """Tell now: a command a queue, in one round trip. Raises what redis-py raises."""
        status: Status = "draining" if self._draining() else "running"
        pipe = self._redis.pipeline(transaction=False)
        for worker in self._workers:
            beat = Beat(self._process, status, worker.max_jobs, worker.running, self._cap)
            pipe.set(self._key(worker), beat.wire(), px=round(LIFE * 1000), get=True)
        # Who was silent for long, as at the start, may be in the set no more.
        listed, self._listed = self._listed, False
        for worker, former in zip(self._workers, await pipe.execute(), strict=True):
            if former is None or not listed:
                pipe.sadd(QueueKeys.of(worker.queue_name).workers, self._process)
        await pipe.execute()
        self._listed = True

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
        # The workers themselves say that Redis is away.
        with contextlib.suppress(*FAULTS):
            async with asyncio.timeout(_PATIENCE):
                await call


def beat_keys(keys: QueueKeys, processes: Iterable[bytes]) -> list[bytes]:
    """Where the heartbeats of these processes lie."""
    return [f"{keys.worker}:".encode() + process for process in processes]
