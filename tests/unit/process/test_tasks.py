"""Tasks that were cancelled: what they tidy up may wait for a time."""

import asyncio

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
