"""Where arq's worker does not scale, cannot be seen into, or can be taken over: stated, and what ours does."""

import asyncio
import contextlib
import json
import logging
import pickle
import time
from typing import Any

import pytest
from arq.connections import ArqRedis, RedisSettings
from arq.cron import cron
from arq.jobs import Job
from arq.worker import Worker, async_check_health, get_kwargs

from rota import JobError, Run, job_deserializer, job_serializer
from rota import job as service_job
from rota.errors import UnreadablePayload
from rota.server.target import RedisTarget
from rota.worker.worker import QueueWorker
from tests.integration.arq_holes.side_by_side import burst, echo, make, named, running, settings_of
from tests.servers import RedisServer
from tests.waiting import until
from tests.workers import at_work, serving

Ctx = dict[Any, Any]
KINDS = pytest.mark.parametrize("kind", [Worker, QueueWorker], ids=["arq", "rota"])


async def put(redis: ArqRedis, *args: Any, **options: Any) -> Job:
    job = await redis.enqueue_job(*args, **options)
    assert job is not None
    return job


class Crowd:
    """A function of which many run at once, until all are let go."""

    def __init__(self) -> None:
        self.now = 0
        self.open = asyncio.Event()

    def function(self) -> Any:
        async def crowd(ctx: Ctx) -> None:
            self.now += 1
            await self.open.wait()

        return named("crowd", crowd)


# Scaling


async def test_stock_twenty_workers_of_ten_slots_run_one_hundred_jobs(redis: ArqRedis) -> None:
    """Each stock worker looks at the first hundred of the queue, which are the jobs that run."""
    crowd = Crowd()
    await asyncio.gather(*(redis.enqueue_job("crowd") for _ in range(200)))
    workers = [make(Worker, redis, [crowd.function()], poll_delay=0.1) for _ in range(20)]
    async with at_work(*workers):
        await until(lambda: crowd.now == 100)
        await asyncio.sleep(0.5)  # five polls of each worker
        assert crowd.now == 100
        crowd.open.set()
        await until(lambda: sum(worker.jobs_complete for worker in workers) == 200)


@pytest.mark.parametrize(("kind", "due"), [(Worker, 5), (QueueWorker, 3)], ids=["arq", "rota"])
async def test_due_jobs_are_the_backlog_with_ours_alone(
    redis: ArqRedis, kind: type[Worker], due: int
) -> None:
    """Two run, three wait, one is deferred."""
    crowd = Crowd()
    for _ in range(5):
        await put(redis, "crowd")
    await put(redis, "crowd", _defer_by=3600)
    async with running(kind, redis, [crowd.function()], max_jobs=2):
        await until(lambda: crowd.now == 2)
        assert await redis.zcount("arq:queue", "-inf", time.time() * 1000) == due
        crowd.open.set()


# Sight


@KINDS
@pytest.mark.parametrize("stops", ["the first", "the last that wrote"])
async def test_one_clean_stop_makes_all_look_sick_in_arq_alone(
    redis: ArqRedis, server: RedisServer, kind: type[Worker], stops: str
) -> None:
    workers = [make(kind, redis, [echo]) for _ in range(2)]
    async with contextlib.AsyncExitStack() as at:
        for worker in workers:
            await redis.delete("arq:queue:health-check")
            await at.enter_async_context(at_work(worker))
            await until(lambda: _exists(redis, "arq:queue:health-check"))
        await workers[0 if stops == "the first" else 1].close()
        if kind is Worker:
            assert await async_check_health(settings_of(server)) == 1
        else:
            await until(lambda: _exists(redis, "arq:queue:health-check"))
            assert await async_check_health(settings_of(server)) == 0


@KINDS
async def test_hooks_see_neither_function_nor_outcome(redis: ArqRedis, kind: type[Worker]) -> None:
    """arq's contract; the service's subscribers see both."""
    seen: list[Ctx] = []

    async def end(ctx: Ctx) -> None:
        seen.append(ctx)

    await put(redis, "echo", "a value")
    await burst(kind, redis, [named("echo", echo)], after_job_end=end)
    assert set(seen[0]) == {"redis", "job_id", "job_try", "enqueue_time", "score"}


# Workers that share


