"""arq's health key: which worker wrote it, when it is written again, and which worker removes it."""

import re
from typing import cast

from arq.connections import ArqRedis

from rota.process.clock import Clock
from rota.worker.arq_health import HealthKey


class Redis:
    """One key, with the life that it was given."""

    def __init__(self) -> None:
        self.value: bytes | None = None
        self.lives: list[int] = []

    async def set(self, key: str, line: str, px: int) -> None:
        self.value = line.encode()
        self.lives.append(px)

    async def get(self, key: str) -> bytes | None:
        return self.value

    async def exists(self, key: str) -> bool:
        return self.value is not None

    async def delete(self, key: str) -> None:
        self.value = None


class Worker:
    """A worker's health key, on a clock that is moved."""

    def __init__(self, redis: Redis, name: str) -> None:
        self.now = 1_000_000.0
        self.redis = cast(ArqRedis, redis)
        self.key = HealthKey("arq:queue:health-check", name, 60.0, clock=Clock(time=lambda: self.now))

    async def write(self) -> None:
        async def counts() -> str:
            return "j_complete=3"

        await self.key.write(self.redis, counts)


async def test_a_line_says_when_and_which_worker_and_outlives_its_interval() -> None:
    redis = Redis()
    await Worker(redis, "w").write()
    assert re.fullmatch(rb"[A-Z]\w\w-\d\d \d\d:\d\d:\d\d worker=w j_complete=3", redis.value or b"")
    assert redis.lives == [61_000]


async def test_it_is_written_once_an_interval() -> None:
    redis = Redis()
    worker = Worker(redis, "w")
    for after, written in ((0, 1), (59, 1), (1, 2), (120, 3)):
        worker.now += after
        await worker.write()
        assert len(redis.lives) == written


async def test_a_key_that_another_worker_removed_at_its_end_is_written_before_its_time() -> None:
    redis = Redis()
    worker, leaving = Worker(redis, "w"), Worker(redis, "leaving")
    await worker.write()
    await leaving.write()
    await worker.key.restore(worker.redis)
    await worker.write()
    assert len(redis.lives) == 2, "it is there"
    await leaving.key.remove(leaving.redis)
    await worker.key.restore(worker.redis)
    await worker.write()
    assert b"worker=w " in (redis.value or b"")


async def test_only_the_worker_that_wrote_it_last_removes_it() -> None:
    redis = Redis()
    worker, leaving = Worker(redis, "w"), Worker(redis, "leaving")
    await leaving.write()
    await worker.write()
    await leaving.key.remove(leaving.redis)
    assert redis.value
    await worker.key.remove(worker.redis)
    assert redis.value is None
