"""A loop that goes on when one of its tasks exits, until its main task has ended."""

import asyncio
import sys
from collections.abc import Callable, Iterator

import pytest
import uvloop

from rota.process.signals import hearing, run_to_end


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop])
def loop(request: pytest.FixtureRequest) -> Iterator[asyncio.AbstractEventLoop]:
    make: Callable[[], asyncio.AbstractEventLoop] = request.param
    loop = make()
    yield loop
    loop.close()


async def leave(error: type[BaseException]) -> None:
    await asyncio.sleep(0)
    raise error


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_who_awaits_a_task_that_exits_gets_its_error_and_the_loop_goes_on(
    loop: asyncio.AbstractEventLoop, error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> str:
        with hearing(lambda _: None):
            with pytest.raises(error):
                await asyncio.create_task(leave(error))
            asyncio.get_running_loop().call_soon(sys.exit, 4)
            await asyncio.sleep(0.01)
        return "went on"

    assert run_to_end(loop, loop.create_task(main())) == "went on"
    assert [record.getMessage() for record in caplog.records] == ["task.exited", "task.exited"]


def test_a_main_task_that_ends_in_the_turn_of_an_exit_has_its_result(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> str:
        asyncio.get_running_loop().call_soon(sys.exit, 4)
        return "went on"

    assert run_to_end(loop, loop.create_task(main())) == "went on"


def test_what_the_main_task_raises_is_raised(loop: asyncio.AbstractEventLoop) -> None:
    task = loop.create_task(leave(SystemExit))
    with pytest.raises(SystemExit):
        run_to_end(loop, task)
    assert isinstance(task.exception(), SystemExit)


def test_an_interrupt_that_nobody_handles_is_raised(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        asyncio.get_running_loop().call_soon(_interrupt)
        await asyncio.sleep(60)

    task = loop.create_task(main())
    try:
        run_to_end(loop, task)
    except KeyboardInterrupt:
        raised = True
    assert raised
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)


def _interrupt() -> None:
    raise KeyboardInterrupt
