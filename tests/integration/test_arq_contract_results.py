"""What is left of a job in Redis, how long, and in which bytes: from arq's worker and from ours alike."""

import json
from datetime import timedelta
from typing import Any

import pytest
from arq.connections import ArqRedis
from arq.jobs import Job, ResultNotFound, deserialize_result

from tests.integration.arq_holes.side_by_side import Kind, both, burst, echo, named

Ctx = dict[Any, Any]
HOUR = 3_600_000


async def run_one(kind: Kind, redis: ArqRedis, function: Any, *args: Any, **options: Any) -> Job:
    job = await redis.enqueue_job(function.name, *args)
    assert job is not None
    await burst(kind, redis, [function], **options)
    return job


@both
async def test_nothing_but_the_result_is_left(kind: Kind, redis: ArqRedis) -> None:
    job = await run_one(kind, redis, named("echo", echo), 1)
    assert await redis.keys() == [f"arq:result:{job.job_id}".encode()]


@both
@pytest.mark.parametrize(
    ("own", "worker", "lives_ms"),
    [
        ({}, {}, HOUR),
        ({}, {"keep_result": 100}, 100_000),
        ({}, {"keep_result": timedelta(minutes=2)}, 120_000),
        ({"keep_result": 7}, {"keep_result": 100}, 7_000),
        ({}, {"keep_result_forever": True}, -1),
        ({"keep_result_forever": True}, {"keep_result": 0}, -1),
        ({"keep_result_forever": False}, {"keep_result_forever": True}, HOUR),
    ],
)
async def test_a_result_lives_as_long_as_it_was_asked_to(
    kind: Kind, redis: ArqRedis, own: Any, worker: Any, lives_ms: int
) -> None:
    job = await run_one(kind, redis, named("echo", echo, **own), 1, **worker)
    left = await redis.pttl(f"arq:result:{job.job_id}")
    assert lives_ms - 5_000 < left <= lives_ms if lives_ms > 0 else left == -1


@both
@pytest.mark.parametrize(("own", "worker"), [({}, {"keep_result": 0}), ({"keep_result": 0}, {})])
async def test_a_result_without_a_time_to_keep_is_not_kept(
    kind: Kind, redis: ArqRedis, own: Any, worker: Any
) -> None:
    job = await run_one(kind, redis, named("echo", echo, **own), 1, **worker)
    with pytest.raises(ResultNotFound):
        await job.result(timeout=1)
    assert await redis.keys() == []


@both
async def test_a_job_that_fails_before_it_starts_keeps_its_result_as_the_worker_says(
    kind: Kind, redis: ArqRedis
) -> None:
    job = await redis.enqueue_job("stranger")
    assert job is not None
    await burst(kind, redis, [named("echo", echo, keep_result=1)], keep_result=100)
    assert 95_000 < await redis.pttl(f"arq:result:{job.job_id}") <= 100_000


@both
async def test_a_result_says_all_about_its_run(kind: Kind, redis: ArqRedis) -> None:
    job = await redis.enqueue_job("echo", "x", _queue_name="apart")
    assert job is not None
    await burst(kind, redis, [named("echo", echo)], queue_name="apart")
    info = await job.result_info()
    assert info is not None
    assert (info.function, info.args, info.kwargs, info.job_try) == ("echo", ("x",), {}, 1)
    assert (info.success, info.result, info.queue_name, info.job_id) == (True, "x", "apart", job.job_id)
    assert info.enqueue_time <= info.start_time <= info.finish_time
    assert (info.finish_time - info.enqueue_time).total_seconds() < 30


@both
async def test_all_results_are_listed(kind: Kind, redis: ArqRedis) -> None:
    for value in range(3):
        await redis.enqueue_job("echo", value)
    await burst(kind, redis, [named("echo", echo)])
    assert sorted(found.result for found in await redis.all_job_results()) == [0, 1, 2]


@both
async def test_an_id_is_free_again_when_its_result_has_gone(kind: Kind, redis: ArqRedis) -> None:
    async def again() -> bool:
        job = await redis.enqueue_job("echo", 1, _job_id="mine")
        return job is not None

    assert await again()
    assert not await again()
    await burst(kind, redis, [named("echo", echo)])
    assert not await again()
    await redis.delete("arq:result:mine")
    assert await again()


def to_json(data: Any) -> bytes:
    return json.dumps(data, default=repr).encode()


@both
async def test_serializers_are_the_users_choice(kind: Kind, redis: ArqRedis) -> None:
    redis.job_serializer, redis.job_deserializer = to_json, json.loads
    job = await redis.enqueue_job("echo", "x")
    assert job is not None
    payload = await redis.get(f"arq:job:{job.job_id}")
    assert payload is not None
    assert json.loads(payload)["f"] == "echo"

    pair: Any = {"job_serializer": to_json, "job_deserializer": json.loads}
    await burst(kind, redis, [named("echo", echo)], **pair)
    raw = await redis.get(f"arq:result:{job.job_id}")
    assert raw is not None
    assert json.loads(raw)["r"] == "x"
    assert deserialize_result(raw, deserializer=json.loads).success


@both
async def test_children_are_written_with_the_serializer_of_the_pool(kind: Kind, redis: ArqRedis) -> None:
    redis.job_serializer, redis.job_deserializer = to_json, json.loads

    async def parent(ctx: Ctx) -> str:
        child = await ctx["redis"].enqueue_job("echo", 1, _defer_by=3600)
        return str(child.job_id)

    job = await redis.enqueue_job("parent")
    assert job is not None
    await burst(
        kind,
        redis,
        [named("parent", parent), named("echo", echo)],
        max_burst_jobs=1,
        job_serializer=to_json,
        job_deserializer=json.loads,
    )
    raw = await redis.get(f"arq:job:{await job.result(timeout=5)}")
    assert raw is not None
    assert json.loads(raw)["a"] == [1]
