"""Handlers in child processes: killed when they are stopped, and no neighbour notices."""

import asyncio
import gc
import itertools
import json
import logging
import os
import signal
import time
import warnings
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio
import structlog

from rota.attempts.off_loop.children import Processes
from rota.engine.execution import Execution
from rota.errors import (
    Cancel,
    ChildDied,
    InvalidPayload,
    InvalidResult,
    RemoteError,
    ResultTooLarge,
    Retry,
    Snooze,
)
from rota.model.job import Job, job
from rota.model.outcome import Cause
from rota.model.run import Run
from rota.telemetry.logs.records import fields_of
from tests.processes import gone
from tests.unit.attempts.running import execution, run
from tests.waiting import until


@job(process=True)
def whereabouts(run: Run, seconds: float = 0) -> int:
    time.sleep(seconds)
    return os.getpid()


@job(process=True)
def collects(run: Run) -> list[bool]:
    return [gc.isenabled(), gc.get_freeze_count() > 0]


@job(process=True)
def report(run: Run) -> dict[str, Any]:
    run.progress(50, "half")
    return {
        "id": run.id,
        "attempt": run.attempt,
        "headers": dict(run.headers),
        "deps": run.deps,
        "waited": run.waited,
    }


@job(process=True, retry_on=(LookupError,), give_up_on=(KeyError,))
def fail(run: Run, how: str) -> None:
    raise {
        "retry": Retry(2.5, "later"),
        "snooze": Snooze(60),
        "cancel": Cancel("gone"),
        "lookup": LookupError("not yet"),
        "key": KeyError("never"),
        "value": ValueError("wrong"),
    }[how]


@job(process=True)
def talk(run: Run, text: str) -> None:
    run.log.info("talk.begun", extra={"text": text, "job_id": "forged"})
    logging.getLogger("library").debug("not wanted")
    warnings.warn(text, stacklevel=1)
    structlog.get_logger("jobs.talk").info("talk.on", name=text)
    try:
        raise ValueError(text)
    except ValueError:
        run.log.exception("talk.failed")
    os._exit(4)


@job(process=True)
def leave(run: Run) -> None:
    os._exit(3)


@job(process=True)
def count(run: Run, most: int) -> int:
    return "many"  # type: ignore[return-value]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def processes() -> AsyncIterator[Processes]:
    """Yield one pool for all tests below: a child takes a while to start, and each test leaves the pool usable."""
    processes = Processes()
    yield processes
    pids = processes.pids
    await processes.close()
    assert all(map(gone, pids))


on_shared_loop = pytest.mark.asyncio(loop_scope="module")


def call(
    processes: Processes, job: Job[Any, Any], arguments: bytes = b"{}", running: Execution | None = None
) -> asyncio.Task[bytes]:
    return asyncio.create_task(processes.call(running or execution(), run(), job, arguments))


async def busy(processes: Processes) -> int:
    """Wait until one child works; return its process id."""
    await until(lambda: len(set(processes.pids) - idle(processes)) == 1)
    await asyncio.sleep(0.05)
    (pid,) = set(processes.pids) - idle(processes)
    return pid


def idle(processes: Processes) -> set[int]:
    return {child.pid for child in processes._idle}


@on_shared_loop
async def test_a_child_is_kept_for_the_next_job(processes: Processes) -> None:
    first = int(await call(processes, whereabouts))
    assert int(await call(processes, whereabouts)) == first != os.getpid()
    assert first in processes.pids


@on_shared_loop
async def test_a_child_collects_garbage_but_not_among_what_it_has_loaded(processes: Processes) -> None:
    assert await call(processes, collects) == b"[true,true]"


async def test_every_child_ends_with_the_pool() -> None:
    processes = Processes()
    child = int(await call(processes, whereabouts))
    await processes.close()
    assert gone(child)
    assert processes.pids == []


@on_shared_loop
async def test_jobs_at_once_have_a_child_each(processes: Processes) -> None:
    calls = [call(processes, whereabouts, b'{"seconds": 0.3}') for _ in range(2)]
    assert len({int(pid) for pid in await asyncio.gather(*calls)}) == 2


@on_shared_loop
async def test_a_child_gets_a_reduced_run_and_its_progress_comes_back(processes: Processes) -> None:
    told: list[tuple[float, str]] = []
    own = Run(
        id="7",
        job="report",
        queue="default",
        attempt=3,
        headers={"trace": "x"},
        waited=1.5,
        deps=object(),
        report=lambda percent, message: told.append((percent, message)),
    )
    result = await processes.call(execution(), own, report, b"{}")
    assert result == b'{"id":"7","attempt":3,"headers":{"trace":"x"},"deps":null,"waited":1.5}'
    assert told == [(50, "half")]


