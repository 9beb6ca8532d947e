"""What a worker says and does when it starts, is told to pick no more, and is stopped: arq's and ours alike."""

import asyncio
import inspect
import logging
import re
import signal
from typing import Any

import arq.worker
import pytest
from arq.connections import ArqRedis
from arq.cron import cron
from arq.worker import Worker, check_health, get_kwargs, run_worker

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


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """arq's lines, but for those about single jobs, without what differs from run to run."""
    records = [record for record in caplog.records if record.name == "arq.worker"]
    lines = [record.getMessage() for record in records if record.levelno == logging.INFO]
    lines = [re.sub(r"[A-Z][a-z]{2}-\d\d \d\d:\d\d:\d\d", "NOW", line) for line in lines]
    return [re.sub(r"redis_version=.*", "redis", line) for line in lines if not re.search("[→←↻!⊘]", line)]


@both
async def test_start_health_and_end_are_told_in_arqs_words(
    kind: Kind, redis: ArqRedis, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="arq")
    functions = [named("echo", echo), named("other", echo)]
    async with running(kind, redis, functions, health_check_interval=0.05):
        await until(lambda: redis.exists("arq:queue:health-check"))
        await redis.enqueue_job("echo", 1)
        await until(lambda: any("j_complete=1" in line for line in said(caplog)))
    first, *rest, last = said(caplog)
    assert first == "Starting worker for 2 functions: echo, other"
    assert last == "shutdown on SIGUSR1 ◆ 1 jobs complete ◆ 0 failed ◆ 0 retries ◆ 0 ongoing to cancel"
    told = "recording health: NOW j_complete=1 j_failed=0 j_retried=0 j_ongoing=0 queued=0"
    assert told in rest
    assert set(rest) <= {"redis", told, *_under_way()}


def _under_way() -> set[str]:
    """Return what may be told of the job's health while it waits or runs."""
    counts = "j_complete={} j_failed=0 j_retried=0 j_ongoing={} queued={}"
    told = [
        counts.format(*numbers)
        for numbers in ((0, 0, 0), (0, 0, 1), (0, 1, 1), (1, 1, 1), (1, 1, 0), (1, 0, 1))
    ]
    return {f"recording health: NOW {line}" for line in told}


@both
async def test_a_signal_is_told_in_arqs_words(
    kind: Kind, redis: ArqRedis, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="arq")
    worker = make(kind, redis, [named("hold", hold)], handle_signals=True)
    await redis.enqueue_job("hold")
    async with at_work(worker):
        await until(lambda: len(worker.tasks) == 1 and "→" in caplog.text)
        worker.handle_sig(signal.SIGTERM)
        await until(lambda: worker.main_task is not None and worker.main_task.done())
    assert said(caplog)[-1] == (
        "shutdown on SIGTERM ◆ 0 jobs complete ◆ 0 failed ◆ 0 retries ◆ 1 ongoing to cancel"
    )


@both
async def test_a_signal_may_leave_jobs_time_to_complete(
    kind: Kind, redis: ArqRedis, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="arq")
    gate = asyncio.Event()
    heard: list[signal.Signals] = []

    async def wait(ctx: Ctx) -> None:
        await gate.wait()

    functions = [named("wait", wait), named("hold", hold)]
    worker = make(kind, redis, functions, handle_signals=True, job_completion_wait=1)
    worker.on_stop = heard.append
    await redis.enqueue_job("wait")
    await redis.enqueue_job("hold")
    async with at_work(worker):
        await until(lambda: caplog.text.count("→") == 2)
        worker.handle_sig_wait_for_completion(signal.SIGINT)
        assert (len(worker.tasks), worker.allow_pick_jobs) == (2, False)
        await redis.enqueue_job("hold", _job_id="later")
        gate.set()
        await until(lambda: worker.main_task is not None and worker.main_task.done())
        assert heard == [signal.SIGINT]
        assert worker.allow_pick_jobs is False
    assert caplog.text.count("→") == 2
    assert said(caplog)[-3:] == [
        "Setting allow_pick_jobs to `False`",
        "shutdown on SIGINT ◆ 0 jobs complete ◆ 0 failed ◆ 0 retries ◆ 2 to be completed",
        "shutdown on SIGINT, wait complete ◆ 1 jobs complete ◆ 0 failed ◆ 0 retries ◆ 1 ongoing to cancel",
    ]


