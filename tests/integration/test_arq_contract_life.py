"""Starting, stopping and looking after a worker: arq's and ours alike."""

import asyncio
import logging
import re
from collections.abc import Callable
from typing import Any

import pytest
import uvloop
from arq.connections import ArqRedis
from arq.worker import Retry, Worker, async_check_health, check_health, get_kwargs
from redis.asyncio import ConnectionPool

from rota.worker.worker import QueueWorker
from tests.integration.arq_holes.side_by_side import (
    Kind,
    both,
    burst,
    echo,
    make,
    named,
    running,
    settings_of,
)
from tests.servers import RedisServer
from tests.waiting import until
from tests.workers import at_work

Ctx = dict[Any, Any]


def in_a_thread(function: Callable[[], Any]) -> Any:
    """Call what runs an event loop of its own."""
    return asyncio.get_running_loop().run_in_executor(None, function)


@both
async def test_a_settings_class_runs_as_it_is(kind: Kind, redis: ArqRedis, server: RedisServer) -> None:
    class WorkerSettings:
        functions = (echo,)
        redis_settings = settings_of(server)
        queue_name = "apart"
        max_jobs = 3
        keep_result = 60
        handle_signals = False
        burst = True
        not_of_arq = "dropped"

    job = await redis.enqueue_job("echo", 1, _queue_name="apart")
    assert job is not None
    settings: Any = get_kwargs(WorkerSettings)  # type: ignore[arg-type] # its type wants every attribute

    def run() -> Worker:
        worker = kind(**settings)
        worker.run()
        return worker

    worker = await in_a_thread(run)
    assert (worker.max_jobs, worker.jobs_complete, worker._pool) == (3, 1, None)
    assert await job.result(timeout=5) == 1


@both
async def test_a_worker_lives_in_a_foreign_loop(kind: Kind, redis: ArqRedis, server: RedisServer) -> None:
    """As in a web framework: started as a task, closed from another."""
    shutdowns = []

    async def shutdown(ctx: Ctx) -> None:
        shutdowns.append(True)

    async def application() -> int:
        worker = kind(
            [echo],
            redis_settings=settings_of(server),
            handle_signals=False,
            poll_delay=0.02,
            on_shutdown=shutdown,
        )
        task = asyncio.create_task(worker.async_run())
        # arq counts a job before it has written its result, and close() raises what it cancels by then.
        await until(lambda: worker.jobs_complete == 1 and all(one.done() for one in worker.tasks.values()))
        await worker.close()
        await asyncio.gather(task, return_exceptions=True)
        assert task.done()
        return worker.jobs_complete

    await redis.enqueue_job("echo", 1)
    assert await in_a_thread(lambda: asyncio.run(application())) == 1
    assert shutdowns == [True]


@both
async def test_a_worker_lives_on_uvloop(kind: Kind, redis: ArqRedis, server: RedisServer) -> None:
    async def application() -> int:
        worker = make(kind, None, [named("echo", echo)], redis_settings=settings_of(server), burst=True)
        await worker.async_run()
        await worker.close()
        return worker.jobs_complete

    await redis.enqueue_job("echo", 1)
    assert await in_a_thread(lambda: uvloop.run(application())) == 1


@both
async def test_handlers_get_the_pool_that_the_user_passed(kind: Kind, redis: ArqRedis) -> None:
    """The pool keeps its own timeouts and retries, for which handlers were written: a handler may block on it."""
    seen = []

    async def look(ctx: Ctx) -> None:
        seen.append(ctx["redis"].connection_pool)

    await redis.enqueue_job("look")
    await burst(kind, redis, [named("look", look)])
    assert seen[0] is redis.connection_pool


@both
async def test_handlers_may_block_on_the_pool_that_the_worker_made(
    kind: Kind, redis: ArqRedis, server: RedisServer
) -> None:
    seen = []

    async def look(ctx: Ctx) -> None:
        seen.append(ctx["redis"].connection_pool.connection_kwargs.get("socket_timeout"))

    await redis.enqueue_job("look")
    worker = make(kind, None, [named("look", look)], redis_settings=settings_of(server), burst=True)
    await worker.async_run()
    await worker.close()
    assert seen == [None]


@both
async def test_a_pool_may_speak_resp3(kind: Kind, redis: ArqRedis, server: RedisServer) -> None:
    pool = ArqRedis(ConnectionPool.from_url(server.url, protocol=3))
    async with running(kind, pool, [named("echo", echo)]):
        await asyncio.sleep(0.2)  # it is idle, and the first job wakes it
        for value in range(3):
            job = await redis.enqueue_job("echo", value)
            assert job is not None
            assert await job.result(timeout=2, poll_delay=0.02) == value
    await pool.aclose(close_connection_pool=True)


@both
async def test_a_closed_worker_can_be_run_again(kind: Kind, redis: ArqRedis, server: RedisServer) -> None:
    """As arq's own reloading does."""
    worker = make(kind, None, [named("echo", echo)], redis_settings=settings_of(server))
    for done in (1, 2):
        await redis.enqueue_job("echo", done)
        async with at_work(worker):
            await until(lambda done=done: worker.jobs_complete == done)


@both
async def test_a_worker_closes_before_it_ever_ran(kind: Kind, redis: ArqRedis, server: RedisServer) -> None:
    await make(kind, None, [echo], redis_settings=settings_of(server)).close()
    await make(kind, redis, [echo]).close()


