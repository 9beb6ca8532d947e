"""Signals with several handlers: an event loop keeps one handler a signal, and several workers may share a loop.

And a loop that only a signal ends, and no task that exits.
"""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from rota.process.tasks import end

logger = logging.getLogger("rota.worker")

T = TypeVar("T")

Handler = Callable[[signal.Signals], object]

#: The signals that tell a process to stop.
TO_STOP = (signal.SIGTERM, signal.SIGINT)

_listeners: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[int, list[Handler]]] = WeakKeyDictionary()


def listen(loop: asyncio.AbstractEventLoop, signum: signal.Signals, handler: Handler) -> None:
    """Call `handler` too when `signum` arrives. Raises what `loop.add_signal_handler` raises."""
    by_signal = _listeners.setdefault(loop, {})
    if signum not in by_signal:
        loop.add_signal_handler(signum, _tell, loop, signum)
        by_signal[signum] = []
    by_signal[signum].append(handler)


def forget(loop: asyncio.AbstractEventLoop, signum: signal.Signals, handler: Handler) -> None:
    """Stop calling `handler`; after the last one, the signal does again what it did before."""
    by_signal = _listeners.get(loop, {})
    handlers = by_signal.get(signum, [])
    if handler in handlers:
        handlers.remove(handler)
        if not handlers:
            del by_signal[signum]
            if not loop.is_closed():
                loop.remove_signal_handler(signum)


def _tell(loop: asyncio.AbstractEventLoop, signum: signal.Signals) -> None:
    for handler in list(_listeners.get(loop, {}).get(signum, ())):
        handler(signum)


@contextlib.contextmanager
def hearing(handler: Handler) -> Iterator[None]:
    """Call `handler` for each SIGTERM and SIGINT that arrives while the block runs in the event loop."""
    loop = asyncio.get_running_loop()
    for signum in TO_STOP:
        listen(loop, signum, handler)
    try:
        yield
    finally:
        for signum in TO_STOP:
            forget(loop, signum, handler)


async def until_signalled(work: Coroutine[Any, Any, object]) -> None:
    """Run `work` until it ends, or SIGTERM or SIGINT comes. Raises what it raises."""
    task, told = asyncio.create_task(work), asyncio.Event()
    telling = asyncio.create_task(told.wait())
    with hearing(lambda _: told.set()):
        try:
            await asyncio.wait({task, telling}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end({task, telling})
    if not task.cancelled():
        task.result()


def run_to_end(loop: asyncio.AbstractEventLoop, main: "asyncio.Task[T]") -> T:
    """Run `loop` until `main` has ended; return its result, or raise what it raised.

    A SystemExit or a KeyboardInterrupt in any other task is raised out of the loop, too. Here it ends its own task
    alone, as every other error does, and is raised where that task is awaited.
    """
    while True:
        try:
            return loop.run_until_complete(main)
        except (SystemExit, KeyboardInterrupt) as error:
            # While nobody listens for SIGINT, it is a person at the keyboard.
            by_hand = isinstance(error, KeyboardInterrupt) and signal.SIGINT not in _listeners.get(loop, {})
            if by_hand or _raised(main, error):
                raise
            logger.error("task.exited", extra={"error": repr(error)}, exc_info=error)


def _raised(task: "asyncio.Task[Any]", error: BaseException) -> bool:
    return task.done() and not task.cancelled() and task.exception() is error
