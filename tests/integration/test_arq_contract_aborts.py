"""`Job.abort()`: before a job starts, while it runs, while it is deferred; on arq's worker and on ours alike."""

import asyncio
from typing import Any

import pytest
from arq.connections import ArqRedis
from arq.jobs import Job, JobStatus

from tests.integration.arq_holes.side_by_side import Kind, both, named, running
from tests.waiting import until

Ctx = dict[Any, Any]


class Sleeper:
    """A function that sleeps until it is cancelled, or told to wake."""

    def __init__(self, stubborn: bool = False) -> None:
        self.events: list[str] = []
        self.stubborn = stubborn
        self.wake = asyncio.Event()

    def function(self) -> Any:
        async def sleeper(ctx: Ctx) -> str:
            self.events.append("started")
            try:
                await self.wake.wait()
            except asyncio.CancelledError:
                self.events.append("cancelled")
                if not self.stubborn:
                    raise
            return "slept"

        return named("sleeper", sleeper)


async def put(redis: ArqRedis, **options: Any) -> Job:
    job = await redis.enqueue_job("sleeper", **options)
    assert job is not None
    return job


async def abort(job: Job) -> bool:
    return await job.abort(timeout=10, poll_delay=0.05)


@both
async def test_a_running_job_is_cancelled(kind: Kind, redis: ArqRedis) -> None:
    sleeper = Sleeper()
    job = await put(redis)
    async with running(kind, redis, [sleeper.function()], allow_abort_jobs=True) as worker:
        await until(lambda: sleeper.events == ["started"])
        assert await abort(job)
        assert sleeper.events == ["started", "cancelled"]
        assert (worker.jobs_failed, worker.jobs_retried) == (1, 0)
    assert await job.status() is JobStatus.complete
    assert await redis.zcard("arq:abort") == 0


@both
async def test_a_job_that_waits_never_starts(kind: Kind, redis: ArqRedis) -> None:
    sleeper = Sleeper()
    job = await put(redis)
    aborting = asyncio.create_task(abort(job))
    await until(lambda: _requested(redis))
    async with running(kind, redis, [sleeper.function()], allow_abort_jobs=True) as worker:
        assert await aborting
        assert worker.jobs_failed == 1
    assert sleeper.events == []
    assert await redis.zcard("arq:abort") == 0


@both
async def test_a_deferred_job_is_aborted_at_once(kind: Kind, redis: ArqRedis) -> None:
    sleeper = Sleeper()
    job = await put(redis, _defer_by=3600)
    async with running(kind, redis, [sleeper.function()], allow_abort_jobs=True) as worker:
        assert await abort(job)
        assert worker.jobs_failed == 1
    assert sleeper.events == []


@both
async def test_a_job_that_ends_in_spite_of_its_abort_has_a_result(kind: Kind, redis: ArqRedis) -> None:
    sleeper = Sleeper(stubborn=True)
    job = await put(redis)
    async with running(kind, redis, [sleeper.function()], allow_abort_jobs=True) as worker:
        await until(lambda: sleeper.events == ["started"])
        assert not await abort(job)
        assert worker.jobs_complete == 1
    assert await job.result(timeout=5) == "slept"


@both
async def test_only_the_job_that_was_named_is_cancelled(kind: Kind, redis: ArqRedis) -> None:
    sleeper = Sleeper()
    doomed, other = await put(redis), await put(redis)
    async with running(kind, redis, [sleeper.function()], allow_abort_jobs=True):
        await until(lambda: sleeper.events == ["started"] * 2)
        assert await abort(doomed)
        assert await other.status() is JobStatus.in_progress
        sleeper.wake.set()
        assert await other.result(timeout=5, poll_delay=0.05) == "slept"


@both
async def test_a_worker_that_does_not_allow_aborts_hears_none(kind: Kind, redis: ArqRedis) -> None:
    sleeper = Sleeper()
    running_job, waiting = await put(redis), await put(redis)
    async with running(kind, redis, [sleeper.function()], max_jobs=1):
        await until(lambda: sleeper.events == ["started"])
        with pytest.raises(asyncio.TimeoutError):
            await running_job.abort(timeout=0.8, poll_delay=0.05)
        with pytest.raises(asyncio.TimeoutError):
            await waiting.abort(timeout=0.05, poll_delay=0.02)
        sleeper.wake.set()
        assert await waiting.result(timeout=5, poll_delay=0.05) == "slept"
    assert sleeper.events == ["started"] * 2


@both
async def test_an_abort_of_a_finished_job_changes_nothing(kind: Kind, redis: ArqRedis) -> None:
    sleeper = Sleeper()
    sleeper.wake.set()
    job = await put(redis)
    async with running(kind, redis, [sleeper.function()], allow_abort_jobs=True):
        await job.result(timeout=5, poll_delay=0.02)
        assert not await abort(job)
    assert await job.result(timeout=5) == "slept"


async def _requested(redis: ArqRedis) -> bool:
    return bool(await redis.zcard("arq:abort"))