@pytest.mark.parametrize(("kind", "queues"), [(Worker, 1), (QueueWorker, 2)], ids=["arq", "rota"])
async def test_a_shared_ctx_leads_children_astray_in_arq_alone(
    server: RedisServer, redis: ArqRedis, kind: type[Worker], queues: int
) -> None:
    found = []

    async def parent(ctx: Ctx) -> None:
        child = await ctx["redis"].enqueue_job("child", _defer_by=3600)
        found.append(child._queue_name)

    ctx: Ctx = {"config": "shared"}
    workers = [
        make(
            kind,
            None,
            [named("parent", parent)],
            redis_settings=settings_of(server),
            queue_name=queue,
            ctx=ctx,
        )
        for queue in ("one", "two")
    ]
    async with at_work(*workers):
        await until(lambda: both_started(redis))
        for queue in ("one", "two"):
            await put(redis, "parent", _queue_name=queue)
            await until(lambda queue=queue: len(found) == ("one", "two").index(queue) + 1)
    assert len(set(found)) == queues


async def both_started(redis: ArqRedis) -> bool:
    return int(await redis.exists("one:health-check", "two:health-check")) == 2


@pytest.mark.parametrize(("kind", "ticked"), [(Worker, 1), (QueueWorker, 2)], ids=["arq", "rota"])
async def test_shared_cron_jobs_split_their_ticks_in_arq_alone(
    redis: ArqRedis, kind: type[Worker], ticked: int
) -> None:
    from tests.integration.arq_holes.test_work_lost_or_repeated import NOON

    async def tick(ctx: Ctx) -> None:
        """Return at once, with nothing done."""

    shared = cron(tick, name="tick", second=set(range(60)), microsecond=0, unique=False)
    queues = ("one", "two")
    workers = [make(kind, redis, [], queue_name=queue, cron_jobs=[shared]) for queue in queues]
    for worker in workers:
        await worker.run_cron(NOON, 0.5)
    for worker in workers:
        await worker.run_cron(NOON, 0.5)
        await worker.close()
    assert await redis.exists(*queues) == ticked


# Security


TAKEN_OVER: list[str] = []


def take_over() -> dict[str, Any]:
    """Stand for any function that can be imported."""
    TAKEN_OVER.append("taken over")
    return {}


class Exploit:
    """A payload of an attacker who can write to Redis."""

    def __reduce__(self) -> Any:
        return take_over, ()


@pytest.mark.parametrize("place", ["worker", "client"])
async def test_stock_an_attacker_who_writes_to_redis_runs_code(redis: ArqRedis, place: str) -> None:
    TAKEN_OVER.clear()
    job = await put(redis, "echo", 1)
    if place == "worker":
        await redis.set(f"arq:job:{job.job_id}", pickle.dumps(Exploit()))
        await burst(Worker, redis, [named("echo", echo)])
    else:
        await redis.set(f"arq:result:{job.job_id}", pickle.dumps(Exploit()))
        with pytest.raises(Exception, match="unable to deserialize"):
            await job.result(timeout=1)
    assert TAKEN_OVER == ["taken over"]


@pytest.mark.parametrize("kind", [Worker, QueueWorker], ids=["arq", "rota"])
async def test_with_our_serializers_a_pickle_is_not_read(redis: ArqRedis, kind: type[Worker]) -> None:
    TAKEN_OVER.clear()
    redis.job_serializer, redis.job_deserializer = job_serializer, job_deserializer
    job = await put(redis, "echo", 1)
    await redis.set(f"arq:job:{job.job_id}", pickle.dumps(Exploit()))
    pair: Any = {"job_serializer": job_serializer, "job_deserializer": job_deserializer}
    worker = await burst(kind, redis, [named("echo", echo)], **pair)
    assert worker.jobs_failed == 1
    await redis.set(f"arq:result:{job.job_id}", pickle.dumps(Exploit()))
    with pytest.raises(Exception, match="unable to deserialize") as refused:
        await job.result(timeout=1)
    assert isinstance(refused.value.__cause__, UnreadablePayload)
    assert TAKEN_OVER == []