@both
async def test_the_health_key_says_what_the_worker_did(kind: Kind, redis: ArqRedis) -> None:
    gate = asyncio.Event()

    async def wait(ctx: Ctx) -> None:
        await gate.wait()

    functions = [named("echo", echo), named("wait", wait)]
    async with running(kind, redis, functions, health_check_interval=0.05) as worker:
        await redis.enqueue_job("echo", 1)
        await until(lambda: worker.jobs_complete == 1)
        await redis.enqueue_job("wait")

        async def written() -> bool:
            line = await redis.get("arq:queue:health-check") or b""
            return line.decode().endswith("j_complete=1 j_failed=0 j_retried=0 j_ongoing=1 queued=1")

        await until(written)
        assert 0 < await redis.pttl("arq:queue:health-check") <= 1050
        gate.set()
        await until(lambda: worker.jobs_complete == 2)


@both
@pytest.mark.parametrize("key", [None, "the-health"])
async def test_arqs_check_finds_a_worker_that_lives(
    kind: Kind, redis: ArqRedis, server: RedisServer, key: str | None
) -> None:
    settings = settings_of(server)
    assert await async_check_health(settings, key, "apart") == 1
    async with running(kind, redis, [echo], queue_name="apart", health_check_key=key):
        await until(lambda: _exists(redis, key or "apart:health-check"))
        assert await async_check_health(settings, key, "apart") == 0
        found: Any = {"redis_settings": settings, "queue_name": "apart", "health_check_key": key}
        assert await in_a_thread(lambda: check_health(found)) == 0
    assert await async_check_health(settings, key, "apart") == 1


@both
async def test_counters_and_repr_tell_what_happened(kind: Kind, redis: ArqRedis) -> None:
    async def fail(ctx: Ctx) -> None:
        raise ValueError

    async def again(ctx: Ctx) -> None:
        if ctx["job_try"] == 1:
            raise Retry

    for name in ("echo", "fail", "again"):
        await redis.enqueue_job(name, *([1] if name == "echo" else []))
    functions = [named("echo", echo), named("fail", fail), named("again", again)]
    worker = await burst(kind, redis, functions)
    assert (worker.jobs_complete, worker.jobs_failed, worker.jobs_retried) == (2, 1, 1)
    assert re.search(r"complete=2 \S*failed=1 \S*retried=1", repr(worker))


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """arq's lines about jobs, without their numbers and ids."""
    records = [record for record in caplog.records if record.name == "arq.worker"]
    lines = [re.sub(r"[0-9a-f]{32}", "ID", record.getMessage()) for record in records]
    return [re.sub(r" *\d+\.\d\ds", "T", line) for line in lines if re.search("[→←↻!⊘]|job ", line)]


@both
@pytest.mark.parametrize(("log_results", "shown"), [(True, "'value'"), (False, "")])
async def test_log_lines_are_arqs(
    kind: Kind, redis: ArqRedis, caplog: pytest.LogCaptureFixture, log_results: bool, shown: str
) -> None:
    async def fail(ctx: Ctx, number: int, *, key: str) -> None:
        raise ValueError("no good")

    async def again(ctx: Ctx) -> None:
        if ctx["job_try"] == 1:
            raise Retry(0.01)

    caplog.set_level(logging.INFO)
    functions = [named("echo", echo), named("fail", fail), named("again", again)]
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
        (("echo", "value"), {}),
        (("fail", 3), {"key": "x"}),
        (("again",), {}),
        (("gone",), {}),
    ]
    for args, kwargs in calls:
        await redis.enqueue_job(*args, **kwargs)
        await burst(kind, redis, functions, log_results=log_results)
    assert said(caplog) == [
        "T → ID:echo('value')",
        f"T ← ID:echo ● {shown}",
        "T → ID:fail(3, key='x')",
        "T ! ID:fail failed, ValueError: no good",
        "T → ID:again()",
        "T ↻ ID:again retrying job inT",
        "T → ID:again() try=2",
        "T ← ID:again ● ",
        "job ID, function 'gone' not found",
    ]


@both
async def test_what_an_exception_has_to_say_is_logged_with_it(
    kind: Kind, redis: ArqRedis, caplog: pytest.LogCaptureFixture
) -> None:
    class Detailed(Exception):
        def extra(self) -> dict[str, int]:
            return {"order": 7}

    async def fail(ctx: Ctx) -> None:
        raise Detailed

    await redis.enqueue_job("fail")
    await burst(kind, redis, [named("fail", fail)])
    (record,) = [record for record in caplog.records if "failed, Detailed" in record.getMessage()]
    assert getattr(record, "extra", None) == {"order": 7}
    assert record.exc_info is not None


@both
async def test_stopping_cancels_what_runs_and_the_next_worker_has_it_at_once(
    kind: Kind, redis: ArqRedis
) -> None:
    tries = []
    gate = asyncio.Event()

    async def slow(ctx: Ctx) -> None:
        tries.append(ctx["job_try"])
        await gate.wait()

    job = await redis.enqueue_job("slow")
    assert job is not None
    async with running(kind, redis, [named("slow", slow)]) as worker:
        await until(lambda: tries == [1])
    assert (worker.jobs_retried, worker.jobs_complete) == (1, 0)
    assert await redis.zcard("arq:queue") == 1
    gate.set()
    await burst(kind, redis, [named("slow", slow)])
    assert tries == [1, 2]


async def _exists(redis: ArqRedis, key: str) -> bool:
    return bool(await redis.exists(key))


def test_both_are_workers_of_arq() -> None:
    assert issubclass(QueueWorker, Worker)
