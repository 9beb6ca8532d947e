"""Weights: a process with few slots shares them among its queues, by weights that variables set."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from rota import Client, Run, job


class Till:
    """Opens when the test says so, and keeps the receipts in the order in which they were written."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.receipts: list[str] = []


@asynccontextmanager
async def lifespan() -> AsyncIterator[Till]:
    yield Till()


@pytest.fixture
def variables() -> dict[str, str]:
    # One job at a time, in the whole process; and of four, three are urgent ones.
    return {"WORKER_CONCURRENCY": "1", "QUEUES__URGENT__WEIGHT": "3", "QUEUES__BULK__WEIGHT": "1"}


@job(queue="urgent")
async def serve(run: Run) -> None:
    run.deps.receipts.append("urgent")


@job(queue="bulk")
async def tidy(run: Run) -> None:
    await run.deps.open.wait()
    run.deps.receipts.append("bulk")


async def test_while_both_have_work_three_of_four_jobs_are_urgent(client: Client, deps: Till) -> None:
    # The first one has the only slot while the others line up behind it.
    await client.enqueue_many(tidy.call() for _ in range(11))
    handles = await client.enqueue_many(serve.call() for _ in range(30))
    deps.open.set()
    for handle in handles:
        await handle.result(timeout=10)
    served = Counter(deps.receipts[1:33])
    assert served["urgent"] in (23, 24, 25)


async def test_a_queue_alone_does_not_wait_for_the_others(client: Client, deps: Till) -> None:
    deps.open.set()
    handles = await client.enqueue_many(tidy.call() for _ in range(20))
    for handle in handles:
        await handle.result(timeout=10)
    assert deps.receipts == ["bulk"] * 20