@both
async def test_a_worker_that_may_not_pick_jobs_claims_none_until_it_may(kind: Kind, redis: ArqRedis) -> None:
    async with running(kind, redis, [named("echo", echo)]) as worker:
        await redis.enqueue_job("echo", 1)
        await until(lambda: worker.jobs_complete == 1)
        worker.allow_pick_jobs = False
        await redis.enqueue_job("echo", 2)
        await asyncio.sleep(0.3)  # it would have run by now
        assert worker.jobs_complete == 1
        worker.allow_pick_jobs = True
        await until(lambda: worker.jobs_complete == 2, seconds=5)


@both
async def test_a_worker_that_starts_without_picking_claims_none(kind: Kind, redis: ArqRedis) -> None:
    worker = make(kind, redis, [named("echo", echo)])
    worker.allow_pick_jobs = False
    await redis.enqueue_job("echo", 1)
    async with at_work(worker):
        await until(lambda: redis.exists("arq:queue:health-check"))
        await asyncio.sleep(0.3)  # it would have run by now
        assert worker.jobs_complete == 0


@both
async def test_a_run_at_startup_is_of_the_burst(kind: Kind, redis: ArqRedis) -> None:
    ran = []

    async def count(ctx: Ctx) -> None:
        ran.append(ctx["job_id"])

    jobs: list[Any] = [
        cron(count, name="hourly", hour=1, run_at_startup=True),
        cron(count, name="precise", hour=1, microsecond=1, run_at_startup=True),
        cron(count, name="not-yet", hour=1, minute=2),
    ]
    worker = await burst(kind, redis, [], cron_jobs=jobs)
    assert worker.jobs_complete == 2
    assert sorted(job_id.rpartition(":")[0] for job_id in ran) == ["hourly", "precise"]


# arq's own functions, with our worker in the place of arq's


@pytest.fixture
def in_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arq.worker, "Worker", QueueWorker)


@pytest.mark.usefixtures("in_its_place")
async def test_arqs_own_functions_keep_the_settings_of_a_class(redis: ArqRedis, server: RedisServer) -> None:
    class WorkerSettings:
        functions = (echo,)
        redis_settings = settings_of(server)
        queue_name = "apart"
        burst = True
        handle_signals = False
        lease = 7.0

    settings: Any = WorkerSettings
    assert get_kwargs(settings).keys() == {
        "functions", "redis_settings", "queue_name", "burst", "handle_signals", "lease",
    }  # fmt: skip
    job = await redis.enqueue_job("echo", 3, _queue_name="apart")
    assert job is not None
    worker = await asyncio.to_thread(run_worker, settings)
    assert isinstance(worker, QueueWorker)
    assert (worker.jobs_complete, worker.lease) == (1, 7.0)
    assert await job.result(timeout=5) == 3
    assert await asyncio.to_thread(check_health, settings) == 1
    await redis.set("apart:health-check", b"well")
    assert await asyncio.to_thread(check_health, settings) == 0


def test_the_signature_shows_arqs_arguments_and_ours() -> None:
    shown, arqs = inspect.signature(QueueWorker).parameters, inspect.signature(Worker).parameters
    assert {name: (one.kind, one.default) for name, one in shown.items() if name in arqs} == {
        name: (one.kind, one.default) for name, one in arqs.items()
    }
    assert shown.keys() - arqs.keys() == {
        "lease", "policy", "shared", "weight", "worker_id", "allow_pickle",
    }  # fmt: skip


async def hold(ctx: Ctx) -> None:
    await asyncio.sleep(60)
