"""The producers of jobs: a stock arq client, and rota's own."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from arq.connections import ArqRedis, RedisSettings, create_pool
from arq.jobs import Deserializer, Serializer, serialize_job

import rota
from benchmarks.jobs import nap, noop, stamp
from rota.settings.load import load

#: The stock client has no bulk call; this number of enqueues at once, each on its own connection, takes its place.
TOGETHER = 100
#: The number of jobs in one Redis pipeline while the backlog is written.
_PIPELINE = 500
_DAY_MS = 86_400_000
_OWN = {job.name: job for job in (noop, nap, stamp)}


class Producer(Protocol):
    """Enqueues jobs by name and number; gives the ids."""

    async def one(self, task: str, number: int) -> str:
        """Enqueue a single job, and wait for the server."""

    async def many(self, task: str, numbers: Sequence[int]) -> list[str]:
        """Enqueue many jobs in the client's fastest public way."""

    async def fill(self, task: str, numbers: Sequence[int]) -> list[str]:
        """Write a backlog as fast as possible, with the same keys and bytes as the other two methods leave."""

    async def close(self) -> None:
        """Close the connections of the producer."""


class StockProducer:
    """arq's client as it comes, or with a pair of serializers."""

    def __init__(self, redis: ArqRedis, queue: str) -> None:
        self._redis = redis
        self._queue = queue

    @classmethod
    async def connect(
        cls, url: str, queue: str, dumps: Serializer | None = None, loads: Deserializer | None = None
    ) -> "StockProducer":
        """Return a producer for `queue` on the server at `url`."""
        settings = RedisSettings.from_dsn(url)
        return cls(await create_pool(settings, job_serializer=dumps, job_deserializer=loads), queue)

    async def one(self, task: str, number: int) -> str:
        job = await self._redis.enqueue_job(task, number, _queue_name=self._queue)
        if job is None:
            raise RuntimeError(f"arq's client did not enqueue {task} {number}")
        return job.job_id

    async def many(self, task: str, numbers: Sequence[int]) -> list[str]:
        """Enqueue by `enqueue_job`, a hundred at a time."""
        ids: list[str] = []
        for start in range(0, len(numbers), TOGETHER):
            ids += await asyncio.gather(
                *(self.one(task, number) for number in numbers[start : start + TOGETHER])
            )
        return ids

    async def fill(self, task: str, numbers: Sequence[int]) -> list[str]:
        """Write in pipelines what `enqueue_job` writes."""
        seconds, microseconds = await self._redis.time()
        now = seconds * 1000 + microseconds // 1000
        ids = [f"{task}-{number:024x}" for number in numbers]
        for start in range(0, len(ids), _PIPELINE):
            async with self._redis.pipeline(transaction=False) as pipe:
                for job_id, number in zip(ids[start : start + _PIPELINE], numbers[start:], strict=False):
                    payload = serialize_job(
                        task, (number,), {}, None, now, serializer=self._redis.job_serializer
                    )
                    pipe.psetex(f"arq:job:{job_id}", _DAY_MS, payload)
                    pipe.zadd(self._queue, {job_id: now})
                await pipe.execute()
        return ids

    async def close(self) -> None:
        await self._redis.aclose(close_connection_pool=True)


class OwnProducer:
    """rota's client: typed jobs, checked here, an event for each."""

    def __init__(self, client: rota.Client) -> None:
        self.client = client

    @classmethod
    async def connect(cls, url: str) -> "OwnProducer":
        """Return a producer on the server at `url`."""
        return cls(await rota.connect(load({"REDIS_URL": url})))

    async def one(self, task: str, number: int) -> str:
        """Enqueue by `client.enqueue`, one round trip."""
        return (await self.client.enqueue(_OWN[task], number)).id

    async def many(self, task: str, numbers: Sequence[int]) -> list[str]:
        """Enqueue by `client.enqueue_many`, in portions."""
        job = _OWN[task]
        return [
            handle.id for handle in await self.client.enqueue_many(job.call(number) for number in numbers)
        ]

    async def fill(self, task: str, numbers: Sequence[int]) -> list[str]:
        """Enqueue in bulk, which is the fastest way there is."""
        return await self.many(task, numbers)

    async def close(self) -> None:
        await self.client.close()
