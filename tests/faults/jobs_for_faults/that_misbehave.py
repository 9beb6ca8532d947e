"""Handlers that raise what nobody should raise, each in every kind of handler."""

import asyncio
import sys
import time
from collections.abc import Callable
from typing import NoReturn

from rota import Run, job
from tests.faults.jobs_for_faults.ledger import note


class OwnBase(BaseException):
    """Raised by native extensions: a panic in Rust does not derive from Exception."""


def _group() -> NoReturn:
    raise BaseExceptionGroup("several", [OwnBase("one"), ValueError("two")])


def _generator_exit() -> NoReturn:
    raise GeneratorExit


def _stop_iteration() -> NoReturn:
    next(iter(()))
    raise AssertionError


def _own() -> NoReturn:
    raise OwnBase("panicked")


def _interrupt() -> NoReturn:
    raise KeyboardInterrupt


class Unspeakable(BaseException):
    """Its message cannot be made."""

    def __str__(self) -> str:
        raise OwnBase("no words")


def _unspeakable() -> NoReturn:
    raise Unspeakable


def _exit() -> NoReturn:
    sys.exit(3)


RAISES: dict[str, Callable[[], NoReturn]] = {
    "own": _own,
    "group": _group,
    "generator-exit": _generator_exit,
    "stop-iteration": _stop_iteration,
    "exit": _exit,
    "interrupt": _interrupt,
    "unspeakable": _unspeakable,
}


async def _later(how: str) -> None:
    await asyncio.sleep(0.01)
    RAISES[how]()


@job(max_attempts=1)
async def swallow(run: Run) -> None:
    """Go on, however often it is cancelled."""
    note(run, "start")
    await _ignore()


@job(max_attempts=1)
async def leave_task(run: Run) -> None:
    """Leave a task behind that ignores every cancellation."""
    note(run, "start")
    LEFT.append(asyncio.create_task(_ignore()))
    await asyncio.sleep(60)


@job(max_attempts=1)
async def sleep_in_thread(run: Run) -> None:
    """Use a thread of asyncio's own, which nothing ends."""
    note(run, "start")
    await asyncio.to_thread(time.sleep, 60)


LEFT: list[asyncio.Task[None]] = []


async def _ignore() -> None:
    while True:
        try:
            await asyncio.sleep(0.5)
        except BaseException:
            continue


@job(max_attempts=1)
async def raise_on_loop(run: Run, how: str) -> None:
    RAISES[how]()


@job(max_attempts=1)
async def raise_in_task(run: Run, how: str) -> None:
    """Await a task that raises: a SystemExit there leaves the loop."""
    await asyncio.create_task(_later(how))


@job(max_attempts=1)
async def raise_in_group(run: Run, how: str) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(_later(how))


@job(max_attempts=1)
def raise_in_thread(run: Run, how: str) -> None:
    RAISES[how]()


@job(max_attempts=1, process=True)
def raise_in_process(run: Run, how: str) -> None:
    RAISES[how]()
