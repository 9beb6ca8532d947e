"""Priorities: what is urgent starts first, and what is not starts too."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from rota import Client, Run, job


@job
async def routine(run: Run, number: int) -> None:
    run.deps.append(f"routine {number}")


@job(priority=5)
async def alarm(run: Run) -> None:
    run.deps.append("alarm")


@pytest.fixture
def variables() -> dict[str, str]:
    """Run one job at a time, so that there is an order to see."""
    return {"QUEUE_CONCURRENCY": "1"}


@asynccontextmanager
async def lifespan() -> AsyncIterator[list[str]]:
    yield []


async def test_the_urgent_one_does_not_wait_in_line(client: Client, deps: list[str]) -> None:
    await client.pause("default")
    handles = [await client.enqueue(routine, number) for number in range(3)]
    handles += [await client.enqueue(alarm), await client.enqueue(routine.options(priority=9), 9)]
    await client.resume("default")
    for handle in handles:
        await handle.result(timeout=10)
    assert deps == ["routine 9", "alarm", "routine 0", "routine 1", "routine 2"]


async def test_nothing_waits_for_ever(client: Client, deps: list[str]) -> None:
    await client.pause("default")
    old = await client.enqueue(routine, 0)
    handles = await client.enqueue_many([alarm.call() for _ in range(20)])
    await client.resume("default")
    for handle in [old, *handles]:
        await handle.result(timeout=10)
    assert deps.index("routine 0") <= 5
