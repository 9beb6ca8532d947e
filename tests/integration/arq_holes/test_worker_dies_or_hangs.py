"""What ends or stops arq's worker: stated, and shown not to stop ours."""

import asyncio
import contextlib
import logging
import os
import pickle
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest
from arq.connections import ArqRedis, create_pool
from arq.jobs import Job, SerializationError
from arq.worker import Worker
from redis.exceptions import RedisError, ResponseError

from rota.worker.worker import QueueWorker
from tests.integration.arq_holes.side_by_side import burst, echo, make, named, running, settings_of
from tests.servers import RedisServer
from tests.waiting import until
from tests.workers import at_work

Ctx = dict[Any, Any]

#: How long arq's worker keeps what it holds when it dies: its longest timeout and ten seconds, ms.
STOCK_LOCK = 310_000


async def put(redis: ArqRedis, *args: Any, **options: Any) -> Job:
    job = await redis.enqueue_job(*args, **options)
    assert job is not None
    return job


async def locked(redis: ArqRedis, job: Job) -> bool:
    """Tell whether a dead stock worker left the job where no worker takes it for five minutes."""
    left: int = await redis.pttl(f"arq:in-progress:{job.job_id}")
    return STOCK_LOCK - 30_000 < left <= STOCK_LOCK


@contextlib.contextmanager
def configured(server: RedisServer, **settings: Any) -> Iterator[None]:
    """Give the server other settings while a block lasts."""
    with server.client() as client:
        before = {name: client.config_get(name.replace("_", "-")) for name in settings}
        for name, value in settings.items():
            client.config_set(name.replace("_", "-"), value)
        try:
            yield
        finally:
            for values in before.values():
                for name, value in values.items():
                    client.config_set(name, value)


class Gate:
    """A function that waits to be let through."""

    def __init__(self) -> None:
        self.entered = 0
        self.open = asyncio.Event()

    def function(self) -> Any:
        async def gate(ctx: Ctx) -> str:
            self.entered += 1
            await self.open.wait()
            return "through"

        return named("gate", gate)


# Redis goes away


async def test_stock_a_restart_of_redis_ends_the_worker_and_repeats_the_job(own_server: RedisServer) -> None:
    gate = Gate()
    pool = await create_pool(settings_of(own_server))
    worker = make(Worker, pool, [gate.function()])
    main = asyncio.create_task(worker.async_run())
    job = await put(pool, "gate")
    await until(lambda: gate.entered == 1)
    own_server.stop()
    gate.open.set()
    with pytest.raises((RedisError, OSError)):
        await main
    await asyncio.gather(*worker.tasks.values(), return_exceptions=True)
    own_server.start()
    assert await job.result_info() is None
    assert await locked(pool, job)
    assert await pool.zscore("arq:queue", job.job_id) is not None
    await pool.aclose(close_connection_pool=True)


async def test_a_restart_of_redis_is_waited_for_and_the_result_recorded(own_server: RedisServer) -> None:
    gate = Gate()
    pool = await create_pool(settings_of(own_server))
    async with running(QueueWorker, pool, [gate.function()]) as worker:
        job = await put(pool, "gate")
        await until(lambda: gate.entered == 1)
        own_server.stop()
        gate.open.set()
        await asyncio.sleep(0.3)  # the length of the outage
        own_server.start()
        assert await job.result(timeout=10, poll_delay=0.05) == "through"
        assert (gate.entered, worker.jobs_complete) == (1, 1)
    await pool.aclose(close_connection_pool=True)


async def test_stock_waits_for_a_reply_for_ever_and_ours_does_not(server: RedisServer) -> None:
    pool = await create_pool(settings_of(server))
    assert pool.connection_pool.connection_kwargs.get("socket_timeout") is None
    worker = make(QueueWorker, pool, [echo])
    async with at_work(worker):
        await until(lambda: worker.pool is not pool)
        kwargs = worker.pool.connection_pool.connection_kwargs
        assert 0 < kwargs["socket_timeout"] <= 10
        assert kwargs["socket_keepalive"]
    await pool.aclose(close_connection_pool=True)


