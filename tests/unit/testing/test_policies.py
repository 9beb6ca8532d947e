"""A bench keeps limits, priorities and uniqueness as workers do: its scripts are theirs."""

from datetime import timedelta

import pytest

from rota import Run, job, per_second, throttle
from rota.testing import Bench


@job(limit=per_second(1))
async def limited(run: Run, number: int) -> int:
    return number


@job(unique=throttle(60))
async def rare(run: Run) -> str:
    return "ran"


@pytest.fixture
def bench_jobs() -> list[object]:
    return [limited, rare]


async def test_a_limited_job_that_was_enqueued_by_name_waits_for_its_turn_too(bench: Bench) -> None:
    began = bench.now
    for number in range(3):
        await bench.client.enqueue_by_name("default:limited", {"number": number})
    await bench.drain()
    assert bench.results(limited) == [0, 1, 2]
    assert timedelta(seconds=1.9) < bench.now - began < timedelta(seconds=2.2)


async def test_what_is_rare_may_be_seen_to_be(bench: Bench) -> None:
    await bench.client.enqueue(rare)
    await bench.client.enqueue(rare)
    await bench.drain()
    assert bench.results(rare) == ["ran"]
    assert len(bench.enqueued(rare)) == 1
    await bench.drain(until=bench.now + timedelta(seconds=61))
    await bench.client.enqueue(rare)
    await bench.drain()
    assert bench.results(rare) == ["ran", "ran"]
