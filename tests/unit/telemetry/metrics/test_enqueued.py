"""What a process counts as enqueued: each job once, by whoever puts it."""

from collections.abc import Iterator
from typing import Any

import pytest

from rota import JobFailed, PayloadTooLarge, each, pipeline
from rota.telemetry.metrics.enqueued import ENQUEUED
from rota.telemetry.metrics.tally import Labels, Names
from rota.testing import Bench
from tests.unit.flows.flow_jobs import double, note, split, total

SPLIT, DOUBLE, TOTAL, NOTE = (
    ("default", "split"),
    ("other", "double"),
    ("default", "total"),
    ("default", "note"),
)
OTHER, EACH, OTHER_EACH = ("other", "other"), ("default", "_each"), ("other", "_each")


class Count:
    """What was counted since it was last asked."""

    def __init__(self) -> None:
        self._before = dict(ENQUEUED.read())

    @property
    def more(self) -> dict[Labels, float]:
        now = dict(ENQUEUED.read())
        more = {labels: number - self._before.get(labels, 0) for labels, number in now.items()}
        self._before = now
        return {labels: number for labels, number in more.items() if number}


@pytest.fixture
def deadly() -> set[int]:
    return set()


@pytest.fixture
def bench(deadly: set[int], monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    names = Names([SPLIT, DOUBLE, TOTAL, NOTE, EACH, OTHER_EACH])
    for module in ("flows.items", "flows.flows", "client.enqueue"):
        monkeypatch.setattr(f"rota.{module}.JOBS", names)
    with Bench([split, double, total, note], deps=deadly) as bench:
        yield bench


@pytest.fixture
def count() -> Count:
    return Count()


async def test_a_pipeline_s_first_job_is_counted_by_the_client_and_its_items_by_the_worker(
    bench: Bench, count: Count
) -> None:
    await bench.client.enqueue(pipeline(split, each(double), total), 3)
    assert count.more == {SPLIT: 1}
    await bench.drain()
    assert count.more == {DOUBLE: 3}
    await bench.client.enqueue(each(double), [1, 2])
    assert count.more == {OTHER_EACH: 1}


async def test_of_items_that_are_pipelines_the_first_jobs_are_counted(bench: Bench, count: Count) -> None:
    await bench.client.enqueue(each(pipeline(split, total)), [1, 2])
    await bench.drain()
    assert count.more == {EACH: 1, SPLIT: 2}
    await bench.client.enqueue(each(each(double)), [[1], [2, 3]])
    await bench.drain()
    assert count.more == {OTHER_EACH: 1 + 2, DOUBLE: 3}


async def test_what_is_put_in_portions_is_counted_once(
    bench: Bench, count: Count, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rota.flows.plan.PORTION", 2)
    await bench.client.batch([double.call(1), total.call([1]), double.call(2)], on_finished=note.call("over"))
    await bench.client.enqueue(each(double), list(range(5)))
    await bench.drain()
    assert count.more == {DOUBLE: 2 + 5, TOTAL: 1, OTHER_EACH: 1}


async def test_an_empty_batch_puts_its_callback_at_once(bench: Bench, count: Count) -> None:
    await bench.client.batch([], on_finished=note.call("over"), on_died=note.call("dead"))
    assert count.more == {NOTE: 1}


async def test_what_is_there_already_is_not_counted_again(bench: Bench, count: Count) -> None:
    whole: Any = pipeline(split, total).options(id="mine", on_taken="existing")
    for _ in range(2):
        await bench.client.enqueue(whole, 1)
        await bench.client.batch([double.call(1)], id="ours")
    assert count.more == {SPLIT: 1, DOUBLE: 1}


async def test_whoever_goes_on_with_a_batch_counts_what_it_puts(
    bench: Bench, count: Count, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = [double.call(number) for number in range(5)]
    monkeypatch.setattr("rota.flows.plan.PORTION", 2)
    with monkeypatch.context() as cut_off:
        cut_off.setattr("rota.flows.batches._put_from", _ends)
        with pytest.raises(KeyboardInterrupt):
            await bench.client.batch(calls, id="ours")
    assert count.more == {DOUBLE: 2}
    await bench.client.batch(calls, id="ours")
    assert count.more == {DOUBLE: 3}
    await bench.drain()
    assert len(bench.results(double)) == 5


async def _ends(*_: Any) -> None:
    raise KeyboardInterrupt


async def test_what_is_refused_is_not_counted(bench: Bench, count: Count) -> None:
    with pytest.raises(PayloadTooLarge):
        await bench.client.batch([note.call("x" * 300_000)])
    assert count.more == {}


async def test_a_retry_counts_what_is_put_again(bench: Bench, deadly: set[int], count: Count) -> None:
    deadly.add(1)
    handle = await bench.client.enqueue(pipeline(split, each(double)), 3)
    await bench.drain()
    with pytest.raises(JobFailed):
        await handle.result(timeout=0)
    deadly.clear()
    assert count.more == {SPLIT: 1, DOUBLE: 3}
    assert (await handle.retry(), await handle.retry()) == ("retried", "refused")
    await bench.drain()
    assert await handle.result(timeout=0) == [0, 2, 4]
    assert count.more == {OTHER_EACH: 1, DOUBLE: 1}


async def test_a_worker_that_does_not_know_a_job_counts_it_among_others(
    bench: Bench, count: Count, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rota.flows.items.JOBS", Names([("other", "known")]))
    await bench.client.enqueue(each(double), [1])
    await bench.drain()
    assert count.more == {OTHER_EACH: 1, OTHER: 1}