# Redis takes no writes


@pytest.mark.parametrize(
    ("kind", "fault"),
    [(Worker, "OOM"), (Worker, "READONLY"), (QueueWorker, "READONLY")],
    ids=["arq-OOM", "arq-READONLY", "rota-READONLY"],
)
async def test_a_redis_that_takes_no_writes_is_told_of_by_ours_alone(
    own_server: RedisServer, caplog: pytest.LogCaptureFixture, fault: str, kind: type[Worker]
) -> None:
    pool = await create_pool(settings_of(own_server))
    options: Any = {} if kind is Worker else {"lease": 1}
    async with running(kind, pool, [named("echo", echo)], **options) as worker:
        await until(lambda: _exists(pool, "arq:queue:health-check"))
        job = await put(pool, "echo", 1, _defer_by=0.2)
        caplog.clear()
        if fault == "OOM":
            await pool.config_set("maxmemory", 1)
        else:
            await pool.replicaof("127.0.0.1", 1)

        def told() -> set[str]:
            records = [record for record in caplog.records if record.name.startswith(("arq", "rota"))]
            return {record.msg for record in records if record.levelno >= logging.WARNING}

        if kind is Worker:
            await asyncio.sleep(0.8)  # many polls, most of them when the job is due
            assert told() == set()
        else:
            await until(lambda: "redis.unavailable" in told())
        assert worker.jobs_complete == 0
        await pool.config_set("maxmemory", 0)
        await pool.replicaof("NO", "ONE")
        assert await job.result(timeout=10, poll_delay=0.05) == 1
    await pool.aclose(close_connection_pool=True)


async def test_a_full_redis_is_worked_off_by_ours(redis: ArqRedis, server: RedisServer) -> None:
    job = await put(redis, "echo", 1)
    with configured(server, maxmemory=1):
        async with running(QueueWorker, redis, [named("echo", echo)]):
            assert await job.result(timeout=10, poll_delay=0.05) == 1


async def test_stock_a_full_redis_at_the_end_of_a_job_ends_the_worker(
    redis: ArqRedis, server: RedisServer
) -> None:
    gate = Gate()
    job = await put(redis, "gate")
    worker = make(Worker, redis, [gate.function()])
    main = asyncio.create_task(worker.async_run())
    await until(lambda: gate.entered == 1)
    with configured(server, maxmemory=1):
        gate.open.set()
        with pytest.raises(ResponseError):
            await main
    assert await job.result_info() is None
    assert await locked(redis, job)


async def test_a_full_redis_records_what_is_finished_and_runs_what_is_due(
    redis: ArqRedis, server: RedisServer
) -> None:
    gate = Gate()
    job = await put(redis, "gate")
    async with running(QueueWorker, redis, [gate.function(), named("echo", echo)]):
        await until(lambda: gate.entered == 1)
        waiting = await put(redis, "echo", 1, _defer_by=1)
        with configured(server, maxmemory=1):
            gate.open.set()
            assert await job.result(timeout=10, poll_delay=0.05) == "through"
            assert await waiting.result(timeout=10, poll_delay=0.05) == 1


# Hooks


async def fail(ctx: Ctx) -> None:
    raise LookupError("the hook fails")


HOOKS = ["on_job_start", "on_job_end", "after_job_end"]


@pytest.mark.parametrize("hook", HOOKS)
async def test_stock_a_hook_that_raises_ends_the_worker(redis: ArqRedis, hook: str) -> None:
    job = await put(redis, "echo", 1)
    worker = make(Worker, redis, [named("echo", echo)], **{hook: fail})
    async with asyncio.timeout(10):
        with pytest.raises(LookupError):
            await worker.async_run()
    assert await locked(redis, job) == (hook != "after_job_end")


