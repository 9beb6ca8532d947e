"""Burst mode, `max_burst_jobs` and `run_check`: on arq's worker and on ours alike."""

import asyncio
from typing import Any

import pytest
from arq.connections import ArqRedis
from arq.worker import FailedJobs, Retry, Worker

from tests.integration.arq_holes.side_by_side import Kind, both, burst, echo, make, named

Ctx = dict[Any, Any]


async def fail(ctx: Ctx, text: str) -> None:
    raise ValueError(text)


async def again(ctx: Ctx) -> None:
    if ctx["job_try"] == 1:
        raise Retry


FUNCTIONS = [named("echo", echo), named("fail", fail), named("again", again)]


async def check(kind: Kind, redis: ArqRedis, options: Any = None, **asked: Any) -> Worker:
    worker = make(kind, redis, FUNCTIONS, burst=True, **(options or {}))
    try:
        worker.checked = await worker.run_check(**asked)  # type: ignore[attr-defined]
    finally:
        await worker.close()
    return worker


@both
async def test_an_empty_queue_ends_a_burst(kind: Kind, redis: ArqRedis) -> None:
    worker = await burst(kind, redis, FUNCTIONS)
    assert worker.jobs_complete == 0


@both
async def test_a_burst_waits_for_deferred_jobs(kind: Kind, redis: ArqRedis) -> None:
    await redis.enqueue_job("echo", 1, _defer_by=0.3)
    worker = await burst(kind, redis, FUNCTIONS)
    assert worker.jobs_complete == 1


@both
async def test_a_burst_that_waits_does_not_spin(kind: Kind, redis: ArqRedis) -> None:
    await redis.enqueue_job("echo", 1, _defer_by=1)
    before = (await redis.info("stats"))["total_commands_processed"]
    await burst(kind, redis, FUNCTIONS, poll_delay=0.1)
    assert (await redis.info("stats"))["total_commands_processed"] - before < 150


@both
async def test_a_burst_runs_what_its_jobs_enqueue(kind: Kind, redis: ArqRedis) -> None:
    async def chain(ctx: Ctx, left: int) -> None:
        if left:
            await ctx["redis"].enqueue_job("chain", left - 1)

    await redis.enqueue_job("chain", 4)
    worker = await burst(kind, redis, [named("chain", chain)])
    assert worker.jobs_complete == 5


@both
@pytest.mark.parametrize(("limit", "started"), [(0, 0), (2, 2), (-1, 5)])
async def test_a_burst_starts_so_many_jobs_at_most(
    kind: Kind, redis: ArqRedis, limit: int, started: int
) -> None:
    for value in range(5):
        await redis.enqueue_job("echo", value)
    worker = await burst(kind, redis, FUNCTIONS, max_burst_jobs=limit)
    assert worker.jobs_complete == started
    assert await redis.zcard("arq:queue") == 5 - started


@both
async def test_every_try_counts_towards_the_burst(kind: Kind, redis: ArqRedis) -> None:
    await redis.enqueue_job("again")
    worker = await burst(kind, redis, FUNCTIONS, max_burst_jobs=1)
    assert (worker.jobs_retried, worker.jobs_complete) == (1, 0)
    assert await redis.zcard("arq:queue") == 1


@both
async def test_a_check_counts_the_jobs_that_completed(kind: Kind, redis: ArqRedis) -> None:
    for value in range(3):
        await redis.enqueue_job("echo", value)
    worker = await check(kind, redis)
    assert worker.checked == 3  # type: ignore[attr-defined]


@both
async def test_a_check_raises_what_failed(kind: Kind, redis: ArqRedis) -> None:
    await redis.enqueue_job("echo", 1)
    await redis.enqueue_job("fail", "one")
    with pytest.raises(FailedJobs) as one:
        await check(kind, redis)
    assert (one.value.count, str(one.value)) == (1, "1 job failed ValueError('one')")

    await redis.enqueue_job("fail", "two")
    await redis.enqueue_job("fail", "three")
    with pytest.raises(FailedJobs) as more:
        await check(kind, redis)
    assert more.value.count == 2
    assert {repr(found.result) for found in more.value.job_results} >= {
        "ValueError('two')",
        "ValueError('three')",
    }


@both
async def test_a_check_may_forbid_retries_and_bound_the_burst(kind: Kind, redis: ArqRedis) -> None:
    await redis.enqueue_job("again")
    with pytest.raises(FailedJobs, match="Retry"):
        await check(kind, redis, retry_jobs=False)
    for value in range(3):
        await redis.enqueue_job("echo", value)
    worker = await check(kind, redis, max_burst_jobs=2)
    assert worker.checked == 2  # type: ignore[attr-defined]


@both
async def test_the_same_worker_bursts_again(kind: Kind, redis: ArqRedis) -> None:
    runs = []

    async def slow(ctx: Ctx) -> None:
        runs.append(ctx["job_try"])
        await asyncio.sleep(0.1 if kind is Worker else 2.4)  # ours: longer than two leases

    own: Any = {} if kind is Worker else {"lease": 1}
    worker = make(kind, redis, [*FUNCTIONS, named("slow", slow)], burst=True, **own)
    await redis.enqueue_job("echo", 1)
    await worker.async_run()
    await redis.enqueue_job("slow")
    await worker.async_run()
    await worker.close()
    assert (runs, worker.jobs_complete) == ([1], 2)
