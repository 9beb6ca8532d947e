"""Beginning tasks at once; ending them for good, and what these still do meanwhile within a time."""

import asyncio
import sys
import time
from asyncio.timeouts import Timeout
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from typing import Any

#: A cancellation that had no effect is repeated after this, in seconds.
_AGAIN = 0.1

#: Runs a coroutine as a task, and returns the task; None if it has ended already.
Begin = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None] | None]

if sys.version_info >= (3, 12):

    def beginner(loop: asyncio.AbstractEventLoop) -> Begin:
        """Return what runs a coroutine as a task of `loop` up to its first wait. It is called from within `loop`.

        What never waits costs no turn of the loop in this way, and a third of the time of a task that is put in line.
        A task factory that a program has set decides for itself how tasks begin.
        """
        return partial(_begin, loop)

    def _begin(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, None]) -> asyncio.Task[None] | None:
        is_ours = loop.get_task_factory() is None
        task = asyncio.Task(work, loop=loop, eager_start=True) if is_ours else loop.create_task(work)
        return None if task.done() else task

else:

    def beginner(loop: asyncio.AbstractEventLoop) -> Begin:
        """Return what runs a coroutine as a task from the next turn of `loop` on."""
        return loop.create_task


async def end_all(seconds: float) -> list[str]:
    """Cancel every other task of the loop until all are gone, for `seconds`; return the names of those that go on."""
    pending = asyncio.all_tasks() - {asyncio.current_task()}
    deadline = time.monotonic() + seconds
    while pending and time.monotonic() < deadline:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_AGAIN)
    return [f"{task.get_name()} {getattr(task.get_coro(), '__qualname__', '')}" for task in pending]


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel `tasks` until they are gone.

    Once is not enough: Python 3.11's `wait_for`, which redis-py sends with, swallows a cancellation that arrives when
    its work is just done.
    """
    ending = set(tasks)
    pending = {task for task in ending if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_AGAIN)
    for task in ending:
        # Retrieved, or asyncio would log the error as never retrieved.
        task.cancelled() or task.exception()


def correct_timeouts() -> None:
    """Have a timeout within a task that was cancelled end as on later versions of Python.

    Until 3.11.3 `asyncio.timeout` ended there by another cancellation in place of a TimeoutError, and what tidies up
    after Ctrl-C or a drain went no further (CPython's gh-102780). Debian 12 has 3.11.2.
    """
    enter, leave = Timeout.__aenter__, Timeout.__aexit__

    async def __aenter__(self: Any) -> Timeout:
        await enter(self)
        self.cancelled_before = self._task.cancelling()
        return self  # type: ignore[no-any-return]

    async def __aexit__(self: Any, kind: Any, error: Any, trace: Any) -> None:
        await leave(self, kind, error, trace)
        is_ours = self.expired() and kind is asyncio.CancelledError
        if is_ours and self._task.cancelling() <= self.cancelled_before:
            raise TimeoutError from error

    Timeout.__aenter__, Timeout.__aexit__ = __aenter__, __aexit__  # type: ignore[method-assign,assignment]


if sys.version_info < (3, 11, 3):
    correct_timeouts()