@pytest.mark.parametrize("hook", HOOKS)
async def test_a_hook_that_raises_leaves_the_worker_alone(redis: ArqRedis, hook: str) -> None:
    jobs = [await put(redis, "echo", value) for value in (1, 2)]
    worker = await burst(QueueWorker, redis, [named("echo", echo)], **{hook: fail})
    for value, job in enumerate(jobs, 1):
        if hook == "on_job_start":
            with pytest.raises(LookupError):
                await job.result(timeout=5)
        else:
            assert await job.result(timeout=5) == value
    assert worker.jobs_complete + worker.jobs_failed == 2
    assert await redis.zcard("arq:queue") == 0


async def test_stock_a_hook_that_is_cancelled_ends_the_worker(redis: ArqRedis) -> None:
    await put(redis, "echo", 1)
    worker = make(Worker, redis, [named("echo", echo)], on_job_end=cancelled)
    async with asyncio.timeout(10):
        with pytest.raises(asyncio.CancelledError):
            await worker.async_run()


@pytest.mark.parametrize("hook", ["on_job_end", "after_job_end"])
async def test_a_hook_that_is_cancelled_leaves_its_job_as_it_ended(redis: ArqRedis, hook: str) -> None:
    runs = []

    async def work(ctx: Ctx) -> str:
        runs.append(ctx["job_try"])
        return "done"

    job = await put(redis, "work")
    worker = await burst(QueueWorker, redis, [named("work", work)], max_burst_jobs=3, **{hook: cancelled})
    assert (runs, worker.jobs_complete) == ([1], 1)
    assert await job.result(timeout=1) == "done"


async def cancelled(ctx: Ctx) -> None:
    raise asyncio.CancelledError


# Jobs that cannot run


async def test_stock_results_for_ever_and_a_job_that_never_starts_end_the_worker(redis: ArqRedis) -> None:
    job = await put(redis, "stranger")
    worker = make(Worker, redis, [echo], keep_result_forever=True)
    async with asyncio.timeout(10):
        with pytest.raises(ResponseError, match="invalid expire time"):
            await worker.async_run()
    assert await redis.exists(f"arq:job:{job.job_id}", f"arq:result:{job.job_id}") == 0


async def test_a_job_that_never_starts_has_its_result_for_ever(redis: ArqRedis) -> None:
    job = await put(redis, "stranger")
    await burst(QueueWorker, redis, [echo], keep_result_forever=True)
    assert await redis.pttl(f"arq:result:{job.job_id}") == -1


GOOD: dict[str, Any] = {"t": None, "f": "echo", "a": (1,), "k": {}, "et": 1}
POISON = [
    {**GOOD, "et": "soon"},
    {**GOOD, "f": ["echo"]},
    {**GOOD, "t": "once"},
    {**GOOD, "k": 5},
    {**GOOD, "a": 5},
    {**GOOD, "et": 1e300},
]


async def poison(redis: ArqRedis, data: Any) -> Job:
    job = await put(redis, "echo", 1)
    await redis.set(f"arq:job:{job.job_id}", pickle.dumps(data))
    return job


@pytest.mark.parametrize("data", POISON[:3], ids=["et", "f", "t"])
async def test_stock_a_poisonous_payload_ends_the_worker_and_the_next(redis: ArqRedis, data: Any) -> None:
    job = await poison(redis, data)
    for _ in range(2):
        worker = make(Worker, redis, [named("echo", echo)])
        async with asyncio.timeout(10):
            with pytest.raises(TypeError):
                await worker.async_run()
        assert await locked(redis, job)
        await redis.delete(f"arq:in-progress:{job.job_id}")  # five minutes later


@pytest.mark.parametrize("data", POISON, ids=["et", "f", "t", "k", "a", "et-far"])
async def test_a_poisonous_payload_is_final_and_nothing_else(redis: ArqRedis, data: Any) -> None:
    job, after = await poison(redis, data), await put(redis, "echo", 2)
    worker = await burst(QueueWorker, redis, [named("echo", echo)])
    assert await after.result(timeout=5) == 2
    info = await job.result_info()
    assert info is not None
    assert not info.success
    assert worker.jobs_failed == 1
    assert await redis.keys("arq:in-progress:*") == []


ODD = b"\xff\xfe"


