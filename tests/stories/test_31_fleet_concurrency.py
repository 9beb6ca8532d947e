"""`QUEUES__CRM__FLEET_CONCURRENCY=2`: of this queue two jobs run at once, however many workers there are."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from rota import Run, job
from tests.servers import RedisServer
from tests.workers import serving

inside: list[str] = []
most: list[int] = []


@job(queue="crm")
async def push(run: Run) -> None:
    inside.append(run.id)
    most.append(len(inside))
    try:
        await asyncio.sleep(0.02)
    finally:
        inside.remove(run.id)


@pytest.mark.parametrize("workers", [1, 2])
async def test_two_run_at_once_over_all_workers(server: RedisServer, workers: int) -> None:
    most.clear()
    variables = {"QUEUES__CRM__FLEET_CONCURRENCY": "2", "QUEUES__CRM__CONCURRENCY": "10"}
    async with AsyncExitStack() as stack:
        fleet = [
            await stack.enter_async_context(serving(server.url, push, **variables)) for _ in range(workers)
        ]
        client = fleet[0].client
        handles = await client.enqueue_many(push.call() for _ in range(40))
        for handle in handles:
            await handle.result(timeout=30)
    assert max(most) == 2
    assert len(most) == 40


async def test_a_worker_that_leaves_hands_its_place_on(server: RedisServer) -> None:
    most.clear()
    variables = {"QUEUES__CRM__FLEET_CONCURRENCY": "1"}
    async with serving(server.url, push, **variables) as staying:
        async with serving(server.url, push, **variables):
            handles = await staying.client.enqueue_many(push.call() for _ in range(10))
            await handles[0].result(timeout=30)
        for handle in handles:
            await handle.result(timeout=30)
    assert max(most) == 1
