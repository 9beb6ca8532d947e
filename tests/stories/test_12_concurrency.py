"""Concurrency: each queue has its own, set by a variable; a burst of five runs one by one, or all together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from rota import Client, Run, job


class Room:
    """Counts who is in it; its door opens when five are there."""

    def __init__(self) -> None:
        self.inside = 0
        self.door = asyncio.Barrier(5)


@asynccontextmanager
async def lifespan() -> AsyncIterator[Room]:
    yield Room()


@pytest.fixture
def variables() -> dict[str, str]:
    return {"QUEUES__NARROW__CONCURRENCY": "1", "QUEUES__WIDE__CONCURRENCY": "5"}


@job(queue="narrow")
async def visit_alone(run: Run) -> int:
    room: Room = run.deps
    room.inside += 1
    company = room.inside
    await asyncio.sleep(0.02)
    room.inside -= 1
    return company


@job(queue="wide", timeout=5, max_attempts=1)
async def visit_together(run: Run) -> int:
    room: Room = run.deps
    room.inside += 1
    await room.door.wait()
    return room.inside


async def test_a_burst_of_five_at_concurrency_one_runs_one_by_one(client: Client) -> None:
    handles = await client.enqueue_many(visit_alone.call() for _ in range(5))
    assert [await handle.result(timeout=10) for handle in handles] == [1, 1, 1, 1, 1]
    started = [info.started_at for info in [await handle.status() for handle in handles] if info.started_at]
    assert started == sorted(started)
    assert len(set(started)) == 5


async def test_a_burst_of_five_at_concurrency_five_runs_together(client: Client) -> None:
    handles = await client.enqueue_many(visit_together.call() for _ in range(5))
    assert [await handle.result(timeout=10) for handle in handles] == [5, 5, 5, 5, 5]