async def test_stock_an_id_that_is_not_text_ends_every_worker(redis: ArqRedis) -> None:
    await redis.zadd("arq:queue", {ODD: 1})
    for _ in range(2):
        with pytest.raises(UnicodeDecodeError):
            await make(Worker, redis, [echo]).async_run()


async def test_an_id_that_is_not_text_is_a_job_that_failed(redis: ArqRedis) -> None:
    await redis.zadd("arq:queue", {ODD: 1})
    job = await put(redis, "echo", 1)
    worker = await burst(QueueWorker, redis, [named("echo", echo)])
    assert await job.result(timeout=5) == 1
    assert worker.jobs_failed == 1
    assert await redis.exists(b"arq:result:" + ODD) == 1
    assert await redis.zcard("arq:queue") == 0


# Ends of processes


async def leave(ctx: Ctx) -> None:
    raise SystemExit(3)


def in_a_thread(server: RedisServer, kind: type[Worker]) -> Any:
    """Run a worker as a process of its own would, but for the process."""

    def run() -> Worker:
        worker = make(
            kind,
            None,
            [named("leave", leave)],
            redis_settings=settings_of(server),
            max_burst_jobs=1,
            burst=True,
        )
        try:
            worker.run()
        except SystemExit:
            come_to_an_end(worker.loop)
            raise
        return worker

    return asyncio.get_running_loop().run_in_executor(None, run)


def come_to_an_end(loop: asyncio.AbstractEventLoop) -> None:
    """End what a loop has begun: a SystemExit leaves it in the middle, and once more for each task that it ends."""
    deadline = time.monotonic() + 10
    while (tasks := asyncio.all_tasks(loop)) and time.monotonic() < deadline:
        with contextlib.suppress(SystemExit):
            loop.call_later(0.05, loop.stop)
            loop.run_forever()
            for task in tasks:
                task.cancel()
    loop.close()
    asyncio.set_event_loop(None)  # the next worker of this thread makes its own


async def test_stock_a_job_that_exits_takes_every_worker_with_it(
    redis: ArqRedis, server: RedisServer
) -> None:
    job = await put(redis, "leave")
    for _ in range(2):
        with pytest.raises(SystemExit):
            await in_a_thread(server, Worker)
        assert await job.result_info() is None
        assert await redis.zscore("arq:queue", job.job_id) is not None
        await redis.delete(f"arq:in-progress:{job.job_id}")  # five minutes later


async def test_a_job_that_exits_ends_itself(redis: ArqRedis, server: RedisServer) -> None:
    job = await put(redis, "leave")
    worker = await in_a_thread(server, QueueWorker)
    assert worker.jobs_failed == 1
    with pytest.raises(SerializationError):  # the client takes only an Exception for an error
        await job.result(timeout=5)
    assert await redis.zcard("arq:queue") == 0


@pytest.mark.parametrize(("kind", "hear"), [(Worker, 1), (QueueWorker, 3)], ids=["arq", "rota"])
async def test_workers_of_one_loop_all_hear_a_signal_if_they_are_ours(
    redis: ArqRedis, kind: type[Worker], hear: int
) -> None:
    async def nothing(ctx: Ctx) -> None:
        """Keep arq's pools apart, so that one worker's end is not the others'."""

    workers = [make(kind, redis, [named("nothing", nothing)], handle_signals=True) for _ in range(3)]
    mains = [asyncio.create_task(worker.async_run()) for worker in workers]
    await until(lambda: all(has_started(worker) for worker in workers))
    os.kill(os.getpid(), signal.SIGTERM)
    await until(lambda: sum(main.done() for main in mains) == hear)
    await asyncio.sleep(0.2)  # the others would have ended by now
    assert sum(main.done() for main in mains) == hear
    for worker, main in zip(workers, mains, strict=True):
        main.cancel()
        await asyncio.gather(main, return_exceptions=True)
        await worker.close()


def has_started(worker: Worker) -> bool:
    return (worker.engine if isinstance(worker, QueueWorker) else worker.main_task) is not None


async def _exists(redis: ArqRedis, key: str) -> bool:
    return bool(await redis.exists(key))
