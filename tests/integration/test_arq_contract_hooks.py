"""When arq's hooks are called, and what they see: on arq's worker and on ours alike."""

import asyncio
import signal
import threading
import time
from contextvars import ContextVar
from typing import Any

import pytest
from arq.connections import ArqRedis
from arq.jobs import Job
from arq.worker import Retry

from rota.engine import execution
from rota.worker.worker import QueueWorker
from tests.integration.arq_holes.side_by_side import Kind, both, burst, echo, make, named, running
from tests.waiting import until

Ctx = dict[Any, Any]
OVER = threading.Event()
WORD: ContextVar[str] = ContextVar("word", default="none")


class Diary:
    """Hooks that write down when they were called."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def hook(self, name: str) -> Any:
        async def write(ctx: Ctx) -> None:
            self.lines.append(name)

        return write

    def hooks(self) -> dict[str, Any]:
        names = ("on_startup", "on_job_start", "on_job_end", "after_job_end", "on_shutdown")
        return {name: self.hook(name) for name in names}

    def function(self, error: BaseException | None = None) -> Any:
        async def work(ctx: Ctx) -> None:
            self.lines.append("work")
            if error is not None and ctx["job_try"] == 1:
                raise error

        return named("work", work)


@both
@pytest.mark.parametrize("error", [None, ValueError("no good")])
async def test_hooks_are_called_in_order(kind: Kind, redis: ArqRedis, error: BaseException | None) -> None:
    diary = Diary()
    await redis.enqueue_job("work")
    await burst(kind, redis, [diary.function(error)], **diary.hooks())
    assert diary.lines == [
        "on_startup",
        "on_job_start",
        "work",
        "on_job_end",
        "after_job_end",
        "on_shutdown",
    ]


@both
async def test_every_try_has_its_hooks(kind: Kind, redis: ArqRedis) -> None:
    diary = Diary()
    await redis.enqueue_job("work")
    await burst(kind, redis, [diary.function(Retry())], **diary.hooks())
    once = ["on_job_start", "work", "on_job_end", "after_job_end"]
    assert diary.lines == ["on_startup", *once, *once, "on_shutdown"]


@both
async def test_a_job_that_never_started_has_no_hooks(kind: Kind, redis: ArqRedis) -> None:
    diary = Diary()
    await redis.enqueue_job("stranger")
    await burst(kind, redis, [diary.function()], **diary.hooks())
    assert diary.lines == ["on_startup", "on_shutdown"]


@both
async def test_the_result_is_recorded_between_the_last_two_hooks(kind: Kind, redis: ArqRedis) -> None:
    seen: dict[str, Any] = {}

    def look(name: str) -> Any:
        async def hook(ctx: Ctx) -> None:
            seen[name] = await Job(ctx["job_id"], ctx["redis"]).result_info()

        return hook

    await redis.enqueue_job("echo", 5)
    await burst(
        kind,
        redis,
        [named("echo", echo)],
        on_job_end=look("on_job_end"),
        after_job_end=look("after_job_end"),
    )
    assert seen["on_job_end"] is None
    assert seen["after_job_end"].result == 5


@both
async def test_one_jobs_hooks_and_function_share_a_ctx(kind: Kind, redis: ArqRedis) -> None:
    seen = []

    async def start(ctx: Ctx) -> None:
        ctx["steps"] = ["start"]

    async def work(ctx: Ctx) -> None:
        ctx["steps"].append("work")
        ctx["extra"] = True

    async def end(ctx: Ctx) -> None:
        seen.append((list(ctx["steps"]), ctx["extra"], ctx["job_try"]))

    await redis.enqueue_job("work")
    await burst(kind, redis, [named("work", work)], on_job_start=start, on_job_end=end, after_job_end=end)
    assert seen == [(["start", "work"], True, 1)] * 2


@both
async def test_startup_prepares_what_jobs_use_and_shutdown_ends(kind: Kind, redis: ArqRedis) -> None:
    seen = []

    async def startup(ctx: Ctx) -> None:
        ctx["db"] = f"open, {await ctx['redis'].ping()}"

    async def work(ctx: Ctx) -> None:
        seen.append(ctx["db"])

    async def shutdown(ctx: Ctx) -> None:
        seen.append(f"closed {ctx['db']}")

    await redis.enqueue_job("work")
    await burst(kind, redis, [named("work", work)], on_startup=startup, on_shutdown=shutdown)
    assert seen == ["open, True", "closed open, True"]


@both
async def test_a_startup_that_fails_ends_the_worker(kind: Kind, redis: ArqRedis) -> None:
    async def startup(ctx: Ctx) -> None:
        raise LookupError("no database")

    with pytest.raises(LookupError, match="no database"):
        await burst(kind, redis, [named("echo", echo)], on_startup=startup)


@both
async def test_a_job_ends_only_when_its_hook_has(kind: Kind, redis: ArqRedis) -> None:
    gate = asyncio.Event()

    async def end(ctx: Ctx) -> None:
        await gate.wait()

    job = await redis.enqueue_job("echo", 1)
    assert job is not None
    async with running(kind, redis, [named("echo", echo)], on_job_end=end) as worker:
        await until(lambda: worker.jobs_complete == 1)
        assert await job.result_info() is None
        gate.set()
        assert await job.result(timeout=5, poll_delay=0.02) == 1


@both
async def test_a_hook_may_have_timeouts_of_its_own_after_a_job_that_had_one(
    kind: Kind, redis: ArqRedis
) -> None:
    ends = []

    async def hang(ctx: Ctx) -> None:
        await asyncio.sleep(60)

    async def end(ctx: Ctx) -> None:
        try:
            async with asyncio.timeout(0.01):
                await asyncio.sleep(60)
        except TimeoutError:
            ends.append("timeout")

    job = await redis.enqueue_job("hang")
    assert job is not None
    worker = await burst(kind, redis, [named("hang", hang, timeout=0.05)], on_job_end=end)
    with pytest.raises(TimeoutError):
        await job.result(timeout=5)
    assert ends == ["timeout"]
    assert worker.jobs_failed == 1


@both
async def test_a_hook_may_have_tasks_that_fail_after_a_job_that_timed_out(
    kind: Kind, redis: ArqRedis
) -> None:
    ends = []

    async def hang(ctx: Ctx) -> None:
        await asyncio.sleep(60)

    async def break_down() -> None:
        raise LookupError

    async def end(ctx: Ctx) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(break_down())
                await asyncio.sleep(60)
        except* LookupError:
            ends.append("failed")

    await redis.enqueue_job("hang")
    worker = await burst(kind, redis, [named("hang", hang, timeout=0.05)], on_job_end=end)
    assert ends == ["failed"]
    assert worker.jobs_failed == 1


async def hang(ctx: Ctx) -> None:
    await asyncio.sleep(60)


async def go_on(ctx: Ctx) -> None:
    """Ignore every cancellation until the test is over."""
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            if OVER.is_set():
                raise


@pytest.mark.parametrize("hook", ["on_job_start", "on_job_end"])
@pytest.mark.parametrize("how", [hang, go_on])
async def test_a_hook_that_hangs_has_the_time_that_a_function_has_and_keeps_no_slot(
    redis: ArqRedis, monkeypatch: pytest.MonkeyPatch, hook: str, how: Any
) -> None:
    """arq's worker waits for it for ever."""
    monkeypatch.setattr(execution, "PATIENCE", 0.2)
    OVER.clear()
    function = named("echo", echo, timeout=0.1)
    job = await redis.enqueue_job("echo", 1)
    assert job is not None
    async with running(QueueWorker, redis, [function], max_jobs=1, **{hook: how}) as worker:
        if hook == "on_job_start":
            with pytest.raises(TimeoutError):
                await job.result(timeout=10, poll_delay=0.02)
        else:
            assert await job.result(timeout=10, poll_delay=0.02) == 1
        other = await redis.enqueue_job("echo", 2)
        assert other is not None
        await until(lambda: worker.jobs_complete + worker.jobs_failed == 2)
        OVER.set()


