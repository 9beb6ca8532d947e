"""Threads for the handlers that are plain functions.

A thread cannot be killed. Told to stop, it keeps its slot until it ends, or for five seconds. After that the attempt is
settled without it, and the process asks to be recycled.
"""

import asyncio
import contextvars
import logging
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from types import FrameType
from typing import Any, NoReturn

from rota.engine.execution import CURRENT, PATIENCE, Execution
from rota.errors.traces import stack_of
from rota.model.run import Run
from rota.names import printable

logger = logging.getLogger("rota.pools")


class Threads:
    """A thread for each slot of a queue. asyncio's own executor would stall the jobs beyond its few threads.

    :param size: how many handlers run at once.
    :param on_stuck: called when a thread did not end in time; it goes on running, so the process should be recycled.
    :param patience: how long a thread that was told to stop may take, in seconds.
    """

    def __init__(self, size: int, on_stuck: Callable[[], object], patience: float = PATIENCE) -> None:
        self._executor = ThreadPoolExecutor(size, thread_name_prefix="rota-job")
        self._on_stuck = on_stuck
        self._patience = patience

    async def call(
        self, execution: Execution, run: Run, handler: Callable[..., Any], arguments: Mapping[str, Any]
    ) -> Any:
        """Run `handler` in a thread, with the context of the calling task; return its result.

        Raises what it raises, and CancelledError if it was told to stop and did not end in time.
        """
        loop = asyncio.get_running_loop()
        abandoned: asyncio.Future[None] = loop.create_future()

        def interrupt() -> None:
            run.cancelled = True
            loop.call_later(self._patience, abandoned.cancel)

        execution.interrupt = interrupt
        if execution.cause is not None:
            interrupt()
        context = contextvars.copy_context()
        work: asyncio.Future[Any] = loop.run_in_executor(
            self._executor, partial(context.run, _outcome, handler, run, arguments)
        )
        try:
            await asyncio.wait({work, abandoned}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            # What middleware does after the thread is stopped as any coroutine is.
            execution.interrupt = None
        if not work.done():
            self._leave_behind(work, execution, run)
        value, error = work.result()
        if error is not None:
            raise error
        return value

    def _leave_behind(self, work: asyncio.Future[Any], execution: Execution, run: Run) -> NoReturn:
        fields = {
            "job_id": printable(execution.claim.id),
            "job": run.log_fields["job"],
            "stack": _stack_of(run),
        }
        logger.error("thread.stuck", extra=fields)
        self._on_stuck()
        raise asyncio.CancelledError

    def close(self) -> None:
        """Take no more work; threads that still run are left behind."""
        self._executor.shutdown(wait=False, cancel_futures=True)


class LoopThreads(ThreadPoolExecutor):
    """asyncio's own threads, as `asyncio.to_thread` uses them, which know for which handler they work."""

    def __init__(self) -> None:
        super().__init__(thread_name_prefix="asyncio")
        self.busy: set[Future[Any]] = set()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future = super().submit(fn, *args, **kwargs)
        execution = CURRENT.get()
        for working in (self.busy,) if execution is None else (self.busy, execution.threads):
            working.add(future)
            future.add_done_callback(working.discard)
        return future


def _outcome(
    handler: Callable[..., Any], run: Run, arguments: Mapping[str, Any]
) -> tuple[Any, BaseException | None]:
    """Return what `handler` returned, and what it raised.

    A future cannot carry every error: before Python 3.12, a StopIteration leaves it pending for ever.
    """
    try:
        return handler(run, **arguments), None
    except BaseException as error:
        return None, error


def _stack_of(run: Run) -> str:
    """Return where the thread stands in which the handler of `run` runs; empty if it has ended meanwhile."""
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            frame = sys._current_frames().get(thread.ident or 0)
            if frame is not None and _is_in(frame, run):
                return stack_of(frame)
    return ""


def _is_in(frame: FrameType | None, run: Run) -> bool:
    while frame is not None:
        if frame.f_code is _outcome.__code__ and frame.f_locals.get("run") is run:
            return True
        frame = frame.f_back
    return False
