"""What a process counts as enqueued: each job once, in the process that puts it."""

import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from rota import JobFailed, PayloadTooLarge, each, pipeline
from rota.seams import Outgoing
from rota.telemetry.metrics.enqueued import ENQUEUED, EnqueueCounter, Names
from rota.telemetry.metrics.tally import OTHER as UNKNOWN
from rota.telemetry.metrics.tally import Labels
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
    """The jobs that were counted since the last look."""

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
    monkeypatch.setattr(ENQUEUED, "names", names)
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


async def test_a_caller_that_goes_on_with_a_batch_counts_what_it_puts(
    bench: Bench, count: Count, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = [double.call(number) for number in range(5)]
    monkeypatch.setattr("rota.flows.plan.PORTION", 2)
    with monkeypatch.context() as cut_off:
        cut_off.setattr("rota.flows.members.NewBatch._put_rest", _ends)
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
    monkeypatch.setattr(ENQUEUED, "names", Names([("other", "known")]))
    await bench.client.enqueue(each(double), [1])
    await bench.drain()
    assert count.more == {OTHER_EACH: 1, OTHER: 1}


async def test_a_job_that_is_enqueued_by_its_name_counts_under_it_where_the_name_is_known(
    bench: Bench, count: Count
) -> None:
    await bench.client.enqueue_by_name("default:note", {"text": "a"})
    await bench.client.enqueue_by_name("default:made-up")
    await bench.client.enqueue_by_name("made-up:made-up")
    assert count.more == {NOTE: 1, ("default", UNKNOWN): 1, (UNKNOWN, UNKNOWN): 1}


async def test_of_many_jobs_only_those_that_were_created_are_counted(bench: Bench, count: Count) -> None:
    taken = total.options(id="one", on_taken="existing")
    await bench.client.enqueue(taken, [1])
    assert count.more == {TOTAL: 1}
    await bench.client.enqueue_many([taken.call([1]), total.call([2]), double.call(3)])
    assert count.more == {TOTAL: 1, DOUBLE: 1}


def test_threads_that_share_a_counter_lose_no_count() -> None:
    counter = EnqueueCounter()
    job = Outgoing("email", "send", "1", b"{}")
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def count() -> None:
        for _ in range(5000):
            counter.created([job])

    try:
        threads = [threading.Thread(target=count) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert counter.read() == [(("email", "send"), 20_000)]


def test_only_known_names_become_labels() -> None:
    names = Names([("email", "send")])
    assert names.label("email", "send") == ("email", "send")
    assert {names.label("email", f"made-up-{number}") for number in range(10_000)} == {("email", UNKNOWN)}
    assert {names.label(f"made-up-{number}", "send") for number in range(10_000)} == {(UNKNOWN, UNKNOWN)}
    names.learn([("reports", "build")])
    assert names.label("reports", "build") == ("reports", "build")
    assert names.label("email", "send") == ("email", "send")
