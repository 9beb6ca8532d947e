"""A queue worked off on a clock that jumps: what is due, then what is due next, until nothing is left."""

import asyncio
import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from rota import EventType, JobInfo, Run, State, job
from rota.testing import Bench
from tests.unit.testing.jobs import Deps, cancels, child, flaky, parent, send, sleepy, snoozes

pytest_plugins = ["rota.testing"]


class TestDraining:
    async def test_a_job_runs_with_the_real_runner(self, bench: Bench, bench_deps: Deps) -> None:
        handle = await bench.client.enqueue(send, "a@x", copies=3)
        assert await bench.drain() == 1
        assert await handle.result() == "a@x x3"
        assert bench.results(send) == ["a@x x3"]
        assert bench_deps.sent == ["a@x"]

    async def test_back_off_takes_no_time_but_moves_the_clock(self, bench: Bench) -> None:
        start, real = bench.now, time.monotonic()
        await bench.client.enqueue(flaky, good_at=3)
        assert await bench.drain() == 3
        assert bench.results(flaky) == [3]
        assert bench.now - start == timedelta(seconds=120)
        assert time.monotonic() - real < 30

    async def test_errors_are_those_of_every_failed_attempt(self, bench: Bench) -> None:
        await bench.client.enqueue(flaky, good_at=9)
        await bench.drain()
        assert [error.message for error in bench.errors(flaky)] == ["try 1", "try 2", "try 3"]
        assert {error.type for error in bench.errors(flaky)} == {"ConnectionError"}
        assert bench.results(flaky) == []

    async def test_a_dead_letter_is_found_with_its_error_and_payload(self, bench: Bench) -> None:
        handle = await bench.client.enqueue(flaky, good_at=9)
        await bench.drain()
        (letter,) = bench.dead
        assert (letter.id, letter.queue, letter.task, letter.state) == (
            handle.id,
            "email",
            "flaky",
            State.DEAD,
        )
        assert (letter.attempts, letter.reason, letter.payload) == (3, "failed", {"good_at": 9})
        assert letter.error is not None
        assert letter.error.message == "try 3"
        assert [one.error.message for one in letter.failures] == ["try 1", "try 2"]
        assert replace(letter, error=None, failures=()) == await _as_the_client_sees(bench, letter.id)

    async def test_a_dead_letter_that_is_replayed_runs_again(self, bench: Bench) -> None:
        handle = await bench.client.enqueue(flaky, good_at=9)
        await bench.drain()
        await bench.client.retry("email", handle.id)
        assert bench.dead == []
        assert await bench.drain() == 3
        assert len(bench.dead) == 1
        assert len(bench.enqueued(flaky)) == 1

    async def test_delayed_jobs_run_in_the_order_of_their_time_over_all_queues(
        self, bench: Bench, bench_deps: Deps
    ) -> None:
        order = [("c", 30), ("a", 10), ("b", 20)]
        for name, delay in order:
            await bench.client.enqueue(send.options(delay=delay), name)
            await bench.client.enqueue(child.options(delay=delay + 5), delay)
        await bench.drain()
        done = [(event.task, event.detail) for event in bench.events if event.type is EventType.COMPLETED]
        assert [task for task, _ in done] == ["send", "child"] * 3
        assert bench_deps.sent == ["a", "b", "c"]
        assert bench.results(child) == [10, 20, 30]

    async def test_jobs_of_one_moment_run_in_the_order_in_which_they_were_enqueued(
        self, bench: Bench
    ) -> None:
        for number in range(20):
            await bench.client.enqueue(child, number)
        await bench.drain()
        assert bench.results(child) == list(range(20))

    async def test_what_jobs_enqueue_runs_too(self, bench: Bench, bench_deps: Any) -> None:
        bench_deps.client = bench.client
        await bench.client.enqueue(parent, children=3)
        assert await bench.drain() == 4
        assert bench.results(child) == [0, 1, 2]

    async def test_until_leaves_what_is_due_later(self, bench: Bench) -> None:
        await bench.client.enqueue(child.options(delay=60), 1)
        await bench.client.enqueue(child.options(delay=180), 2)
        moment = bench.now + timedelta(seconds=120)
        assert await bench.drain(until=moment) == 1
        assert bench.now == moment
        assert bench.results(child) == [1]
        await bench.drain()
        assert bench.results(child) == [1, 2]

    async def test_until_now_runs_only_what_is_due(self, bench: Bench) -> None:
        await bench.client.enqueue(child, 1)
        await bench.client.enqueue(child.options(delay=0.001), 2)
        await bench.drain(until=bench.now)
        assert bench.results(child) == [1]

    async def test_advance_makes_a_delayed_job_due(self, bench: Bench) -> None:
        await bench.client.enqueue(child.options(delay=60), 1)
        bench.advance(61)
        assert (await bench.client.counts("default"))[State.WAITING] == 1
        with pytest.raises(ValueError, match="forward only"):
            bench.advance(-1)

    async def test_a_job_for_a_point_in_time_runs_then(self, bench: Bench) -> None:
        moment = bench.now + timedelta(days=3)
        await bench.client.enqueue(child.options(at=moment), 1)
        await bench.drain()
        assert abs(bench.now - moment) < timedelta(milliseconds=2)

    async def test_an_endless_loop_fails_loudly_and_names_the_job(self, bench: Bench) -> None:
        await bench.client.enqueue(snoozes, times=10**6)
        with pytest.raises(AssertionError, match=r"ran 25 attempts.*snoozes 25 times"):
            await bench.drain(max_jobs=25)

    async def test_exactly_enough_attempts_are_enough(self, bench: Bench) -> None:
        await bench.client.enqueue(snoozes, times=2)
        assert await bench.drain(max_jobs=3) == 3
        assert bench.results(snoozes) == [1]

    async def test_jobs_that_the_bench_does_not_know_stay_where_they_are(self, bench: Bench) -> None:
        await bench.client.enqueue_by_name("email:stranger", {"x": 1})
        await bench.client.enqueue(send, "a@x")
        assert await bench.drain() == 1
        counts = await bench.client.counts("email")
        assert counts[State.WAITING] + counts[State.DELAYED] == 1
        assert bench.dead == []

    async def test_a_job_that_a_stock_worker_holds_does_not_stop_the_others(self, bench: Bench) -> None:
        held = await bench.client.enqueue(child, 1)
        await bench.redis.set(f"arq:in-progress:{held.id}", b"1")
        await bench.client.enqueue(child, 2)
        assert await bench.drain() == 1
        assert bench.results(child) == [2]

    async def test_a_job_of_a_stock_client_runs(self, bench: Bench) -> None:
        await bench.redis.enqueue_job("child", 7, _queue_name="arq:queue:default")
        bench.assert_enqueued(child, number=7)
        await bench.drain()
        assert bench.results(child) == [7]
        assert len(bench.enqueued(child)) == 1

    async def test_two_drains_at_once_are_refused(self, bench: Bench) -> None:
        await bench.client.enqueue(sleepy, 1)
        with pytest.raises(RuntimeError, match="draining already"):
            await asyncio.gather(bench.drain(), bench.drain())

    async def test_a_drain_that_is_cancelled_puts_the_job_back_unspent(self, bench: Bench) -> None:
        started = asyncio.Event()

        @job
        async def waits(run: Run) -> None:
            started.set()
            await asyncio.to_thread(time.sleep, 0.2)
            await asyncio.Event().wait()

        with Bench([waits]) as own:
            handle = await own.client.enqueue(waits)
            draining = asyncio.create_task(own.drain())
            await started.wait()
            draining.cancel()
            with pytest.raises(asyncio.CancelledError):
                await draining
            assert [event.type for event in own.events][-1] is EventType.INTERRUPTED
            assert (await handle.status()).attempts == 0
            assert (await handle.status()).state is State.WAITING


