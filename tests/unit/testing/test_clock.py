"""The clock of a bench: whatever the client and the worker write down has its time."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from rota import Run, State, job, pipeline
from rota.testing import Bench

START = datetime(2020, 1, 1, tzinfo=UTC)


@job
async def send(run: Run) -> None: ...


@job
async def answer(run: Run, sent: None) -> int:
    return 42


@pytest.fixture
def bench() -> Iterator[Bench]:
    with Bench([send, answer], start=START) as bench:
        bench.advance(60)
        yield bench


async def test_a_job_is_enqueued_at_the_bench_s_time(bench: Bench) -> None:
    handle = await bench.client.enqueue(send)
    assert (await handle.status()).enqueued_at == START + timedelta(minutes=1)


async def test_a_later_stage_of_a_pipeline_is_enqueued_at_the_bench_s_time(bench: Bench) -> None:
    await bench.client.enqueue(pipeline(send, answer))
    await bench.drain()
    (last,) = bench.enqueued(answer)
    assert last.at == START + timedelta(minutes=1)


async def test_a_job_of_a_batch_waits_for_its_delay_from_the_bench_s_time(bench: Bench) -> None:
    await bench.client.batch([send.options(delay=5).call()])
    (member,) = bench.enqueued(send)
    assert (member.at, member.due) == (START + timedelta(minutes=1), START + timedelta(minutes=1, seconds=5))


async def test_a_job_that_is_cancelled_while_it_waits_is_over_at_the_bench_s_time(bench: Bench) -> None:
    handle = await bench.client.enqueue(send)
    assert await handle.cancel() == "cancelled"
    info = await handle.status()
    assert (info.state, info.finished_at) == (State.CANCELLED, START + timedelta(minutes=1))


async def test_a_queue_is_paused_at_the_bench_s_time(bench: Bench) -> None:
    await bench.client.pause("default")
    assert await bench.client.paused_since("default") == START + timedelta(minutes=1)


async def test_a_bench_keeps_its_time_when_one_that_was_opened_before_it_is_closed() -> None:
    first, second = Bench([send]), Bench([send], start=START)
    first.__enter__()
    with second:
        first.__exit__()
        handle = await second.client.enqueue(send.options(delay=60))
        assert (await handle.status()).due_at == START + timedelta(minutes=1)