async def test_a_bare_worker_unpickles_as_arq_does_and_says_so_when_it_starts(
    redis: ArqRedis, caplog: pytest.LogCaptureFixture
) -> None:
    job = await put(redis, "echo", {1, 2})
    await burst(QueueWorker, redis, [named("echo", echo)])
    assert await job.result(timeout=1) == {1, 2}
    (said,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert said.startswith("jobs are unpickled: whoever can write to this Redis can run code in this worker")


@pytest.mark.parametrize("given", [{}, {"job_deserializer": pickle.loads, "job_serializer": pickle.dumps}])
async def test_a_bare_worker_that_allows_no_pickle_fails_one_unread_and_writes_json(
    redis: ArqRedis, caplog: pytest.LogCaptureFixture, given: dict[str, Any]
) -> None:
    TAKEN_OVER.clear()
    attack = await put(redis, "echo", 1)
    await redis.set(f"arq:job:{attack.job_id}", pickle.dumps(Exploit()))
    redis.job_serializer, redis.job_deserializer = job_serializer, job_deserializer
    good = await put(redis, "echo", [1, 2])
    worker = await burst(QueueWorker, redis, [named("echo", echo)], allow_pickle=False, **given)
    assert (worker.jobs_complete, worker.jobs_failed, TAKEN_OVER) == (1, 1, [])
    assert await good.result(timeout=1) == [1, 2]
    with pytest.raises(JobError, match=r"unable to deserialize job: .* bytes that are a pickle"):
        await Job(attack.job_id, redis, _deserializer=job_deserializer).result(timeout=1)
    assert "jobs are unpickled" not in caplog.text


async def test_a_worker_with_serializers_of_its_own_says_nothing_of_pickles(
    redis: ArqRedis, caplog: pytest.LogCaptureFixture
) -> None:
    own: dict[str, Any] = {
        "job_serializer": job_serializer,
        "job_deserializer": json.loads,
    }
    for allowed in (True, False):
        worker = make(QueueWorker, redis, [echo], burst=True, allow_pickle=allowed, **own)
        await worker.async_run()
        assert worker.job_deserializer is own["job_deserializer"]
        await worker.close()
    assert "unpickled" not in caplog.text


async def test_the_service_makes_a_dead_letter_of_a_pickle(redis: ArqRedis, server: RedisServer) -> None:
    TAKEN_OVER.clear()

    @service_job(name="greet")
    async def greet(run: Run) -> None:
        """Never called: a pickle is not a job."""

    async with serving(server.url, greet):
        await redis.set("arq:job:attack", pickle.dumps(Exploit()))
        await redis.zadd("arq:queue:default", {"attack": 1})
        letter = await until(lambda: redis.hgetall("arq:queue:default:dead:attack"))
        assert b"a pickle" in letter[b"error"]
    assert TAKEN_OVER == []


# Settings

SECRET = "s3cr#t/pa:ss"
URL = "redis://worker:s3cr%23t%2Fpa%3Ass@queue.example:6380/2"


def test_stock_settings_show_their_password_and_take_it_undecoded() -> None:
    settings = RedisSettings.from_dsn(URL)
    assert settings.password == "s3cr%23t%2Fpa%3Ass"
    assert settings.password in repr(settings)


def test_a_target_decodes_its_password_and_hides_it() -> None:
    target = RedisTarget.from_url(URL)
    assert target.password == SECRET
    for text in (repr(target), str(target), target.safe_url, f"{[target]}"):
        assert "s3cr" not in text
        assert "queue.example:6380" in text


def test_stock_takes_neither_a_slash_nor_options_nor_sentinels() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        RedisSettings.from_dsn("redis://queue.example/")
    assert RedisSettings.from_dsn("rediss://queue.example?ssl_ca_certs=/ca.pem").ssl_ca_certs is None
    with pytest.raises(RuntimeError, match="invalid DSN scheme"):
        RedisSettings.from_dsn("redis+sentinel://one,two/main/0")


def test_a_target_takes_all_three() -> None:
    assert RedisTarget.from_url("redis://queue.example/").db == 0
    tls = RedisTarget.from_url("rediss://queue.example?ssl_check_hostname=false").tls
    assert tls is not None
    assert not tls.check_hostname
    assert len(RedisTarget.from_url("redis+sentinel://one,two/main/0").sentinels) == 2


class Shared:
    """Settings that several workers have in common."""

    max_jobs = 50


class Settings(Shared):
    """One worker's."""

    functions = (echo,)
    max_job = 3  # a typo


def test_stock_drops_what_a_settings_class_inherits_and_what_it_misspells() -> None:
    assert set(get_kwargs(Settings)) == {"functions"}  # type: ignore[arg-type]


def test_a_misspelt_setting_of_ours_is_refused() -> None:
    with pytest.raises(TypeError, match="max_job"):
        QueueWorker(functions=Settings.functions, max_job=3, handle_signals=False)


async def _exists(redis: ArqRedis, key: str) -> bool:
    return bool(await redis.exists(key))
