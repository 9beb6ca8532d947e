"""Looks where the handler of an execution is, from another thread than the event loop's.

A task is best looked at by the event loop itself, which does nothing else then. A loop that does not come to it is
blocked: what blocks it is the stack of its thread, and the tasks that it keeps waiting stand still.
"""

import asyncio
import sys
import threading
import traceback
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from concurrent.futures.thread import _WorkItem
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from types import FrameType
from typing import Any

from rota.engine.execution import Execution
from rota.errors.traces import own_frames
from rota.model.run import Run
from rota.model.stack.stack import JobStack

#: How long the event loop gets to answer, in seconds; one that takes longer is blocked.
PROMPT = 0.5
#: The most frames, and tasks that wait for each other, that are followed.
_DEEP = 1000

_ROTA = f"{Path(__file__).parents[2]}/"

Frames = list[traceback.FrameSummary]


def stack_of(execution: Execution, loop: asyncio.AbstractEventLoop, loop_thread: int) -> JobStack | None:
    """Return where the handler of `execution` is, None if it has ended meanwhile; `loop` runs in `loop_thread`."""
    elsewhere = getattr(execution, "elsewhere", None)
    if elsewhere is not None:
        return JobStack("process").with_frames(own_frames(elsewhere()))
    in_thread, whose = _in_thread(execution, loop_thread)
    if whose == "own":
        return JobStack("thread").with_frames(own_frames(in_thread))
    task = execution.task
    waiting = JobStack("thread" if whose == "lent" else "task")
    return None if task is None else _of_task(task, waiting, in_thread, loop, loop_thread)


def _of_task(
    task: asyncio.Task[Any],
    waiting: JobStack,
    in_thread: Frames,
    loop: asyncio.AbstractEventLoop,
    loop_thread: int,
) -> JobStack:
    """Return where a task is, as `waiting` says unless it blocks the loop, and what asyncio's thread does for it."""
    answer: Future[Frames] = Future()

    def look() -> None:
        try:
            answer.set_result(_awaited(task))
        except Exception as error:
            answer.set_exception(error)

    loop.call_soon_threadsafe(look)
    try:
        return waiting.with_frames(own_frames([*answer.result(PROMPT), *in_thread]))
    except TimeoutError:
        blocking = sys._current_frames().get(loop_thread)
    calls = [] if blocking is None else list(traceback.walk_stack(blocking))
    outermost = getattr(task.get_coro(), "cr_frame", None)
    within = [number for number, (frame, _) in enumerate(calls) if frame is outermost]
    if within:
        return JobStack("task", blocks=True).with_frames(own_frames(_shown(calls[: within[0] + 1])))
    by = own_frames(_shown(calls))
    at = f", at {by[-1].filename}:{by[-1].lineno} in {by[-1].name}" if by else ""
    note = f"the event loop is blocked by something else{at}"
    return replace(waiting, note=note).with_frames(own_frames([*_awaited(task), *in_thread]))


def _awaited(task: asyncio.Task[Any]) -> Frames:
    """Return the frames of a task, and of what it awaits, down to what it waits for."""
    frames: Frames = []
    seen: set[int] = set()
    at: Any = task
    while at is not None and id(at) not in seen and len(frames) < _DEEP:
        seen.add(id(at))
        if isinstance(at, asyncio.Task):
            waits_for, at = getattr(at, "_fut_waiter", None), at.get_coro()
        frame = _first(at, "cr_frame", "gi_frame", "ag_frame")
        if frame is not None:
            frames.append(_summary(frame, frame.f_lineno))
        at = _first(at, "cr_await", "gi_yieldfrom", "ag_await")
        if _first(at, "cr_frame", "gi_frame", "ag_frame", "cr_await", "gi_yieldfrom") is None:
            at = next(_tasks_of(waits_for, frame), None)
    return frames


def _tasks_of(waited_for: Any, frame: FrameType | None) -> Iterator[asyncio.Task[Any]]:
    """Yield the tasks that have to end first: the one that is awaited, or those of a gather or a TaskGroup."""
    is_group = frame is not None and frame.f_code is asyncio.TaskGroup.__aexit__.__code__
    group = frame.f_locals["self"]._tasks if frame is not None and is_group else ()
    for one in (waited_for, *getattr(waited_for, "_children", ()), *group):
        if isinstance(one, asyncio.Task) and not one.done():
            yield one


def _first(thing: Any, *names: str) -> Any:
    return next((found for name in names if (found := getattr(thing, name, None)) is not None), None)


def _in_thread(execution: Execution, loop_thread: int) -> tuple[Frames, str]:
    """Return the frames of the thread in which the handler runs, and whose it is.

    That is the handler's `own`, or one of asyncio's, which is `lent` to its task, as by `asyncio.to_thread`. Both are
    empty where there is none.
    """
    threads = {thread.ident for thread in threading.enumerate()} - {loop_thread, threading.get_ident()}
    for ident, frame in sys._current_frames().items():
        if ident in threads and (whose := _works_for(frame, execution)):
            calls = traceback.walk_stack(frame)
            return _shown(takewhile(_is_given, calls) if whose == "lent" else calls), whose
    return [], ""


def _is_given(call: tuple[FrameType, int]) -> bool:
    """Tell whether a call is within what a thread of asyncio's was given to do."""
    return call[0].f_code is not _WorkItem.run.__code__


def _works_for(frame: FrameType | None, execution: Execution) -> str:
    """Tell whether a frame is within the call of a handler (`own`), or within a call for its task (`lent`)."""
    while frame is not None:
        code = frame.f_code
        # Not of the user's frames: to ask for their variables would keep these for as long as the call lasts.
        if code.co_filename.startswith(_ROTA) and "run" in code.co_varnames:
            run = frame.f_locals.get("run")
            if isinstance(run, Run) and run.id == execution.claim.id:
                return "own"
        if code is _WorkItem.run.__code__ and frame.f_locals["self"].future in execution.threads:
            return "lent"
        frame = frame.f_back
    return ""


def _shown(calls: Iterable[tuple[FrameType, int]]) -> Frames:
    """Return what is shown of calls, the outermost first, which come with the innermost first."""
    return [_summary(frame, line) for frame, line in calls][::-1]


def _summary(frame: FrameType, line: int) -> traceback.FrameSummary:
    code = frame.f_code
    return traceback.FrameSummary(code.co_filename, line, code.co_qualname, lookup_line=False)
