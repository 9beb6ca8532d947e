"""A fan-out over many items on a real server with a real worker: in order, in portions, and with bounded memory."""

import os
import tracemalloc
from typing import Any

import pytest

from rota import Run, each, job, pipeline
from rota.flows.plan import PORTION
from tests.servers import RedisServer
from tests.workers import serving

#: The full size is 10,000; every change runs a sample.
ITEMS = 10_000 if float(os.environ.get("FAULTS_SCALE", "0.1")) >= 1 else 1_700


@job
async def split(run: Run, count: int) -> list[int]:
    return list(range(count))


@job
async def double(run: Run, number: int) -> int:
    return 2 * number


@job
async def is_in_order(run: Run, numbers: list[int]) -> tuple[int, bool]:
    return len(numbers), numbers == [2 * number for number in range(len(numbers))]


@pytest.mark.timeout(300)
async def test_all_items_come_out_in_their_order_and_nothing_of_them_stays(server: RedisServer) -> None:
    async with serving(server.url, package=__name__, QUEUE_CONCURRENCY="50") as works:
        client = works.client
        handle = await client.enqueue(pipeline(split, each(double), is_in_order), ITEMS)
        assert await handle.result(timeout=240) == (ITEMS, True)
        portions: Any = await client.redis.info("commandstats")
        keys = [key async for key in client.redis.scan_iter("rota:flow:*")]
    assert len(keys) == 1, "the record of the whole"
    assert portions["cmdstat_evalsha"]["calls"] > ITEMS / PORTION


async def test_the_memory_of_a_fan_out_grows_with_a_portion_and_not_with_its_items(
    server: RedisServer,
) -> None:
    """Beside the list itself, which a stage returned as one value."""
    async with serving(server.url, package=__name__) as works:
        sizes = []
        for count in (PORTION, 3 * PORTION):
            tracemalloc.start()
            await (await works.client.enqueue(each(double), list(range(count)))).result(timeout=60)
            sizes.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert sizes[1] < 3 * sizes[0], sizes
