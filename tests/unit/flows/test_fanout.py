"""What the engine's own jobs do for a pipeline: items that do not fit, limits by item, jobs whose flow is over."""

from collections.abc import Iterator
from typing import Any

import pytest

from rota import (
    Job,
    JobCancelled,
    JobExists,
    JobFailed,
    NotReplayed,
    Run,
    at_most,
    each,
    job,
    none,
    per_second,
    pipeline,
)
from rota.testing import Bench


@job
async def numbers(run: Run, upto: int) -> list[int]:
    return list(range(upto))


@job
async def mapping(run: Run) -> dict[str, int]:
    return {"one": 1}


@job(max_attempts=1)
async def text(run: Run, number: int) -> str:
    if run.deps and number in run.deps:
        raise ValueError("not this one")
    return "x" * number


@job(max_attempts=2, backoff=none())
async def total(run: Run, texts: list[str]) -> int:
    return sum(map(len, texts))


@job
async def of_dates(run: Run, days: list[bool]) -> None: ...


@job(limit=per_second(1, key="number"))
async def slow(run: Run, number: int) -> int:
    return number


@job(concurrency=at_most(1, key="numbers"))
async def alone(run: Run, numbers: list[int]) -> int:
    return len(numbers)


@job
async def halve(run: Run, numbers: list[int]) -> list[int]:
    return [number % 2 for number in numbers]


@job
async def long(run: Run) -> list[str]:
    return ["short", "x" * 2000]


@job
async def of_length(run: Run, text: str) -> int:
    return len(text)


JOBS: list[Job[Any, Any]] = [numbers, mapping, text, total, of_dates, slow, alone, halve, long, of_length]


@pytest.fixture
def deadly() -> set[int]:
    """Return the numbers that a job dies of; a test changes them."""
    return set()


@pytest.fixture
def bench(deadly: set[int]) -> Iterator[Bench]:
    with Bench(JOBS, deps=deadly) as bench:
        yield bench


async def failure(bench: Bench, handle: object) -> JobFailed:
    await bench.drain()
    with pytest.raises(JobFailed) as failed:
        await handle.result(timeout=0)  # type: ignore[attr-defined]
    return failed.value


async def test_each_after_a_stage_that_returned_no_list_says_so(bench: Bench) -> None:
    whole = pipeline(mapping, each(text))  # type: ignore[misc]
    error = await failure(bench, await bench.client.enqueue(whole))
    assert (
        "wrong arguments of job text: each needs a list, and the stage before it returned an object"
        in str(error)
    )
    (letter,) = bench.dead
    assert (letter.task, letter.reason) == ("_each", "invalid")


async def test_a_result_that_the_next_stage_does_not_take_ends_it_with_that_error(bench: Bench) -> None:
    whole = pipeline(numbers, of_dates)  # type: ignore[misc]
    error = await failure(bench, await bench.client.enqueue(whole, 3))
    assert "wrong arguments of job of_dates: days[2]: Input should be a valid boolean" in str(error)
    assert [(letter.task, letter.reason) for letter in bench.dead] == [("of_dates", "invalid")]


async def test_an_item_over_the_payload_s_limit_is_named() -> None:
    with Bench(JOBS, deps=set(), settings={"payload_limit": 1024}) as small:
        handle = await small.client.enqueue(pipeline(long, each(of_length)))
        await small.drain()
        with pytest.raises(
            JobFailed, match=r"item 1: has \d+ bytes and the limit is 1024; pass on a reference"
        ):
            await handle.result(timeout=0)


async def test_items_wait_for_the_limit_that_is_counted_by_them(bench: Bench) -> None:
    """Three of each number: the third waits two seconds, and the two numbers do not wait for each other."""
    start = bench.now
    handle = await bench.client.enqueue(pipeline(numbers, halve, each(slow), alone), 6)
    await bench.drain()
    assert await handle.result(timeout=0) == 6
    assert 1.9 <= (bench.now - start).total_seconds() <= 2.5


async def test_a_stage_s_own_options_are_its_own(bench: Bench, deadly: set[int]) -> None:
    whole = pipeline(numbers.options(delay=60), each(text.options(delay=30)), total)
    start = bench.now
    handle = await bench.client.enqueue(whole.options(delay=10), 3)
    await bench.drain()
    assert await handle.result(timeout=0) == 3
    assert 39.9 <= (bench.now - start).total_seconds() <= 40.1


async def test_a_letter_that_ended_a_pipeline_takes_it_up_again(bench: Bench, deadly: set[int]) -> None:
    deadly.update({2, 3})
    handle = await bench.client.enqueue(pipeline(numbers, each(text), total), 5)
    error = await failure(bench, handle)
    assert error.id == f"{handle.id}.1.2"
    assert len(bench.dead) == 2

    deadly.clear()
    await bench.client.retry("default", f"{handle.id}.1.2")
    await bench.drain()
    assert await handle.result(timeout=0) == 10
    assert bench.dead == [], "the other letter went with its job"
    assert bench.results(text).count("x" * 4) == 1, "what was done stays done"


async def test_a_letter_whose_pipeline_went_on_without_it_runs_by_itself(
    bench: Bench, deadly: set[int]
) -> None:
    deadly.add(1)
    whole = pipeline(numbers, each(text, on_failure="continue"))
    handle = await bench.client.enqueue(whole, 3)
    await bench.drain()
    assert await handle.result(timeout=0) == ["", None, "xx"]

    deadly.clear()
    await bench.client.retry("default", f"{handle.id}.1.1")
    await bench.drain()
    assert bench.results(text)[-1] == "x"
    assert await handle.result(timeout=0) == ["", None, "xx"]


async def test_a_stage_s_letter_is_of_no_use_without_its_pipeline(bench: Bench) -> None:
    whole = pipeline(numbers, of_dates)  # type: ignore[misc]
    error = await failure(bench, await bench.client.enqueue(whole.options(id="mine"), 3))
    bench.advance(10)
    for key in await bench.client.redis.keys("rota:flow:*"):
        await bench.client.redis.delete(key)
    assert error.id
    with pytest.raises(NotReplayed, match="its input is gone: enqueue the pipeline again"):
        await bench.client.retry("default", error.id)
    assert len(bench.dead) == 1


async def test_an_id_that_a_run_holds_is_refused_to_another(bench: Bench) -> None:
    whole = pipeline(numbers, each(text), total).options(id="mine")
    first = await bench.client.enqueue(whole, 1)
    with pytest.raises(JobExists, match="there is a job with the id 'mine' already"):
        await bench.client.enqueue(whole, 2)
    await bench.drain()
    again = await bench.client.enqueue(whole, 3)
    await bench.drain()
    assert (await first.result(timeout=0), await again.result(timeout=0)) == (0, 3)


async def test_no_stage_starts_for_a_flow_that_is_over(bench: Bench) -> None:
    handle = await bench.client.enqueue(pipeline(numbers, each(text), total), 3)
    assert await handle.cancel() == "cancelled"
    assert await bench.drain() == 0
    with pytest.raises(JobCancelled):
        await handle.result(timeout=0)


@job(max_attempts=1)
async def resuming(run: Run, number: int) -> int:
    if run.last_checkpoint is None:
        run.checkpoint(number)
        raise ValueError("later")
    return int(run.last_checkpoint) + 100


async def test_what_an_item_had_saved_is_there_when_its_pipeline_goes_on() -> None:
    with Bench([numbers, resuming]) as bench:
        handle = await bench.client.enqueue(pipeline(numbers, each(resuming)), 1)
        await bench.drain()
        assert await handle.retry() == "retried"
        await bench.drain()
        assert await handle.result(timeout=0) == [100]
