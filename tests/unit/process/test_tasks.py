"""Tasks: how they begin; of those that were cancelled what they tidy up, which may wait for a time."""

import asyncio
import sys
from typing import Any

import pytest

from rota.process import tasks


async def tidied_up(within: float) -> str:
    """Cancel a task, and return how a wait ended by which it tidies up."""
    said = []

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            try:
                async with asyncio.timeout(within):
                    await asyncio.sleep(0.05)
                said.append("done")
            except BaseException as error:
                said.append(type(error).__name__)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (found,) = said
    return found


async def test_a_timeout_of_a_cancelled_task_is_one_and_no_cancellation() -> None:
    assert await tidied_up(0.001) == "TimeoutError"
    assert await tidied_up(60) == "done"


async def test_a_second_cancellation_is_none_of_a_timeout() -> None:
    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            async with asyncio.timeout(60):
                await asyncio.sleep(60)

    task = asyncio.create_task(work())
    for _ in range(2):
        await asyncio.sleep(0.01)
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_timeouts_that_are_right_stay_so_when_they_are_corrected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("__aenter__", "__aexit__"):
        monkeypatch.setattr(asyncio.Timeout, name, getattr(asyncio.Timeout, name))
    tasks.correct_timeouts()
    await test_a_timeout_of_a_cancelled_task_is_one_and_no_cancellation()
    await test_a_second_cancellation_is_none_of_a_timeout()


async def begun(factory: Any = None) -> list[str]:
    """Return what happened in which order where a task begins that waits once, and its program goes on."""
    said: list[str] = []

    async def work() -> None:
        assert asyncio.current_task() is not this
        said.append("begins")
        await asyncio.sleep(0)
        said.append("ends")

    this, loop = asyncio.current_task(), asyncio.get_running_loop()
    loop.set_task_factory(factory)
    task = tasks.beginner(loop)(work())
    assert task is not None
    loop.set_task_factory(None)
    said.append("goes on")
    assert asyncio.current_task() is this
    await task
    return said


async def test_a_task_runs_at_once_up_to_its_first_wait_where_python_can() -> None:
    at_once = ["begins", "goes on", "ends"]
    in_line = ["goes on", "begins", "ends"]
    assert await begun() == (at_once if sys.version_info >= (3, 12) else in_line)
    # Tools that watch tasks set a factory, which would not see one that was made without it.
    assert await begun(lambda loop, coro, **named: asyncio.Task(coro, loop=loop, **named)) == in_line
