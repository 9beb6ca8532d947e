"""The jobs that the test kit is tried on."""

import asyncio
import os
import threading
import time
from dataclasses import dataclass
from datetime import datetime

from rota import Cancel, Run, Snooze, fixed, job


@dataclass
class Deps:
    """The dependencies of the handlers below."""

    sent: list[str]


@job(queue="email", max_attempts=3, timeout=30)
async def send(run: Run, to: str, *, copies: int = 1, on: datetime | None = None) -> str:
    run.deps.sent.append(to)
    run.progress(50, "half")
    return f"{to} x{copies}"


@job(queue="email", max_attempts=3, backoff=fixed(60))
async def flaky(run: Run, good_at: int) -> int:
    if run.attempt < good_at:
        raise ConnectionError(f"try {run.attempt}")
    return run.attempt


@job(timeout=5, max_attempts=1)
async def sleepy(run: Run, seconds: float) -> float:
    started = asyncio.get_running_loop().time()
    await asyncio.sleep(seconds)
    return round(asyncio.get_running_loop().time() - started, 3)


@job
def threaded(run: Run, seconds: float) -> str:
    time.sleep(seconds)
    return threading.current_thread().name


@job(process=True)
def heavy(run: Run, number: int) -> int:
    run.progress(10, "in a process")
    assert run.deps is None
    return number * number


@job
async def parent(run: Run, children: int) -> None:
    for number in range(children):
        await run.deps.client.enqueue(child.options(delay=number * 10), number)


@job
async def child(run: Run, number: int) -> int:
    return number


@job
async def cancels(run: Run) -> None:
    raise Cancel("not wanted")


@job
async def snoozes(run: Run, times: int) -> int:
    if run.deps.sent.append("z") or len(run.deps.sent) <= times:
        raise Snooze(30)
    return run.attempt


@dataclass
class Place:
    """How far `climb` is."""

    step: int


@job(queue="email", max_attempts=4, backoff=fixed(60))
async def climb(run: Run, top: int, falls_at: tuple[int, ...] = ()) -> int:
    step = run.last_checkpoint["step"] if run.last_checkpoint else 0
    while step < top:
        step += 1
        run.checkpoint(Place(step))
        if step in falls_at:
            raise ConnectionError(f"fell at {step}")
    return step


@job(process=True)
def climb_in_a_process(run: Run, top: int) -> int:
    step = run.last_checkpoint or 0
    run.checkpoint(step + 1)
    if step + 1 < top:
        raise Snooze(1)
    return step + 1


JOBS = [send, flaky, sleepy, threaded, heavy, parent, child, cancels, snoozes, climb, climb_in_a_process]


@job(process=True)
def process_id(run: Run) -> int:
    run.progress(50)
    return os.getpid()
