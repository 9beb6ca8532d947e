"""Signals for everybody: an event loop keeps one handler a signal, and several workers may share a loop."""

import asyncio
import signal
from collections.abc import Callable
from weakref import WeakKeyDictionary

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