async def test_a_hook_that_hangs_ends_with_its_worker_and_the_result_stands(redis: ArqRedis) -> None:
    job = await redis.enqueue_job("echo", 1)
    assert job is not None
    async with running(QueueWorker, redis, [named("echo", echo)], on_job_end=hang) as worker:
        await until(lambda: worker.jobs_complete == 1)
        began = time.monotonic()
    assert time.monotonic() - began < 3
    assert await job.result(timeout=1) == 1


async def test_hooks_may_take_back_what_they_set_in_the_context_of_a_job(redis: ArqRedis) -> None:
    seen = []

    async def start(ctx: Ctx) -> None:
        ctx["token"] = WORD.set("of this job")

    async def end(ctx: Ctx) -> None:
        seen.append(WORD.get())
        WORD.reset(ctx["token"])
        seen.append(WORD.get())

    await redis.enqueue_job("echo", 1)
    await burst(QueueWorker, redis, [named("echo", echo)], on_job_start=start, on_job_end=end)
    assert seen == ["of this job", "none"]


async def test_a_startup_that_hangs_is_stopped_as_on_arq(redis: ArqRedis) -> None:
    began = asyncio.Event()

    async def startup(ctx: Ctx) -> None:
        began.set()
        await asyncio.sleep(60)

    worker = make(QueueWorker, redis, [named("echo", echo)], on_startup=startup)
    main = asyncio.create_task(worker.async_run())
    await began.wait()
    worker.handle_sig(signal.SIGUSR1)
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(5):
            await main
    assert await redis.enqueue_job("echo", 1)
    worker.on_startup = None
    worker.burst = True
    await worker.async_run()
    assert worker.jobs_complete == 1
    await worker.close()
