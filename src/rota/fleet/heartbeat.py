"""Heartbeats: each worker process writes every few seconds, for each of its queues, how many slots it has and uses.

A heartbeat is a key that expires, so the death of a process shows soon. A set has the names of a queue's processes.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol

from redis.exceptions import OutOfMemoryError

from rota.server.outage import FAULTS
from rota.wire.keys import QueueKeys
from rota.wire.scripts import BEAT

#: From one heartbeat to the next, and how long each of them holds, in seconds.
EVERY, LIFE = 5.0, 16.0
#: What a process that drains calls its connection: Redis' start script (deploy/redis/start) waits for those.
DRAINING = "rota-draining"
#: A heartbeat that is not answered within this time is given up for the next one, in seconds.
_PATIENCE = 3.0

Status = Literal["running", "draining"]


class Served(Protocol):
    """One queue's worker in this process, as a heartbeat sees it."""

    queue_name: str
    max_jobs: int
    worker_id: str

    @property
    def running(self) -> int: ...


@dataclass(frozen=True, slots=True)
class About:
    """The process itself, as it tells of it in its heartbeats; those of an earlier version tell nothing.

    :param host: the name of its machine.
    :param up: for how long it has been running, in seconds.
    :param memory: how many bytes of it are in memory.
    :param lag: how late its event loop woke at worst, lately, in seconds.
    """

    host: str = ""
    pid: int = 0
    up: int = 0
    memory: int = 0
    lag: float = 0.0

    @classmethod
    def read(cls, said: Mapping[str, str]) -> "About":
        """Return what the words of a heartbeat say; nothing, where one of them cannot be read."""
        try:
            pid, up, memory = (int(said.get(name, 0)) for name in ("pid", "up", "memory"))
            return cls(said.get("host", ""), pid, up, memory, float(said.get("lag", 0)))
        except ValueError:
            return cls()


@dataclass(frozen=True, slots=True)
class Beat:
    """The last heartbeat of a process for one queue.

    :param process: the name of the process.
    :param status: whether it claims jobs, or drains.
    :param slots: its slots for this queue.
    :param busy: the slots in which a job runs.
    :param cap: its slots over all of its queues; 0: uncapped.
    :param version: of the code that it runs, without spaces; empty where that is unknown.
    :param worker: the name under which it claims jobs of the queue.
    :param about: what it tells of itself.
    :param age: how long ago it was written, in seconds, where the reader has asked.
    """

    process: str
    status: Status
    slots: int
    busy: int
    cap: int
    version: str = ""
    worker: str = ""
    about: About = About()
    age: float = field(default=0.0, compare=False)

    def wire(self) -> str:
        """Return the text that is written to Redis: a version that knows fewer words passes the last ones over."""
        words = {"as": self.worker, **asdict(self.about)}
        told = "".join(f" {name}={value}" for name, value in words.items() if value)
        return f"{self.status} {self.slots} {self.busy} {self.cap} {self.version}{told}".rstrip()

    @classmethod
    def read(cls, process: str, raw: bytes, age: float = 0.0) -> "Beat | None":
        """Return the heartbeat that `wire` wrote; None for anything else."""
        try:
            status, slots, busy, cap, *rest = raw.decode().split(" ")
            drains: Status = "draining" if status == "draining" else "running"
            words = dict(word.split("=", 1) for word in rest[1:] if "=" in word)
            about, version = About.read(words), "".join(rest[:1])
            figures = int(slots), int(busy), int(cap)
            return cls(process, drains, *figures, version, words.get("as", ""), about, age)
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
    :param about: returns what the process tells of itself.
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
        about: Callable[[], About] = About,
    ) -> None:
        self._redis = redis
        self._process = process
        self._workers = workers
        self._cap = cap or 0
        self._draining = draining
        self._version = version
        self._about = about
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
                if self._draining():
                    await self._try(self._redis.client_setname(DRAINING))
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
            words = self._words()
            await BEAT(self._redis, keys, (self._process, round(LIFE * 1000), *words))

    async def _beat(self) -> None:
        pipe = self._redis.pipeline(transaction=False)
        for worker, words in zip(self._workers, self._words(), strict=True):
            pipe.set(self._key(worker), words, px=round(LIFE * 1000), get=True)
        # A process whose key had expired, as at the start, may have been removed from the set.
        listed, self._listed = self._listed, False
        for worker, former in zip(self._workers, await pipe.execute(), strict=True):
            if former is None or not listed:
                pipe.sadd(QueueKeys.of(worker.queue_name).workers, self._process)
        await pipe.execute()
        self._listed = True

    def _words(self) -> list[str]:
        status: Status = "draining" if self._draining() else "running"
        about, rest = self._about(), (self._cap, self._version)
        return [
            Beat(self._process, status, one.max_jobs, one.running, *rest, one.worker_id, about).wire()
            for one in self._workers
        ]

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