async def _as_the_client_sees(bench: Bench, job_id: str) -> JobInfo:
    # Exceptions compare by identity.
    seen = await bench.client.status("email", job_id)
    return replace(seen, error=None, failures=())


class TestCancelling:
    async def test_a_waiting_job_never_runs(self, bench: Bench) -> None:
        handle = await bench.client.enqueue(child, 1)
        assert await handle.cancel() == "cancelled"
        assert await bench.drain() == 0
        assert bench.events[-1].type is EventType.CANCELLED

    async def test_a_running_job_hears_of_it_before_time_passes(self) -> None:
        @job(timeout=300)
        async def cancels_itself(run: Run) -> None:
            assert await run.deps.cancel("default", run.id) == "requested"
            await asyncio.sleep(200)

        with Bench([cancels_itself]) as bench:
            bench._deps = bench.client
            start = bench.now
            handle = await bench.client.enqueue(cancels_itself)
            await bench.drain()
            assert (await handle.status()).state is State.CANCELLED
            assert bench.now == start

    async def test_a_handler_may_cancel_its_job(self, bench: Bench) -> None:
        await bench.client.enqueue(cancels)
        await bench.drain()
        assert (bench.events[-1].type, bench.events[-1].reason) == (EventType.CANCELLED, "not wanted")
        assert bench.errors(cancels) == []
