"""What arq's plain functions are given, and what comes of them: on arq's worker and on ours alike."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from arq.connections import ArqRedis
from arq.jobs import Job, SerializationError
from arq.worker import JobExecutionFailed

from tests.integration.arq_holes.side_by_side import Kind, both, burst, echo, make, named

Ctx = dict[Any, Any]


async def enqueue(redis: ArqRedis, *args: Any, **options: Any) -> Job:
    job = await redis.enqueue_job(*args, **options)
    assert job is not None
    return job


async def outcome(job: Job) -> Any:
    info = await job.result_info()
    assert info is not None
    return info


@both
async def test_a_function_gets_the_workers_ctx_and_its_own_facts(kind: Kind, redis: ArqRedis) -> None:
    seen: Ctx = {}

    async def look(ctx: Ctx) -> None:
        seen.update(ctx)

    job = await enqueue(redis, "look")
    score = await redis.zscore("arq:queue", job.job_id)
    await burst(kind, redis, [named("look", look)], ctx={"db": "a pool"})

    assert set(seen) == {"db", "redis", "job_id", "job_try", "enqueue_time", "score"}
    assert (seen["db"], seen["job_id"], seen["job_try"], seen["score"]) == ("a pool", job.job_id, 1, score)
    assert timedelta(0) <= datetime.now(UTC) - seen["enqueue_time"] < timedelta(minutes=1)
    assert isinstance(seen["redis"], ArqRedis)


@both
async def test_a_function_enqueues_children_on_its_own_queue(kind: Kind, redis: ArqRedis) -> None:
    ran = []

    async def parent(ctx: Ctx) -> None:
        await ctx["redis"].enqueue_job("child", _queue_name="apart")

    async def child(ctx: Ctx) -> None:
        ran.append(ctx["job_id"])

    await enqueue(redis, "parent", _queue_name="apart")
    await burst(kind, redis, [named("parent", parent), named("child", child)], queue_name="apart")
    assert len(ran) == 1


@both
async def test_what_a_job_puts_into_ctx_stays_with_that_job(kind: Kind, redis: ArqRedis) -> None:
    seen = []

    async def leave(ctx: Ctx) -> None:
        seen.append("mark" in ctx)
        ctx["mark"] = True

    for _ in range(2):
        await enqueue(redis, "leave")
    await burst(kind, redis, [named("leave", leave)])
    assert seen == [False, False]


@both
async def test_arguments_and_results_are_whatever_the_serializer_carries(kind: Kind, redis: ArqRedis) -> None:
    value = {"when": datetime(2030, 1, 2, tzinfo=UTC), "set": {1, 2}, "raw": b"\xff"}

    async def both_ways(ctx: Ctx, *args: Any, **kwargs: Any) -> Any:
        return args, kwargs

    job = await enqueue(redis, "both_ways", value, key=value)
    await burst(kind, redis, [named("both_ways", both_ways)])
    assert await job.result(timeout=5) == ((value,), {"key": value})


@both
async def test_functions_are_named_by_themselves_by_a_path_or_by_choice(kind: Kind, redis: ArqRedis) -> None:
    path = f"{echo.__module__}.echo"
    worker = make(kind, redis, [echo, path, named("other", path)])
    assert list(worker.functions) == ["echo", path, "other"]
    await worker.close()

    job = await enqueue(redis, path, 3)
    await burst(kind, redis, [path])
    assert await job.result(timeout=5) == 3


@both
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"functions": []}, "at least one function or cron_job must be registered"),
        ({"functions": [print]}, "is not a coroutine function"),
        ({"functions": [echo], "cron_jobs": [echo]}, "must be instances of CronJob"),
        ({"functions": [echo], "queue_name": None}, "redis_pool must be present"),
        ({"functions": [echo], "max_job": 3}, "unexpected keyword argument 'max_job'"),
    ],
)
async def test_settings_that_cannot_be_are_refused(kind: Kind, options: Any, message: str) -> None:
    with pytest.raises((RuntimeError, ValueError, TypeError), match=message):
        kind(handle_signals=False, **options)


@both
async def test_an_exception_is_final(kind: Kind, redis: ArqRedis) -> None:
    tries = []

    async def fail(ctx: Ctx) -> None:
        tries.append(ctx["job_try"])
        raise ValueError("no good")

    job = await enqueue(redis, "fail")
    worker = await burst(kind, redis, [named("fail", fail)])
    with pytest.raises(ValueError, match="no good"):
        await job.result(timeout=5)
    assert tries == [1]
    assert (worker.jobs_complete, worker.jobs_failed, worker.jobs_retried) == (0, 1, 0)


@both
@pytest.mark.parametrize("limit", [{"timeout": 0.05}, {"timeout": timedelta(seconds=0.05)}, {}])
async def test_a_timeout_cancels_the_function_and_is_final(kind: Kind, redis: ArqRedis, limit: Any) -> None:
    tries = []

    async def hang(ctx: Ctx) -> None:
        tries.append(ctx["job_try"])
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            tries.append("cancelled")
            raise

    job = await enqueue(redis, "hang")
    worker = await burst(kind, redis, [named("hang", hang, **limit)], job_timeout=60 if limit else 0.05)
    with pytest.raises(asyncio.TimeoutError):
        await job.result(timeout=5)
    assert tries == [1, "cancelled"]
    assert (worker.jobs_failed, worker.jobs_retried) == (1, 0)


@both
async def test_a_function_that_ends_in_spite_of_its_timeout_has_a_result(kind: Kind, redis: ArqRedis) -> None:
    async def stubborn(ctx: Ctx) -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return "saved"
        return ""

    job = await enqueue(redis, "stubborn")
    worker = await burst(kind, redis, [named("stubborn", stubborn, timeout=0.05)])
    assert await job.result(timeout=5) == "saved"
    assert worker.jobs_complete == 1


@both
async def test_a_timeout_of_the_functions_own_making_is_an_exception(kind: Kind, redis: ArqRedis) -> None:
    async def impatient(ctx: Ctx) -> None:
        async with asyncio.timeout(0.01):
            await asyncio.sleep(60)

    job = await enqueue(redis, "impatient")
    worker = await burst(kind, redis, [named("impatient", impatient)])
    with pytest.raises(TimeoutError):
        await job.result(timeout=5)
    assert (worker.jobs_failed, worker.jobs_retried) == (1, 0)


@both
async def test_an_unknown_function_is_final(kind: Kind, redis: ArqRedis) -> None:
    job = await enqueue(redis, "stranger", 1, key=2)
    worker = await burst(kind, redis, [echo])
    with pytest.raises(JobExecutionFailed, match="function 'stranger' not found"):
        await job.result(timeout=5)
    info = await outcome(job)
    assert (info.function, info.args, info.kwargs) == ("stranger", (1,), {"key": 2})
    assert worker.jobs_failed == 1


@both
async def test_an_unreadable_payload_is_final(kind: Kind, redis: ArqRedis) -> None:
    job = await enqueue(redis, "echo", 1)
    await redis.set(f"arq:job:{job.job_id}", b"no pickle")
    worker = await burst(kind, redis, [echo])
    with pytest.raises(SerializationError, match="unable to deserialize job"):
        await job.result(timeout=5)
    assert (await outcome(job)).function == "<unknown>"
    assert worker.jobs_failed == 1


@both
async def test_a_job_without_payload_has_expired(kind: Kind, redis: ArqRedis) -> None:
    job = await enqueue(redis, "echo", 1)
    await redis.delete(f"arq:job:{job.job_id}")
    worker = await burst(kind, redis, [echo])
    with pytest.raises(JobExecutionFailed, match="job expired"):
        await job.result(timeout=5)
    assert worker.jobs_failed == 1
    assert await redis.zcard("arq:queue") == 0


@both
@pytest.mark.parametrize("fails", [False, True])
async def test_what_cannot_be_serialized_leaves_a_note(kind: Kind, redis: ArqRedis, fails: bool) -> None:
    class Local(Exception):
        """Pickle cannot find it."""

    async def odd(ctx: Ctx) -> Any:
        if fails:
            raise Local
        return Local

    job = await enqueue(redis, "odd")
    await burst(kind, redis, [named("odd", odd)])
    with pytest.raises(SerializationError, match="unable to serialize result"):
        await job.result(timeout=5)


@both
async def test_a_result_whose_repr_raises_fails_its_job_and_nothing_else(kind: Kind, redis: ArqRedis) -> None:
    class Shy:
        def __repr__(self) -> str:
            raise LookupError("no repr")

    async def shy(ctx: Ctx) -> Any:
        return Shy()

    job = await enqueue(redis, "shy")
    after = await enqueue(redis, "echo", 1)
    await burst(kind, redis, [named("shy", shy), echo])
    with pytest.raises(LookupError):
        await job.result(timeout=5)
    assert await after.result(timeout=5) == 1


@both
async def test_at_most_max_jobs_run_at_once(kind: Kind, redis: ArqRedis) -> None:
    now = peak = 0

    async def count(ctx: Ctx) -> None:
        nonlocal now, peak
        now += 1
        peak = max(peak, now)
        await asyncio.sleep(0.03)
        now -= 1

    for _ in range(10):
        await enqueue(redis, "count")
    worker = await burst(kind, redis, [named("count", count)], max_jobs=3)
    assert (peak, worker.jobs_complete) == (3, 10)