@on_shared_loop
async def test_what_a_child_logs_is_logged_by_its_parent_to_the_last_word(
    processes: Processes, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO)
    with pytest.raises(ChildDied):
        await call(processes, talk, json.dumps({"text": "a\njob.dead \x1b[2J"}).encode())
    begun, warned, structured, failed = caplog.records
    assert (begun.name, begun.getMessage(), begun.levelname) == ("jobs", "talk.begun", "INFO")
    fields = fields_of(begun)
    assert (fields["job_id"], fields["job_id_"], fields["text"]) == ("1", "forged", "a\njob.dead \x1b[2J")
    assert (warned.name, "UserWarning: a" in warned.getMessage()) == ("py.warnings", True)
    assert (structured.getMessage(), fields_of(structured)["name_"]) == ("talk.on", "a\njob.dead \x1b[2J")
    assert "ValueError: a" in (failed.exc_text or "")
    assert "job.dead" not in "".join(capfd.readouterr()), "nothing goes to the terminal as it is"


@on_shared_loop
async def test_what_a_child_raises_is_told_in_full_and_the_child_lives_on(processes: Processes) -> None:
    pids = processes.pids or [int(await call(processes, whereabouts))]
    with pytest.raises(Retry) as retry:
        await call(processes, fail, b'{"how": "retry"}')
    assert (retry.value.delay, retry.value.reason) == (2.5, "later")
    with pytest.raises(Snooze) as snooze:
        await call(processes, fail, b'{"how": "snooze"}')
    assert snooze.value.delay == 60
    with pytest.raises(Cancel, match="gone"):
        await call(processes, fail, b'{"how": "cancel"}')
    for how, may_retry in (("lookup", True), ("key", False), ("value", False)):
        with pytest.raises(RemoteError) as error:
            await call(processes, fail, b'{"how": "%b"}' % how.encode())
        assert error.value.may_retry is may_retry
        assert "in fail" in (error.value.traceback or "")
    with pytest.raises(InvalidPayload, match="most"):
        await call(processes, count, b'{"most": "many"}')
    with pytest.raises(InvalidResult):
        await call(processes, count, b'{"most": 3}')
    assert processes.pids == pids


@on_shared_loop
async def test_an_attempt_that_is_stopped_after_its_child_has_answered_leaves_the_child_alone(
    processes: Processes,
) -> None:
    running = execution()

    answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def attempt() -> None:
        answer.set_result(await processes.call(running, run(), whereabouts, b"{}"))
        await asyncio.sleep(60)

    running.task = asyncio.create_task(attempt())
    pid = int(await asyncio.wait_for(answer, 10))
    running.stop(Cause.TIMEOUT)
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(running.task, 10)
    assert int(await call(processes, whereabouts)) == pid


@on_shared_loop
async def test_a_result_that_is_too_large_does_not_leave_the_child(processes: Processes) -> None:
    with pytest.raises(ResultTooLarge, match=r"default:whereabouts has \d+ bytes and RESULT_LIMIT allows 0"):
        await processes.call(execution(), run(), whereabouts, b"{}", result_limit=0)


@on_shared_loop
async def test_one_that_is_stopped_is_killed_and_another_takes_its_place(processes: Processes) -> None:
    running = execution()
    task = call(processes, whereabouts, b'{"seconds": 60}', running)
    running.task = task
    pid = await busy(processes)
    running.stop(Cause.TIMEOUT)
    with pytest.raises((asyncio.CancelledError, ChildDied)):
        await task
    assert gone(pid)
    assert pid not in processes.pids
    assert int(await call(processes, whereabouts)) != pid


@on_shared_loop
async def test_one_that_leaves_or_is_killed_is_an_error_with_its_status(processes: Processes) -> None:
    with pytest.raises(ChildDied) as left:
        await call(processes, leave)
    assert left.value.status == 3
    task = call(processes, whereabouts, b'{"seconds": 60}')
    pid = await busy(processes)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(ChildDied) as killed:
        await task
    assert killed.value.status == -signal.SIGKILL
    assert pid not in processes.pids


