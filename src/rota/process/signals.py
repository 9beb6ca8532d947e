"""Signals with several handlers: an event loop keeps one handler a signal, and several workers may share a loop.

And a loop that only a signal ends, and no task that exits.
"""

import asyncio
import contextlib
import logging
import os
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from rota.process.tasks import end

logger = logging.getLogger("rota.worker")

T = TypeVar("T")

Handler = Callable[[signal.Signals], object]

#: The signals that tell a process to stop. SIGHUP says that its terminal is closed.
TO_STOP = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

#: A signal that is repeated within this time may be the same one, sent twice, in seconds.
ECHO = 1.0

_listeners: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[int, list[Handler]]] = WeakKeyDictionary()
#: What each signal did before anybody listened to it, or ignored it.
_before: dict[int, Any] = {}


def to_stop() -> tuple[signal.Signals, ...]:
    """Return the signals that tell this process to stop: not a SIGHUP that it was started to ignore, as by nohup."""
    ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return tuple(signum for signum in TO_STOP if not (ignored and signum is signal.SIGHUP))


def listen(loop: asyncio.AbstractEventLoop, signum: signal.Signals, handler: Handler) -> None:
    """Call `handler` too when `signum` arrives. Raises what `loop.add_signal_handler` raises."""
    by_signal = _listeners.setdefault(loop, {})
    if signum not in by_signal:
        before = signal.getsignal(signum)
        loop.add_signal_handler(signum, _tell, loop, signum)
        _before.setdefault(signum, before)
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
            _before.pop(signum, None)
            if not loop.is_closed():
                loop.remove_signal_handler(signum)


def is_echo(signum: signal.Signals, first: signal.Signals, since: float, *, passed_on: bool = False) -> bool:
    """Tell whether `signum` is the same word as the `first` signal, which came `since` seconds before.

    A terminal that is closed sends SIGHUP to a whole process group, a shell sends it again, systemd sends it together
    with SIGTERM. `passed_on` says that a parent passes its signals on, which may have been sent to the group as well.
    """
    return since < ECHO and (passed_on or signal.SIGHUP in (signum, first))


def ignore(*signums: signal.Signals) -> None:
    """Let nothing happen when one of `signums` arrives here; to the processes that this one starts, what always did."""
    for signum in signums:
        # Not SIG_IGN: a program that is started would inherit it, and could not be ended.
        _before.setdefault(signum, signal.signal(signum, _nothing))


def _nothing(*_: object) -> None: ...


def _hold() -> None:
    """Keep our signals from a process that is just forked until `_deafen` has run there."""
    _masks.before = signal.pthread_sigmask(signal.SIG_BLOCK, tuple(_before))


def _release() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _masks.before)


def _deafen() -> None:
    """Let the signals of a forked process do what they did before: its parent's event loop is not to hear of them.

    Its copy of the loop's socket would tell them to the parent, and it could not be ended by them.
    """
    if _before:
        signal.set_wakeup_fd(-1)
    for signum, handler in _before.items():
        signal.signal(signum, signal.SIG_DFL if handler is None else handler)
    _before.clear()
    _release()


#: The signal masks of the threads that are just forking.
_masks = threading.local()
os.register_at_fork(before=_hold, after_in_parent=_release, after_in_child=_deafen)


def _tell(loop: asyncio.AbstractEventLoop, signum: signal.Signals) -> None:
    for handler in list(_listeners.get(loop, {}).get(signum, ())):
        handler(signum)


@contextlib.contextmanager
def hearing(handler: Handler, arrived: Handler | None = None) -> Iterator[None]:
    """Call `handler` for each signal to stop that arrives while the block runs in the event loop.

    `arrived` is called before it, at once, between two instructions of whatever runs, also while the loop is blocked.
    """
    loop, signums = asyncio.get_running_loop(), to_stop()
    for signum in signums:
        listen(loop, signum, handler)
        if arrived is not None:
            _interrupt(signum, arrived)
    try:
        yield
    finally:
        for signum in signums:
            forget(loop, signum, handler)


def _interrupt(signum: signal.Signals, arrived: Handler) -> None:
    # The loop is woken by the interpreter, whatever handler is here.
    signal.signal(signum, lambda number, _: arrived(signal.Signals(number)))
    signal.siginterrupt(signum, False)


async def until_signalled(work: Coroutine[Any, Any, object]) -> None:
    """Run `work` until it ends, or a signal to stop comes. Raises what it raises."""
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
