"""Every way to leave a handler, in each kind of handler. Told to stop, a handler leaves in its way, if it can be told.

`at_once` leaves before anything happens; else the handler waits for what comes. What it returns is a str.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from rota import Cancel, Retry, Run, Snooze, job
from tests.faults.jobs_for_faults.ledger import note

__all__ = ["in_process", "in_thread", "on_loop", "pass_by"]

#: Longer than any test.
LONG = 60.0


class Panic(BaseException):
    """Raised by native extensions: a panic in Rust does not derive from Exception."""


def raising(error: Callable[[], BaseException]) -> Callable[[], NoReturn]:
    def leave() -> NoReturn:
        raise error()

    return leave


def _stop_iteration() -> NoReturn:
    next(iter(()))
    raise AssertionError


def _exit() -> NoReturn:
    sys.exit(3)


def _block() -> str:
    time.sleep(2)
    return "done"


def _kill() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


#: What a handler does at its end, by the name of the way.
WAYS: dict[str, Callable[[], Any]] = {
    "return": lambda: "done",
    "Exception": raising(lambda: ValueError("wrong")),
    "BaseException": raising(lambda: Panic("panicked")),
    "KeyboardInterrupt": raising(KeyboardInterrupt),
    "SystemExit": _exit,
    "CancelledError": raising(asyncio.CancelledError),
    "GeneratorExit": raising(GeneratorExit),
    "StopIteration": _stop_iteration,
    "BaseExceptionGroup": raising(lambda: BaseExceptionGroup("two", [Panic("one"), ValueError("two")])),
    "too much": lambda: "x" * 300_000,
    "no JSON": object,
    "Retry": raising(lambda: Retry(3600)),
    "Snooze": raising(lambda: Snooze(3600)),
    "Cancel": raising(lambda: Cancel("not wanted")),
    "block": _block,
    "os._exit": lambda: os._exit(3),
    "kill -9": _kill,
    # It never leaves; a coroutine that sleeps can be cancelled, one that is deaf cannot.
    "sleep": lambda: "unreachable",
    "deaf": lambda: "unreachable",
}
NEVER = ("sleep", "deaf")


@job(max_attempts=2, timeout=LONG)
async def on_loop(run: Run, way: str, at_once: bool) -> str:
    note(run, "start")
    return await leave(way, at_once)  # type: ignore[no-any-return]


async def leave(way: str, at_once: bool, ways: Mapping[str, Callable[[], Any]] = WAYS) -> Any:
    """Leave a coroutine in its way of `ways`, at once or when it is cancelled."""
    if not at_once or way in NEVER:
        try:
            await asyncio.sleep(LONG)
        except asyncio.CancelledError:
            if way == "sleep":
                raise
    while way == "deaf":
        try:
            await asyncio.sleep(LONG)
        except BaseException:
            continue
    return ways[way]()


@job(max_attempts=2, timeout=LONG)
def in_thread(run: Run, way: str, at_once: bool) -> str:
    note(run, "start")
    deadline = time.monotonic() + LONG
    while (way in NEVER or not (at_once or run.cancelled)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return WAYS[way]()  # type: ignore[no-any-return]


@job(max_attempts=2, timeout=LONG, process=True)
def in_process(run: Run, way: str, at_once: bool) -> str:
    note(run, "start")
    if not at_once or way in NEVER:
        time.sleep(LONG)
    return WAYS[way]()  # type: ignore[no-any-return]


@job
async def pass_by(run: Run) -> None:
    """End at once: a process that is recycled after a few jobs has run one."""
