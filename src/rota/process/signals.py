"""Signals with several handlers: an event loop keeps one handler a signal, and several workers may share a loop."""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Coroutine, Iterator
from typing import Any
from weakref import WeakKeyDictionary

from rota.process.tasks import end

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