@on_shared_loop
async def test_one_that_died_while_it_was_idle_is_not_a_jobs_fault(processes: Processes) -> None:
    first = int(await call(processes, whereabouts))
    os.kill(first, signal.SIGKILL)
    # A process of several threads looks dead a moment before it can be seen by its parent.
    await until(lambda: not any(child.pid == first and child.alive for child in processes._idle))
    assert int(await call(processes, whereabouts)) != first


async def test_one_that_is_stopped_while_its_child_starts_leaves_no_child_behind() -> None:
    processes = Processes()
    before = children()
    running = execution()
    running.task = task = call(processes, whereabouts, running=running)
    await until(lambda: children() - before)
    running.stop(Cause.TIMEOUT)
    with pytest.raises((asyncio.CancelledError, ChildDied)):
        await task
    await until(lambda: all(map(gone, children() - before)))
    assert processes.pids == []


def children() -> set[int]:
    """Return the living processes that this one has started."""
    return {child.pid for child in psutil.Process().children()}


# Checkpoints


@job(process=True)
def resume(run: Run) -> Any:
    run.checkpoint({"after": run.last_checkpoint})
    return run.checkpoint_limit


@job(process=True)
def count_up(run: Run, log: str) -> None:
    with open(log, "wb", buffering=0) as file:
        for number in itertools.count(1):
            run.checkpoint({"number": number, "weight": "x" * 5_000})
            file.write(b"%d\n" % number)


@job(process=True)
def count_and_die(run: Run) -> None:
    for number in range(1, 501):
        run.checkpoint(number)
    os.kill(os.getpid(), signal.SIGKILL)


@job(process=True)
def leave_a_process_behind(run: Run, dies: bool = False) -> None:
    """Fork a process beyond the group of this one, which holds its socket open."""
    pid = os.fork()
    if not pid:
        os.setsid()
        time.sleep(60)
        os._exit(0)
    time.sleep(0.1)
    run.checkpoint(pid)
    if dies:
        os._exit(3)
    time.sleep(60)


@on_shared_loop
async def test_a_child_gets_what_was_saved_before_and_saves_for_the_next(processes: Processes) -> None:
    running = execution()
    own = run(last_checkpoint={"text": "grün", "list": [1.5, None]}, checkpoint_limit=512)
    assert await processes.call(running, own, resume, b"{}") == b"512"
    assert running.checkpoint.value == {"after": {"text": "grün", "list": [1.5, None]}}
    assert await call(processes, resume, running=running) == b"262144"
    assert running.checkpoint.value == {"after": None}


@on_shared_loop
async def test_a_child_s_checkpoint_has_the_limit_of_its_run(processes: Processes) -> None:
    with pytest.raises(RemoteError, match="is 4; store"):
        await processes.call(execution(), run(checkpoint_limit=4), resume, b"{}")


@on_shared_loop
async def test_of_one_that_is_killed_the_very_last_checkpoint_is_there(
    processes: Processes, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    running = execution()
    running.task = task = call(processes, count_up, json.dumps({"log": str(log)}).encode(), running)
    await until(lambda: running.checkpoint.number > 20)
    running.stop(Cause.SHUTDOWN)
    with pytest.raises((asyncio.CancelledError, ChildDied)):
        await task
    said = int(log.read_bytes().split()[-1])
    assert said <= running.checkpoint.value["number"] <= said + 1
    assert running.checkpoint.number == running.checkpoint.value["number"], "none was skipped or read twice"


@on_shared_loop
async def test_so_it_is_of_one_that_died_by_itself(processes: Processes) -> None:
    running = execution()
    with pytest.raises(ChildDied):
        await call(processes, count_and_die, running=running)
    assert running.checkpoint.value == 500


@on_shared_loop
async def test_a_process_that_the_killed_one_left_behind_does_not_hold_us_up(processes: Processes) -> None:
    running = execution()
    running.task = task = call(processes, leave_a_process_behind, running=running)
    await until(lambda: running.checkpoint.number)
    left = running.checkpoint.value
    try:
        running.stop(Cause.TIMEOUT)
        async with asyncio.timeout(30):
            with pytest.raises((asyncio.CancelledError, ChildDied)):
                await task
        assert not gone(left)
    finally:
        os.kill(left, signal.SIGKILL)


@on_shared_loop
async def test_nor_does_it_hide_that_the_one_that_forked_it_has_died(processes: Processes) -> None:
    running = execution()
    async with asyncio.timeout(30):
        with pytest.raises(ChildDied) as died:
            await call(processes, leave_a_process_behind, b'{"dies": true}', running)
    assert died.value.status == 3
    os.kill(running.checkpoint.value, signal.SIGKILL)
