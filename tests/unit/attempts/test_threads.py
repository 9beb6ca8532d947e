"""Handlers in threads: told to stop, and left behind if they do not end."""

import asyncio
import contextvars
import threading
import time
from collections.abc import AsyncIterator

import pytest

from rota.attempts.off_loop.threads import Threads
from rota.model.outcome import Cause
from rota.model.run import Run
from rota.wire.claims import Checkpoint
from tests.processes import ENGINE_FILES
from tests.unit.attempts.running import execution, run


@pytest.fixture
def stuck() -> list[bool]:
    """Return a list that grows whenever a thread is left behind."""
    return []


@pytest.fixture
async def threads(stuck: list[bool]) -> AsyncIterator[Threads]:
    threads = Threads(20, lambda: stuck.append(True), patience=0.2)
    yield threads
    threads.close()


async def test_a_handler_runs_in_a_thread_of_ours_and_its_result_comes_back(threads: Threads) -> None:
    def handler(run: Run, word: str) -> str:
        return f"{run.id} {word} {threading.current_thread().name.rsplit('_', 1)[0]}"

    assert await threads.call(execution(), run(), handler, {"word": "hello"}) == "1 hello rota-job"


async def test_what_a_thread_raises_is_raised(threads: Threads) -> None:
    def handler(run: Run) -> None:
        raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        await threads.call(execution(), run(), handler, {})


async def test_a_thread_that_raises_what_no_future_can_carry_fails_like_any_other(threads: Threads) -> None:
    def handler(run: Run) -> None:
        next(iter(()))

    with pytest.raises(RuntimeError, match="StopIteration") as raised:
        await threads.call(execution(), run(), handler, {})
    assert isinstance(raised.value.__cause__, StopIteration)


async def test_a_thread_sees_the_context_of_its_attempt(threads: Threads) -> None:
    variable = contextvars.ContextVar("variable", default="none")
    variable.set("of this attempt")
    assert await threads.call(execution(), run(), lambda run: variable.get(), {}) == "of this attempt"


async def test_as_many_run_at_once_as_there_are_slots(threads: Threads) -> None:
    together = threading.Barrier(20, timeout=10)
    calls = [threads.call(execution(), run(), lambda run: together.wait(), {}) for _ in range(20)]
    assert sorted(await asyncio.gather(*calls)) == list(range(20))


async def test_one_that_was_told_to_stop_sees_it_and_ends_by_itself(
    threads: Threads, stuck: list[bool]
) -> None:
    def handler(run: Run) -> str:
        deadline = time.monotonic() + 10
        while not run.cancelled and time.monotonic() < deadline:
            time.sleep(0.005)
        return "stopped"

    running = execution()
    call = asyncio.create_task(threads.call(running, run(), handler, {}))
    await asyncio.sleep(0.02)
    running.stop(Cause.TIMEOUT)
    assert await call == "stopped"
    assert not stuck


async def test_one_that_does_not_end_in_time_is_left_behind_and_said(
    threads: Threads, stuck: list[bool], caplog: pytest.LogCaptureFixture
) -> None:
    let_go = threading.Event()
    running = execution()
    call = asyncio.create_task(threads.call(running, run(), lambda run: let_go.wait(10), {}))
    await asyncio.sleep(0.02)
    running.stop(Cause.TIMEOUT)
    try:
        with pytest.raises(asyncio.CancelledError):
            await call
    finally:
        let_go.set()
    assert stuck == [True]
    (record,) = caplog.records
    assert record.getMessage() == "thread.stuck"
    assert "let_go.wait(10)" in vars(record)["stack"], "where it stands"
    assert ENGINE_FILES not in vars(record)["stack"]


async def test_its_slot_is_held_while_it_still_runs_and_time_is_left(threads: Threads) -> None:
    let_go = threading.Event()
    running = execution()
    call = asyncio.create_task(threads.call(running, run(), lambda run: let_go.wait(10), {}))
    await asyncio.sleep(0.02)
    running.stop(Cause.CANCEL)
    await asyncio.sleep(0.05)
    assert not call.done()
    let_go.set()
    assert await call is True


async def test_what_comes_after_the_thread_is_stopped_like_any_coroutine(threads: Threads) -> None:
    running = execution()

    ended = asyncio.Event()

    async def attempt() -> None:
        await threads.call(running, run(), lambda run: None, {})
        ended.set()
        await asyncio.sleep(60)

    running.task = asyncio.create_task(attempt())
    await asyncio.wait_for(ended.wait(), 10)
    running.stop(Cause.TIMEOUT)
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(running.task, 10)


async def test_a_thread_saves_what_it_has_come_to(threads: Threads) -> None:
    running = execution()

    def handler(run: Run) -> None:
        for number in range(100):
            run.checkpoint(number)

    await threads.call(running, run(keep=running.keep), handler, {})
    assert running.checkpoint == Checkpoint(100, b"99")
