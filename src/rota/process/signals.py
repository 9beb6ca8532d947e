"""Signals for everybody: an event loop keeps one handler a signal, and several workers may share a loop."""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any
from weakref import WeakKeyDictionary

from rota.process.tasks import end

Handler = Callable[[signal.Signals], object]

_listeners: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[int, list[Handler]]] = WeakKeyDictionary()


def listen(loop: asyncio.AbstractEventLoop, signum: signal.Signals, handler: Handler) -> None:
    """Call `handler` too when `signum` arrives; raises what `loop.add_signal_handler` raises."""
    by_signal = _listeners.setdefault(loop, {})
    if signum not in by_signal:
        loop.add_signal_handler(signum, _tell, loop, signum)
        by_signal[signum] = []
    by_signal[signum].append(handler)


def forget(loop: asyncio.AbstractEventLoop, signum: signal.Signals, handler: Handler) -> None:
    """No longer call `handler`; with the last one gone, the signal does again what it did before."""
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


async def until_signalled(work: Coroutine[Any, Any, None]) -> None:
    """Run `work` until it ends, or SIGTERM or SIGINT comes. Raises what it raises."""
    loop = asyncio.get_running_loop()
    task, told = asyncio.create_task(work), asyncio.Event()
    telling = asyncio.create_task(told.wait())

    def stop(_: signal.Signals) -> None:
        told.set()

    for signum in (signal.SIGTERM, signal.SIGINT):
        listen(loop, signum, stop)
    try:
        await asyncio.wait({task, telling}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for signum in (signal.SIGTERM, signal.SIGINT):
            forget(loop, signum, stop)
        await end({task, telling})
    if not task.cancelled():
        task.result()
