"""What a stock arq client sees of jobs that arq's worker runs, and of jobs that ours runs: the same."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from arq.connections import ArqRedis
from arq.jobs import Job, JobStatus, ResultNotFound
from arq.worker import Retry

from tests.integration.arq_holes.side_by_side import Kind, both, burst, echo, is_gone, named, running
from tests.waiting import until

Ctx = dict[Any, Any]


class Gate:
    """A function that waits to be let through."""

    def __init__(self) -> None:
        self.entered = 0
        self.open = asyncio.Event()

    def function(self) -> Any:
        async def gate(ctx: Ctx, value: Any = None) -> Any:
            self.entered += 1
            await self.open.wait()
            return value

        return named("gate", gate)


async def put(redis: ArqRedis, *args: Any, **options: Any) -> Job:
    job = await redis.enqueue_job(*args, **options)
    assert job is not None
    return job


@both
async def test_the_status_follows_the_job(kind: Kind, redis: ArqRedis) -> None:
    gate = Gate()
    job = await put(redis, "gate", 1)
    assert await job.status() is JobStatus.queued
    async with running(kind, redis, [gate.function()]):
        await until(lambda: gate.entered == 1)
        assert await job.status() is JobStatus.in_progress
        gate.open.set()
        assert await job.result(timeout=5, poll_delay=0.02) == 1
        assert await job.status() is JobStatus.complete
    assert await Job("nobody", redis).status() is JobStatus.not_found


@both
async def test_a_running_job_can_be_looked_at_and_waited_for(kind: Kind, redis: ArqRedis) -> None:
    gate = Gate()
    job = await put(redis, "gate", 7)
    async with running(kind, redis, [gate.function()]):
        await until(lambda: gate.entered == 1)
        info = await job.info()
        assert info is not None
        assert (info.function, info.args, info.score is None) == ("gate", (7,), False)
        assert [found.job_id for found in await redis.queued_jobs()] == [job.job_id]
        with pytest.raises(asyncio.TimeoutError):
            await job.result(timeout=0.05, poll_delay=0.02)
        waiting = asyncio.create_task(job.result(timeout=5, poll_delay=0.02))
        gate.open.set()
        assert await waiting == 7
    assert await redis.queued_jobs() == []


@both
@pytest.mark.parametrize("delay", ["by", "until"])
async def test_a_deferred_job_waits_for_its_time(kind: Kind, redis: ArqRedis, delay: str) -> None:
    seconds = timedelta(seconds=0.4)
    due = {"_defer_by": seconds} if delay == "by" else {"_defer_until": datetime.now(UTC) + seconds}
    enqueued = datetime.now(UTC)
    job = await put(redis, "echo", 1, **due)
    assert await job.status() is JobStatus.deferred
    async with running(kind, redis, [named("echo", echo)]):
        assert await job.result(timeout=10, poll_delay=0.02) == 1
    info = await job.result_info()
    assert info is not None
    assert info.start_time - enqueued >= timedelta(seconds=0.39)


@both
async def test_a_job_that_waited_too_long_has_expired(kind: Kind, redis: ArqRedis) -> None:
    job = await put(redis, "echo", 1, _expires=0.02)
    await until(lambda: is_gone(redis, f"arq:job:{job.job_id}"))
    worker = await burst(kind, redis, [named("echo", echo)])
    info = await job.result_info()
    assert info is not None
    assert (info.function, info.success, repr(info.result)) == (
        "<unknown>",
        False,
        "JobExecutionFailed('job expired')",
    )
    assert worker.jobs_failed == 1


@both
async def test_a_taken_id_is_refused_while_it_waits_runs_and_is_kept(kind: Kind, redis: ArqRedis) -> None:
    gate = Gate()
    job = await put(redis, "gate", 1, _job_id="mine")
    assert await redis.enqueue_job("gate", 2, _job_id="mine") is None
    async with running(kind, redis, [gate.function()]):
        await until(lambda: gate.entered == 1)
        assert await redis.enqueue_job("gate", 2, _job_id="mine") is None
        gate.open.set()
        await job.result(timeout=5, poll_delay=0.02)
        assert await redis.enqueue_job("gate", 2, _job_id="mine") is None


@both
async def test_jobs_start_in_the_order_of_their_scores(kind: Kind, redis: ArqRedis) -> None:
    order = []

    async def note(ctx: Ctx, value: int) -> None:
        order.append(value)

    now = datetime.now(UTC)
    for value in (3, 1, 2):
        await put(redis, "note", value, _defer_until=now - timedelta(seconds=60 - value))
    await burst(kind, redis, [named("note", note)], max_jobs=1)
    assert order == [1, 2, 3]


@both
async def test_a_retried_job_is_waited_for(kind: Kind, redis: ArqRedis) -> None:
    async def again(ctx: Ctx) -> int:
        if ctx["job_try"] < 3:
            raise Retry(0.05)
        return int(ctx["job_try"])

    job = await put(redis, "again")
    async with running(kind, redis, [named("again", again)]):
        assert await job.result(timeout=10, poll_delay=0.01) == 3


@both
async def test_queues_are_apart(kind: Kind, redis: ArqRedis) -> None:
    here = await put(redis, "echo", 1, _queue_name="here")
    there = await put(redis, "echo", 2, _queue_name="there")
    await burst(kind, redis, [named("echo", echo)], queue_name="here")
    assert await here.result(timeout=5) == 1
    assert await there.status() is JobStatus.queued
    assert [job.args for job in await redis.queued_jobs(queue_name="there")] == [(2,)]
    with pytest.raises(ResultNotFound):
        await Job("nobody", redis, "there").result(timeout=1)


@both
async def test_queue_name_none_takes_the_pools_queue(kind: Kind, redis: ArqRedis) -> None:
    redis.default_queue_name = "the-pools"
    job = await put(redis, "echo", 1)
    worker = await burst(kind, redis, [named("echo", echo)], queue_name=None)
    assert (worker.queue_name, worker.health_check_key) == ("the-pools", "the-pools:health-check")
    assert await job.result(timeout=5) == 1
