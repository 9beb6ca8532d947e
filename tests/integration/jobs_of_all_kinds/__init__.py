"""Jobs that between them do all that a job can do to Redis."""

import asyncio
import time

from rota import Run, Snooze, at_most, debounce, fixed, job, per_second, unique


@job(backoff=fixed(0.05), max_attempts=2)
async def flaky(run: Run) -> int:
    if run.attempt == 1:
        raise ValueError("once")
    return run.attempt


@job(max_attempts=1)
async def fails(run: Run) -> None:
    raise ValueError("always")


@job
async def snoozes(run: Run) -> int:
    if not run.snoozes:
        raise Snooze(0.05)
    return run.snoozes


@job
def threaded(run: Run) -> str:
    run.progress(50, "half")
    run.checkpoint(1)
    return "thread"


@job(process=True)
def apart(run: Run) -> str:
    run.progress(50, "half")
    run.checkpoint({"page": 1})
    time.sleep(0.3)
    return "process"


@job
async def sleeps(run: Run) -> None:
    run.checkpoint(1)
    await asyncio.sleep(60)


@job(unique=unique(key="user"))
async def once(run: Run, user: str) -> None: ...


@job(unique=debounce(0.05, key="user"))
async def last(run: Run, user: str) -> None: ...


@job(limit=per_second(50, key="user"))
async def slow(run: Run, user: str) -> None: ...


@job(concurrency=at_most(1, key="user"))
async def alone(run: Run, user: str) -> None: ...


@job(priority=3)
async def urgent(run: Run) -> None: ...


@job
async def numbers(run: Run, upto: int) -> list[int]:
    return list(range(upto))


@job(max_attempts=1)
async def double(run: Run, number: int) -> int:
    if number > 2:
        raise ValueError("too much")
    return 2 * number


@job(queue="other")
async def total(run: Run, numbers: list[int]) -> int:
    return sum(numbers)


@job
async def told(run: Run) -> int:
    return run.batch.total if run.batch else -1
