"""Batches on a bench: what they refuse, what they count, and what they call back."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from rota import BatchInfo, Client, JobNotFound, PayloadTooLarge, Run, State, job, pipeline
from rota.process.clock import Clock
from rota.testing import Bench


@job(max_attempts=1)
async def work(run: Run, number: int, text: str = "") -> int:
    if number < 0:
        raise ValueError("less than nothing")
    return number


@job
async def over(run: Run, word: str) -> tuple[str, int]:
    assert run.batch
    return word, run.batch.ended


@pytest.fixture
def bench() -> Iterator[Bench]:
    with Bench([work, over]) as bench:
        yield bench


async def test_a_batch_takes_calls_of_jobs_without_ids_of_their_own(bench: Bench) -> None:
    anything: Any = bench.client.batch
    with pytest.raises(TypeError, match=r"cannot be in a batch; it takes what `job.call\(...\)` makes"):
        await anything([pipeline(work).call(1)])
    with pytest.raises(TypeError, match="job work has an id; ids in a batch are the batch's own"):
        await bench.client.batch([work.options(id="x").call(1)])
    with pytest.raises(ValueError, match="batch name 'My batch' is not allowed"):
        await bench.client.batch([], name="My batch")
    assert bench.enqueued() == []


async def test_a_payload_that_is_too_large_is_refused_before_anything_is_put(bench: Bench) -> None:
    with pytest.raises(PayloadTooLarge):
        await bench.client.batch([work.call(1), work.call(2, "x" * 300_000)])
    assert bench.enqueued() == []


async def test_an_id_stands_for_one_set_of_calls(bench: Bench) -> None:
    await bench.client.batch([work.call(1)], id="mine")
    with pytest.raises(ValueError, match="begun with 1 jobs, and now there are 2; use another id"):
        await bench.client.batch([work.call(1), work.call(2)], id="mine")


async def test_only_the_first_hundred_dead_are_named(bench: Bench) -> None:
    batch = await bench.client.batch([work.call(-1) for _ in range(120)], on_died=over.call("dead"))
    await bench.drain()
    info = await batch.status()
    assert (info.dead, len(info.dead_ids)) == (120, 100)
    assert info.dead_ids[:2] == (batch.handles[0].id, batch.handles[1].id)
    assert len(bench.results(over)) == 1


async def test_jobs_of_a_batch_keep_their_options(bench: Bench) -> None:
    start = bench.now
    batch = await bench.client.batch([work.options(delay=60).call(1), work.call(2)])
    await bench.drain(until=bench.now)
    assert (await batch.status()).completed == 1
    await bench.drain()
    assert (await batch.status()).state is State.COMPLETED
    assert 59 <= (bench.now - start).total_seconds() <= 61


async def test_a_delay_counts_from_the_clock_that_a_test_moves() -> None:
    with Bench([work, over], start=datetime(2020, 1, 1, tzinfo=UTC)) as bench:
        batch = await bench.client.batch([work.options(delay=60).call(1)])
        await bench.drain()
        assert bench.now == datetime(2020, 1, 1, 0, 1, tzinfo=UTC)
        assert (await batch.status()).completed == 1


@pytest.mark.parametrize("hours", [-1, 1])
@pytest.mark.parametrize("kind", ["job", "batch", "pipeline"])
async def test_a_delay_does_not_depend_on_the_clock_of_the_client(
    bench: Bench, kind: str, hours: int
) -> None:
    start = bench.now
    client = Client(bench.redis, bench.settings, clock=Clock(time=lambda: start.timestamp() + 3600 * hours))
    later = work.options(delay=60)
    if kind == "batch":
        await client.batch([later.call(1)])
    else:
        await client.enqueue(later if kind == "job" else pipeline(later, work), 1)
    await bench.drain()
    assert bench.results(work)
    assert 59 <= (bench.now - start).total_seconds() <= 61


async def test_a_dead_one_that_is_brought_back_runs_by_itself(bench: Bench) -> None:
    batch = await bench.client.batch([work.call(-1)], on_finished=over.call("once"))
    await bench.drain()
    await bench.client.retry("default", batch.handles[0].id)
    await bench.drain()
    info = await batch.status()
    assert (info.dead, info.completed) == (1, 0)
    assert bench.results(over) == [("once", 1)]


async def test_a_batch_is_forgotten_when_its_record_is_old(bench: Bench) -> None:
    batch = await bench.client.batch([work.call(1)], id="mine")
    await bench.drain()
    found = await bench.client.find_batch("mine").status()
    assert isinstance(found, BatchInfo)
    assert found.id == batch.id
    bench.advance(3601)
    with pytest.raises(JobNotFound):
        await batch.status()
    assert (await bench.client.batch([work.call(1)], id="mine")).created
