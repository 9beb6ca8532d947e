"""Large results of a pipeline, on a real server: who reads them puts them together, and Redis goes on meanwhile."""

import os
from collections.abc import AsyncIterator
from typing import Any

import pytest

from rota import Client, JobNotFound, Run, each, job, pipeline
from rota.errors import UnreadablePayload
from rota.flows.scripts import FlowScripts
from rota.model.flows.handle import FlowHandle
from rota.settings.settings import Settings
from rota.testing import Bench
from tests.servers import RedisServer
from tests.unit.wire.lua.beds import Bed, finish, real_bed

#: How many results there are, and how large each of them is, in bytes.
RESULTS, SIZE = int(os.environ.get("RESULTS", "40")), int(os.environ.get("RESULT_SIZE", "250000"))


@job(queue="q")
async def numbers(run: Run, upto: int) -> list[int]:
    return list(range(upto))


@job(queue="q")
async def large(run: Run, number: int) -> str:
    return str(number) * 10


@job(queue="q")
async def wide(run: Run, number: int) -> str:
    return str(number) * 100_000


@pytest.fixture
async def bed(server: RedisServer) -> AsyncIterator[Bed]:
    async with real_bed(server) as bed:
        yield bed


@pytest.fixture
async def lonely_bed(own_server: RedisServer) -> AsyncIterator[Bed]:
    """Yield a bed on a server that no other test has used: the peak of its memory is this test's."""
    async with real_bed(own_server) as bed:
        yield bed


def used(bed: Bed, what: str = "used_memory") -> int:
    return int(bed.looking.info("memory")[what])


async def completed(bed: Bed) -> FlowHandle[Any]:
    """Return a pipeline all of whose items have ended, each with a large result."""
    client = Client(bed.redis, Settings(default_queue="q"))
    handle: FlowHandle[Any] = await client.enqueue(each(large), list(range(RESULTS)))
    worker = bed.worker("w")
    fan_out = await worker.claim_one()
    items = [b'{"v":1,"f":"large","t":null,"a":[],"k":{"number":1},"et":1}', ""] * RESULTS
    await FlowScripts(bed.redis, Settings()).put(handle.id, 0, 0, RESULTS, items)
    await worker.settle(finish(fan_out))
    result = b'"%b"' % (b"x" * (SIZE - 2))
    while claims := await worker.claim(10):
        for claim in claims:
            await worker.settle(finish(claim, detail=result, record=b""))
    return handle


async def test_large_results_take_their_own_memory_and_no_more_and_are_read_in_portions(
    lonely_bed: Bed,
) -> None:
    bed = lonely_bed
    before = used(bed)
    bed.looking.config_resetstat()
    handle = await completed(bed)
    found = await handle.result(timeout=5)
    assert [len(one) for one in found] == [SIZE - 2] * RESULTS
    data = RESULTS * SIZE
    assert used(bed, "used_memory_peak") - before < 1.6 * data + 8_000_000
    assert bed.commands()["hmget"] > 3


async def test_they_are_kept_as_long_as_the_pipeline_is(bed: Bed) -> None:
    handle = await completed(bed)
    flow = f"rota:flow:{handle.id}"
    lives = [bed.looking.pttl(key) for key in (flow, f"{flow}:0")]
    assert all(3_500_000 < life <= 3_600_000 for life in lives)
    bed.looking.delete(f"{flow}:0")
    with pytest.raises(JobNotFound):
        await handle.result(timeout=5)


@pytest.mark.parametrize("upto", [0, 3])
async def test_lists_within_lists_and_lists_of_nothing_are_results_too(upto: int) -> None:
    with Bench([numbers, large]) as bench:
        inner = pipeline(numbers, each(large))
        handle = await bench.client.enqueue(pipeline(numbers, each(inner)), upto)
        await bench.drain()
        assert await handle.result(timeout=0) == [
            [str(one) * 10 for one in range(number)] for number in range(upto)
        ]
        assert not [key for key in bench._looking.keys("rota:flow:*") if bench._looking.pttl(key) < 0]


@pytest.mark.parametrize("field", ["stages", "state", "at", "0:total"])
async def test_a_pipeline_that_cannot_be_read_is_told_in_one_sentence(field: str) -> None:
    with Bench([numbers, large]) as bench:
        handle = await bench.client.enqueue(pipeline(numbers, each(large)), 3)
        bench._looking.hset(f"rota:flow:{handle.id}", field, "\N{SNOWMAN}")
        with pytest.raises(UnreadablePayload, match=f"what Redis holds of '{handle.id}' cannot be read"):
            await handle.status()


@pytest.mark.parametrize("field", ["state", "at", "0:total", "0:dead"])
async def test_so_is_a_batch(field: str) -> None:
    with Bench([numbers, large]) as bench:
        batch = await bench.client.batch([large.call(3)])
        bench._looking.hset(f"rota:flow:{batch.id}", field, "\N{SNOWMAN}")
        with pytest.raises(UnreadablePayload, match=f"what Redis holds of '{batch.id}' cannot be read"):
            await batch.status()


@pytest.mark.parametrize("levels", [1, 2])
async def test_large_lists_within_lists_lie_where_they_were_put_and_go_with_the_pipeline(
    levels: int,
) -> None:
    inner: Any = pipeline(numbers, each(wide))
    for _ in range(levels):
        inner = pipeline(numbers, each(inner))
    with Bench([numbers, wide]) as bench:
        handle = await bench.client.enqueue(inner, levels + 2)
        await bench.drain()
        found = await handle.result(timeout=0)
        lives = {key: bench._looking.pttl(key) for key in bench._looking.keys("rota:flow:*")}

    def expected(upto: int, level: int) -> Any:
        return [expected(one, level - 1) if level else str(one) * 100_000 for one in range(upto)]

    assert found == expected(levels + 2, levels)
    assert any(key.endswith(b":large") for key in lives)
    assert not [key for key, life in lives.items() if life < 0]
