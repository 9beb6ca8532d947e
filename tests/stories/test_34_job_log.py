"""The log of a job: what its handler logs is kept with the job, and is read while it runs and when it is over."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import structlog

import rota
from rota import Client, Job, JobNotFound, LogLine, Run, Snooze, job
from rota.telemetry.logs.records import adopt_structlog
from tests.waiting import until

library = logging.getLogger("library")


@job(queue="reports")
async def build(run: Run, month: str) -> None:
    run.log.info("report.begun", extra={"month": month})
    await asyncio.to_thread(library.warning, "the disk is slow")
    structlog.get_logger().info("report.built", pages=3)


@job(queue="reports")
def build_in_a_thread(run: Run, month: str) -> None:
    run.log.info("report.begun", extra={"month": month})
    library.warning("the disk is slow")
    structlog.get_logger().info("report.built", pages=3)


@job(queue="reports", process=True)
def build_in_a_process(run: Run, month: str) -> None:
    run.log.info("report.begun", extra={"month": month})
    library.warning("the disk is slow")
    structlog.get_logger().info("report.built", pages=3)


@job(max_attempts=2, backoff=rota.fixed(0.01))
async def fail(run: Run) -> None:
    run.log.info("trying")
    if run.snoozes == 0:
        raise Snooze(0.01)
    try:
        raise OSError("the disk is full")
    except OSError:
        library.exception("it did not work")
        raise


@job
async def watch(run: Run) -> None:
    timer: asyncio.Event = run.deps
    run.log.info("begun")
    await timer.wait()
    run.log.info("ended")


@job
async def chatter(run: Run, lines: int) -> None:
    for number in range(1, lines + 1):
        run.log.info("line %d", number)


@job(keep_log=False)
async def keep_silent(run: Run) -> None:
    run.log.info("nobody keeps this")


@asynccontextmanager
async def lifespan() -> AsyncIterator[asyncio.Event]:
    yield asyncio.Event()


@pytest.fixture(autouse=True)
def level(caplog: pytest.LogCaptureFixture) -> None:
    """Let the loggers write what they write in a worker, from `info` on."""
    adopt_structlog()
    caplog.set_level(logging.INFO)


@pytest.mark.parametrize("building", [build, build_in_a_thread, build_in_a_process])
async def test_what_a_handler_logs_by_any_logger_is_kept_with_its_job(
    client: Client, building: Job[Any, Any]
) -> None:
    handle = await client.enqueue(building, month="March")
    await handle.result(timeout=10)
    lines = await handle.log()
    assert [(line.level, line.message, dict(line.fields)) for line in lines] == [
        ("info", "report.begun", {"month": "March"}),
        ("warning", "the disk is slow", {}),
        ("info", "report.built", {"pages": 3}),
    ]
    assert [(line.attempt, line.number, line.left_out) for line in lines] == [(1, 1, 0), (1, 2, 0), (1, 3, 0)]


async def test_the_lines_of_all_attempts_are_together(client: Client) -> None:
    handle = await client.enqueue(fail)
    with pytest.raises(rota.JobFailed):
        await handle.result(timeout=10)
    lines = await handle.log()
    assert [(line.attempt, line.message) for line in lines] == [
        (1, "trying"),  # and it snoozed, which does not count as an attempt
        (1, "trying"),
        (1, "it did not work"),
        (2, "trying"),
        (2, "it did not work"),
    ]
    assert len({line.started_at for line in lines}) == 3
    assert "OSError: the disk is full" in lines[-1].fields["exception"]


async def test_new_lines_are_seen_while_the_job_runs(client: Client, deps: asyncio.Event) -> None:
    handle = await client.enqueue(watch)

    async def logged() -> list[LogLine]:
        return await handle.log()

    (begun,) = await until(logged)
    deps.set()
    await handle.result(timeout=10)
    (ended,) = await handle.log(after=begun.position)
    assert (begun.message, ended.message, ended.number) == ("begun", "ended", 2)
    assert await handle.log(after=ended.position) == []


async def test_of_many_lines_the_first_and_the_newest_are_kept(client: Client) -> None:
    handle = await client.enqueue(chatter, lines=1000)
    await handle.result(timeout=10)
    lines = await handle.log()
    numbers = [line.number for line in lines]
    assert numbers[:20] == list(range(1, 21))
    assert numbers[20:] == list(range(1000 - len(numbers) + 21, 1001))
    assert 180 <= len(lines) <= 200
    assert [line.left_out for line in lines if line.left_out] == [1000 - len(lines)]


async def test_a_job_may_keep_no_log(client: Client) -> None:
    handle = await client.enqueue(keep_silent)
    await handle.result(timeout=10)
    assert await handle.log() == []
    with pytest.raises(JobNotFound):
        await client.log("default", "no-such-job")
