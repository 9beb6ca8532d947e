"""What runs again, when, and how often: on arq's worker and on ours alike."""

import asyncio
import contextlib
import time
from datetime import timedelta
from typing import Any

import pytest
from arq.connections import ArqRedis
from arq.jobs import JobStatus
from arq.worker import JobExecutionFailed, Retry, RetryJob

from rota import QueueWorker
from tests.integration.arq_holes.side_by_side import Kind, both, burst, named, running
from tests.waiting import until

Ctx = dict[Any, Any]


class Fickle:
    """A function that raises what it was given, one a try, and then returns."""

    def __init__(self, *raises: BaseException) -> None:
        self.raises = list(raises)
        self.tries: list[int] = []
        self.scores: list[int] = []
        self.times: list[float] = []

    async def __call__(self, ctx: Ctx) -> str:
        self.tries.append(ctx["job_try"])
        self.scores.append(ctx["score"])
        self.times.append(time.time())
        if self.raises:
            raise self.raises.pop(0)
        return "done"

    def function(self, **options: Any) -> Any:
        async def fickle(ctx: Ctx) -> str:
            return await self(ctx)

        return named("fickle", fickle, **options)


@both
async def test_retry_runs_the_job_again_at_its_old_place(kind: Kind, redis: ArqRedis) -> None:
    fickle = Fickle(Retry(), Retry(0))
    job = await redis.enqueue_job("fickle")
    worker = await burst(kind, redis, [fickle.function()])
    assert job is not None
    assert await job.result(timeout=5) == "done"
    assert fickle.tries == [1, 2, 3]
    assert len(set(fickle.scores)) == 1
    info = await job.result_info()
    assert info is not None
    assert info.job_try == 3
    assert (worker.jobs_complete, worker.jobs_retried, worker.jobs_failed) == (1, 2, 0)
    assert await redis.exists(f"arq:retry:{job.job_id}") == 0


@both
@pytest.mark.parametrize("defer", [0.3, timedelta(seconds=0.3)])
async def test_a_deferred_retry_waits_so_long(kind: Kind, redis: ArqRedis, defer: Any) -> None:
    fickle = Fickle(Retry(defer))
    job = await redis.enqueue_job("fickle")
    await burst(kind, redis, [fickle.function()])
    assert job is not None
    assert fickle.tries == [1, 2]
    assert 0.29 <= fickle.times[1] - fickle.times[0] < 5
    assert 290 <= fickle.scores[1] - fickle.times[0] * 1000 < 5000


@both
async def test_a_job_that_waits_for_its_retry_is_deferred(kind: Kind, redis: ArqRedis) -> None:
    fickle = Fickle(Retry(60))
    job = await redis.enqueue_job("fickle")
    assert job is not None
    async with running(kind, redis, [fickle.function()]) as worker:
        await until(lambda: worker.jobs_retried == 1)

        async def deferred() -> bool:
            return await job.status() is JobStatus.deferred

        await until(deferred)
        assert await redis.get(f"arq:retry:{job.job_id}") == b"1"
        assert await redis.exists(f"arq:in-progress:{job.job_id}") == 0


@both
@pytest.mark.parametrize(
    ("worker_tries", "own_tries", "tries"), [(2, None, [1, 2]), (5, 1, [1]), (1, 3, [1, 2, 3])]
)
async def test_max_tries_ends_it(
    kind: Kind, redis: ArqRedis, worker_tries: int, own_tries: int | None, tries: list[int]
) -> None:
    fickle = Fickle(*[Retry() for _ in range(9)])
    job = await redis.enqueue_job("fickle")
    worker = await burst(kind, redis, [fickle.function(max_tries=own_tries)], max_tries=worker_tries)
    assert job is not None
    with pytest.raises(JobExecutionFailed, match=f"max {len(tries)} retries exceeded"):
        await job.result(timeout=5)
    assert fickle.tries == tries
    assert (worker.jobs_failed, worker.jobs_retried) == (1, len(tries))


@both
async def test_a_client_may_start_at_a_later_try(kind: Kind, redis: ArqRedis) -> None:
    fickle = Fickle(Retry())
    job = await redis.enqueue_job("fickle", _job_try=4)
    await burst(kind, redis, [fickle.function()])
    assert job is not None
    assert fickle.tries == [4, 5]
    assert await job.result(timeout=5) == "done"


@both
async def test_a_later_try_counts_towards_max_tries(kind: Kind, redis: ArqRedis) -> None:
    fickle = Fickle()
    job = await redis.enqueue_job("fickle", _job_try=6)
    await burst(kind, redis, [fickle.function()])
    assert job is not None
    with pytest.raises(JobExecutionFailed, match="max 5 retries exceeded"):
        await job.result(timeout=5)
    assert fickle.tries == []


@both
@pytest.mark.parametrize("error", [RetryJob("again"), asyncio.CancelledError()])
async def test_retry_job_and_a_cancellation_run_again(
    kind: Kind, redis: ArqRedis, error: BaseException
) -> None:
    fickle = Fickle(error)
    await redis.enqueue_job("fickle")
    worker = await burst(kind, redis, [fickle.function()])
    assert fickle.tries == [1, 2]
    assert (worker.jobs_complete, worker.jobs_retried) == (1, 1)


class Panic(BaseException):
    """Raised by native extensions: a panic in Rust does not derive from Exception."""


@pytest.mark.parametrize(
    "error",
    [Panic("panicked"), BaseExceptionGroup("several", [Panic("panicked")]), GeneratorExit(), SystemExit(3)],
)
async def test_whatever_a_function_raises_ends_its_job_and_nothing_else(
    redis: ArqRedis, error: BaseException
) -> None:
    fickle = Fickle(error)
    job = await redis.enqueue_job("fickle")
    worker = await burst(QueueWorker, redis, [fickle.function()])
    assert job is not None
    assert (worker.jobs_complete, worker.jobs_failed, worker.jobs_retried) == (0, 1, 0)
    info = await job.result_info()
    assert info is not None
    assert not info.success
    assert type(info.result) is type(error)


async def test_a_function_that_ignores_its_timeout_is_left_behind(redis: ArqRedis) -> None:
    over, ended = asyncio.Event(), asyncio.Event()

    async def ignore(ctx: Ctx) -> None:
        while not over.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await over.wait()
        ended.set()

    job = await redis.enqueue_job("ignore")
    worker = await burst(QueueWorker, redis, [named("ignore", ignore, timeout=0.2)])
    over.set()
    await ended.wait()
    assert job is not None
    with pytest.raises(TimeoutError):
        await job.result(timeout=5)
    assert (worker.jobs_complete, worker.jobs_failed, worker.jobs_retried) == (0, 1, 0)


@both
@pytest.mark.parametrize("error", [Retry(5), RetryJob("again"), asyncio.CancelledError()])
async def test_without_retry_jobs_all_of_these_are_final(
    kind: Kind, redis: ArqRedis, error: BaseException
) -> None:
    fickle = Fickle(error)
    job = await redis.enqueue_job("fickle")
    worker = await burst(kind, redis, [fickle.function()], retry_jobs=False)
    assert job is not None
    with pytest.raises(type(error)):
        await job.result(timeout=5)
    assert fickle.tries == [1]
    assert (worker.jobs_failed, worker.jobs_retried) == (1, 0)
