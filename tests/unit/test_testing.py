"""The test kit, used as its users do: a bench with a few jobs, drained on a clock that jumps."""

import asyncio
import re
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import rota
from rota import Cancel, EventType, InvalidPayload, JobInfo, Retry, Run, Snooze, State, fixed, job
from rota.errors import DiscoveryFailed, InvalidResult, JobClash, JobTimeout
from rota.event import Event
from rota.testing import Bench

pytest_plugins = ["rota.testing", "pytester"]


@dataclass
class Deps:
    """What the handlers below are given."""

    sent: list[str]


@job(queue="email", max_attempts=3, timeout=30)
async def send(run: Run, to: str, *, copies: int = 1, on: datetime | None = None) -> str:
    run.deps.sent.append(to)
    run.progress(50, "half")
    return f"{to} x{copies}"


@job(queue="email", max_attempts=3, backoff=fixed(60))
async def flaky(run: Run, good_at: int) -> int:
    if run.attempt < good_at:
        raise ConnectionError(f"try {run.attempt}")
    return run.attempt


@job(timeout=5, max_attempts=1)
async def sleepy(run: Run, seconds: float) -> float:
    started = asyncio.get_running_loop().time()
    await asyncio.sleep(seconds)
    return round(asyncio.get_running_loop().time() - started, 3)


@job
def threaded(run: Run, seconds: float) -> str:
    time.sleep(seconds)
    return threading.current_thread().name


@job(process=True)
def heavy(run: Run, number: int) -> int:
    run.progress(10, "in a process")
    assert run.deps is None
    return number * number


@job
async def parent(run: Run, children: int) -> None:
    for number in range(children):
        await run.deps.client.enqueue(child.options(delay=number * 10), number)


@job
async def child(run: Run, number: int) -> int:
    return number


@job
async def cancels(run: Run) -> None:
    raise Cancel("not wanted")


@job
async def snoozes(run: Run, times: int) -> int:
    if run.deps.sent.append("z") or len(run.deps.sent) <= times:
        raise Snooze(30)
    return run.attempt


JOBS = [send, flaky, sleepy, threaded, heavy, parent, child, cancels, snoozes]


@pytest.fixture
def bench_jobs() -> Any:
    return JOBS


@pytest.fixture
def bench_deps() -> Deps:
    return Deps([])


class TestRunningAHandlerAlone:
    async def test_it_gets_its_dependencies_and_returns_its_result(
        self, bench: Bench, bench_deps: Deps
    ) -> None:
        assert await bench.run(send, "a@x", copies=2) == "a@x x2"
        assert bench_deps.sent == ["a@x"]

    async def test_wrong_arguments_are_refused_as_at_enqueue(self, bench: Bench) -> None:
        with pytest.raises(InvalidPayload, match="copies"):
            await bench.run(send, "a@x", copies="many")  # type: ignore[arg-type]

    async def test_a_wrong_result_is_refused(self, bench: Bench) -> None:
        @job
        async def wrong(run: Run) -> int:
            return "text"  # type: ignore[return-value]

        with pytest.raises(InvalidResult):
            await bench.run(wrong)

    @pytest.mark.parametrize(
        "error", [ValueError("x"), Retry(5), Cancel("no"), Snooze(1)], ids=lambda error: type(error).__name__
    )
    async def test_it_raises_what_the_handler_raises(self, bench: Bench, error: Exception) -> None:
        @job
        async def fails(run: Run) -> None:
            raise error

        with pytest.raises(type(error)) as caught:
            await bench.run(fails)
        assert caught.value is error

    async def test_its_progress_is_recorded_and_nothing_else(self, bench: Bench) -> None:
        await bench.run(send, "a@x")
        (event,) = bench.events
        assert (event.type, event.task, event.percent, event.message) == (
            EventType.PROGRESS,
            "send",
            50.0,
            "half",
        )
        assert await bench.redis.keys("*") == []

    async def test_its_timeout_takes_no_time(self, bench: Bench) -> None:
        with pytest.raises(JobTimeout, match="5 s"):
            await bench.run(sleepy, 3600)

    async def test_options_may_give_it_more_time(self, bench: Bench) -> None:
        assert await bench.run(sleepy.options(timeout=4000), 3600) == 3600

    async def test_plain_functions_run_in_a_thread_and_process_jobs_without_dependencies(
        self, bench: Bench
    ) -> None:
        assert (await bench.run(threaded, 0.0)).startswith("rota-job")
        assert await bench.run(heavy, 3) == 9

    async def test_several_may_run_at_once(self, bench: Bench) -> None:
        assert list(await asyncio.gather(bench.run(sleepy, 4), bench.run(sleepy, 2))) == [4, 2]


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
        assert replace(letter, error=None) == await _as_the_client_sees(bench, letter.id)

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
    # Exceptions compare by identity, and when it was enqueued is in the payload's envelope alone.
    return replace(await bench.client.status("email", job_id), error=None, enqueued_at=None)


class TestTime:
    async def test_a_sleep_takes_no_time_and_moves_the_clock(self, bench: Bench) -> None:
        start = bench.now
        await bench.client.enqueue(sleepy.options(timeout=7200), 3600)
        await bench.drain()
        assert bench.results(sleepy) == [3600]
        assert bench.now - start == timedelta(hours=1)

    async def test_a_timeout_comes_in_its_time(self, bench: Bench) -> None:
        start = bench.now
        await bench.client.enqueue(sleepy, 3600)
        await bench.drain()
        assert [letter.reason for letter in bench.dead] == ["timeout"]
        assert bench.now - start == timedelta(seconds=5)

    async def test_a_handler_that_waits_for_ever_times_out_at_once(self) -> None:
        @job(timeout=300, max_attempts=1)
        async def stuck(run: Run) -> None:
            await asyncio.Event().wait()

        with Bench([stuck]) as bench:
            await bench.client.enqueue(stuck)
            await asyncio.wait_for(bench.drain(), 60)
            assert [error.type for error in bench.errors(stuck)] == ["rota.errors.JobTimeout"]

    async def test_a_test_s_own_timeout_is_real(self, bench: Bench) -> None:
        await bench.client.enqueue(sleepy.options(timeout=7200), 3600)
        async with asyncio.timeout(30):
            await bench.drain()
        assert bench.results(sleepy) == [3600]

    async def test_durations_are_told_in_the_bench_s_time(self, bench: Bench) -> None:
        await bench.client.enqueue(sleepy, 4)
        await bench.drain()
        (event,) = [event for event in bench.events if event.type is EventType.COMPLETED]
        assert event.duration == pytest.approx(4)

    async def test_sleeps_of_one_handler_s_tasks_end_in_order(self) -> None:
        ends: list[int] = []

        @job(timeout=100)
        async def forks(run: Run) -> None:
            async def wait(seconds: int) -> None:
                await asyncio.sleep(seconds)
                ends.append(seconds)

            await asyncio.gather(wait(30), wait(10), wait(20))

        with Bench([forks]) as bench:
            start = bench.now
            await bench.run(forks)
            assert ends == [10, 20, 30]
            assert bench.now - start == timedelta(seconds=30)

    async def test_a_cancelled_timer_does_not_move_the_clock(self) -> None:
        @job
        async def quick(run: Run) -> str:
            async with asyncio.timeout(50):
                return "done"

        with Bench([quick]) as bench:
            start = bench.now
            await bench.run(quick)
            assert bench.now == start

    async def test_while_a_thread_works_time_runs_as_the_machine_s_does(self) -> None:
        @job(timeout=100)
        async def waits(run: Run) -> str:
            async with asyncio.timeout(60):
                await asyncio.to_thread(time.sleep, 0.3)
            return "in time"

        with Bench([waits]) as bench:
            start = bench.now
            assert await bench.run(waits) == "in time"
            assert timedelta(seconds=0.25) < bench.now - start < timedelta(seconds=30)

    async def test_an_answer_from_a_socket_is_waited_for(self) -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readline()
            await asyncio.sleep(0.3)
            writer.write(b"pong\n")
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)

        @job(timeout=100)
        async def asks(run: Run) -> str:
            host, port = server.sockets[0].getsockname()
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(b"ping\n")
            async with asyncio.timeout(60):
                line = await reader.readline()
            writer.close()
            return line.decode().strip()

        async with server:
            with Bench([asks], patience=30) as bench:
                assert await bench.run(asks) == "pong"

    async def test_a_socket_that_stays_silent_does_not_hold_time_up(self) -> None:
        @job(timeout=100)
        async def naps(run: Run) -> None:
            await asyncio.sleep(50)

        async with await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0):
            with Bench([naps], patience=0.1) as bench:
                real = time.monotonic()
                await bench.run(naps)
                assert time.monotonic() - real < 30

    async def test_what_a_handler_leaves_running_goes_on_in_real_time(self) -> None:
        ended: list[str] = []

        @job
        async def leaves(run: Run) -> None:
            async def later() -> None:
                await asyncio.sleep(0.05)
                ended.append("later")

            run.deps.append(asyncio.create_task(later()))

        tasks: list[asyncio.Task[None]] = []
        with Bench([leaves], deps=tasks) as bench:
            await bench.run(leaves)
            await asyncio.wait_for(tasks[0], 30)
            assert ended == ["later"]

    async def test_the_loop_is_left_as_it_was(self, bench: Bench) -> None:
        loop: Any = asyncio.get_running_loop()
        await bench.client.enqueue(sleepy, 1)
        await bench.drain()
        own = {"time", "call_at", "run_in_executor", "select"}
        assert not own & set(vars(loop))
        assert not own & set(vars(loop._selector))

    async def test_the_clock_may_start_anywhere(self) -> None:
        new_year = datetime(2031, 1, 1, tzinfo=UTC)
        with Bench([child], start=new_year) as bench:
            await bench.client.enqueue(child, 1)
            await bench.drain()
            (done,) = bench.enqueued(child)
            assert done.at == done.due == bench.now == new_year

    async def test_a_moment_without_a_time_zone_is_refused(self, bench: Bench) -> None:
        naive = datetime(2031, 1, 1)  # noqa: DTZ001 - that is the point
        with pytest.raises(ValueError, match="no time zone"):
            Bench([child], start=naive)
        with pytest.raises(ValueError, match="no time zone"):
            await bench.drain(until=naive)
        assert await bench.drain() == 0

    async def test_a_thread_that_does_not_end_is_left_behind_and_later_sleeps_take_no_time(self) -> None:
        release = threading.Event()

        @job(timeout=0.1, max_attempts=1)
        def stuck(run: Run) -> None:
            release.wait(60)

        with Bench([stuck, sleepy]) as bench:
            try:
                await bench.client.enqueue(stuck)
                await bench.client.enqueue(sleepy.options(timeout=7200), 3600)
                await asyncio.wait_for(bench.drain(), 60)
                assert [letter.reason for letter in bench.dead] == ["timeout"]
                assert bench.results(sleepy) == [3600]
            finally:
                release.set()

    async def test_after_it_the_clocks_are_real_again(self) -> None:
        from fakeredis import FakeRedis

        with Bench([child], start=datetime(2031, 1, 1, tzinfo=UTC)):
            assert FakeRedis().time()[0] > 1_900_000_000  # type: ignore[index]
        assert abs(FakeRedis().time()[0] - time.time()) < 60  # type: ignore[index]


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


class TestWhatWasEnqueued:
    async def test_every_enqueue_is_listed_with_its_arguments_typed(self, bench: Bench) -> None:
        on = datetime(2030, 5, 1, tzinfo=UTC)
        handle = await bench.client.enqueue(send.options(delay=60, id="hello"), "a@x", on=on)
        await bench.client.enqueue(child, 1)
        (one,) = bench.enqueued(send)
        assert one.arguments == {"to": "a@x", "on": on}
        assert (one.queue, one.task, one.id) == ("email", "send", handle.id)
        assert one.due - one.at == timedelta(seconds=60)
        assert one.at == bench.now.replace(microsecond=bench.now.microsecond // 1000 * 1000)
        assert [found.task for found in bench.enqueued()] == ["send", "child"]

    async def test_what_has_run_stays_listed(self, bench: Bench) -> None:
        await bench.client.enqueue(child, 1)
        await bench.drain()
        bench.advance(10 * 86400)
        assert [one.arguments for one in bench.enqueued(child)] == [{"number": 1}]
        assert bench.results(child) == [1]

    async def test_the_assertion_compares_what_it_is_given(self, bench: Bench) -> None:
        await bench.client.enqueue(send, "a@x", copies=2)
        await bench.client.enqueue(send, "b@x")
        assert bench.assert_enqueued(send, to="b@x").arguments == {"to": "b@x"}
        assert bench.assert_enqueued(send, copies=2).arguments["to"] == "a@x"
        bench.assert_enqueued(send)

    async def test_a_default_counts_as_given(self, bench: Bench) -> None:
        await bench.client.enqueue(send, "a@x")
        bench.assert_enqueued(send, copies=1)
        with pytest.raises(AssertionError):
            bench.assert_enqueued(send, copies=2)

    async def test_options_are_compared_too(self, bench: Bench) -> None:
        moment = bench.now + timedelta(hours=2)
        await bench.client.enqueue(send.options(delay=60, id="u1", timeout=9, backoff=fixed(3)), "a@x")
        await bench.client.enqueue(child.options(at=moment), 1)
        bench.assert_enqueued(send.options(delay=60, id="u1", timeout=9, backoff=fixed(3)), to="a@x")
        bench.assert_enqueued(child.options(at=moment))
        for wrong in (
            send.options(delay=61),
            send.options(id="u2"),
            send.options(timeout=8),
            send.options(backoff=fixed(4)),
            send.options(at=moment),
        ):
            with pytest.raises(AssertionError):
                bench.assert_enqueued(wrong, to="a@x")

    async def test_the_message_shows_what_was_enqueued_instead(self, bench: Bench) -> None:
        await bench.client.enqueue(send.options(delay=60, id="u1", timeout=9), "a@x")
        with pytest.raises(AssertionError) as caught:
            bench.assert_enqueued(send.options(delay=5), to="b@x")
        assert str(caught.value) == (
            "email:send(to='b@x') with {'delay': 5} was not enqueued; enqueued were:\n"
            "  email:send(to='a@x') in 60 s with {'timeout': 9}, id email:u1"
        )

    async def test_the_message_says_when_nothing_was(self, bench: Bench) -> None:
        with pytest.raises(AssertionError, match=r"default:child\(number=1\) was not enqueued; nothing was"):
            bench.assert_enqueued(child, number=1)

    async def test_a_long_list_is_cut(self, bench: Bench) -> None:
        await bench.client.enqueue_many([child.call(number) for number in range(30)])
        with pytest.raises(AssertionError, match=r"(?s)… 10 before these\n.*number=10\).*number=29\)"):
            bench.assert_enqueued(child, number=99)

    async def test_an_argument_that_the_job_does_not_take_is_a_mistake_of_the_test(
        self, bench: Bench
    ) -> None:
        with pytest.raises(TypeError, match="'too'; it takes: to, copies, on"):
            bench.assert_enqueued(send, too="a@x")

    async def test_a_job_of_another_module_is_found_by_its_value(self, bench: Bench) -> None:
        @job(queue="elsewhere")
        async def foreign(run: Run, x: int) -> None: ...

        await bench.client.enqueue(foreign, 1)
        assert bench.assert_enqueued(foreign, x=1).queue == "elsewhere"
        assert await bench.drain() == 0

    async def test_wrong_payloads_by_name_are_shown_as_they_are(self, bench: Bench) -> None:
        await bench.client.enqueue_by_name("email:send", {"nonsense": 1})
        assert bench.enqueued(send)[0].arguments == {"nonsense": 1}
        await bench.drain()
        assert [letter.reason for letter in bench.dead] == ["invalid"]


class TestEvents:
    async def test_they_tell_the_life_of_a_job_in_order(self, bench: Bench) -> None:
        await bench.client.enqueue(flaky, good_at=2)
        await bench.drain()
        assert [(event.type.value, event.attempt) for event in bench.events] == [
            ("enqueued", 0),
            ("started", 1),
            ("retried", 1),
            ("started", 2),
            ("completed", 2),
        ]

    async def test_they_are_those_that_subscribers_hear(self) -> None:
        heard: list[Event] = []
        with Bench([send], deps=Deps([]), subscribers=[heard.append]) as bench:
            await bench.client.enqueue(send, "a@x")
            await bench.drain()
            assert [event for event in bench.events if event.type is not EventType.ENQUEUED] == heard
            assert [event.type for event in heard] == [
                EventType.STARTED,
                EventType.PROGRESS,
                EventType.COMPLETED,
            ]


class TestWhatABenchIsMadeOf:
    async def test_middleware_goes_around_every_attempt(self) -> None:
        seen: list[str] = []

        async def loud(run: Run, call_next: Callable[[Run], Awaitable[Any]]) -> Any:
            seen.append(run.job)
            return await call_next(run)

        with Bench([child], middleware=[loud]) as bench:
            await bench.client.enqueue(child, 1)
            await bench.drain()
            await bench.run(child, 1)
        assert seen == ["child"]

    async def test_settings_change_the_policy(self) -> None:
        with Bench([flaky, child], settings={"max_attempts": 7, "default_queue": "other"}) as bench:
            assert (await bench.client.enqueue(child, 1)).queue == "other"
            assert bench.settings.max_attempts == 7
            assert "other" in bench.queues

    async def test_a_package_s_jobs_are_found_and_its_lifespan_is_opened(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        log: list[str] = []

        @asynccontextmanager
        async def lifespan() -> AsyncIterator[Deps]:
            log.append("open")
            yield Deps(log)
            log.append("close")

        package = ModuleType("kit_jobs")
        vars(package).update(send=send, lifespan=lifespan, __path__=[])
        monkeypatch.setitem(__import__("sys").modules, "kit_jobs", package)
        with Bench("kit_jobs") as bench:
            await bench.client.enqueue(send, "a@x")
            await bench.drain()
        assert log == ["open", "a@x", "close"]

    def test_a_missing_package_is_named(self) -> None:
        with pytest.raises(DiscoveryFailed, match="no_such_jobs"):
            Bench("no_such_jobs")

    def test_two_jobs_of_one_name_clash(self) -> None:
        @job(name="child")
        async def other(run: Run) -> None: ...

        with pytest.raises(JobClash, match="default:child"):
            Bench([child, other])

    def test_a_plain_function_is_no_job(self) -> None:
        with pytest.raises(TypeError, match="@job"):
            Bench([len])  # type: ignore[list-item]

    async def test_a_bench_that_is_not_open_says_how_to_open_it(self) -> None:
        with pytest.raises(RuntimeError, match="with Bench"):
            await Bench([child]).drain()

    async def test_process_jobs_run_in_real_processes_if_asked(self) -> None:
        from tests.unit.testing_jobs import process_id

        with Bench([process_id], processes=True) as bench:
            await bench.client.enqueue(process_id)
            await bench.drain()
            (pid,) = bench.results(process_id)
            import os

            assert pid != os.getpid()
            assert [event.percent for event in bench.events if event.percent] == [50.0]

    def test_it_works_without_pytest_s_help(self) -> None:
        async def story(bench: Bench) -> list[int]:
            await bench.client.enqueue(child, 5)
            await bench.drain()
            return bench.results(child)

        with Bench([child]) as bench:
            assert asyncio.run(story(bench)) == [5]
            assert asyncio.run(story(bench)) == [5, 5]

    def test_on_another_loop_everything_but_the_jump_is_true(self) -> None:
        import uvloop

        async def story(bench: Bench) -> float:
            await bench.client.enqueue(flaky, good_at=3)
            await bench.drain()
            return await bench.run(sleepy, 0.05)

        with Bench([flaky, sleepy]) as bench, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            assert runner.run(story(bench)) >= 0.05
            assert bench.results(flaky) == [3]


STORY = """
    import pytest
    from rota import Run, job

    @job(queue="email", max_attempts=2)
    async def send(run: Run, to: str) -> str:
        run.deps.append(to)
        if run.attempt == 1:
            raise ValueError("once")
        return to

    @pytest.fixture
    def bench_jobs():
        return [send]

    {fixture}
    async def bench_deps():
        yield []

    {mark}
    async def test_story(bench, bench_deps):
        await bench.client.enqueue(send, to="a")
        await bench.drain()
        assert bench.results(send) == ["a"] and bench_deps == ["a", "a"]
"""


@pytest.mark.parametrize(
    ("mode", "fixture", "mark"),
    [
        ("auto", "@pytest.fixture", ""),
        ("strict", "@__import__('pytest_asyncio').fixture", "@pytest.mark.asyncio"),
    ],
)
def test_the_fixture_works_in_each_mode_of_pytest_asyncio(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, mode: str, fixture: str, mark: str
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(rota.__file__).parents[1]))
    pytester.makeconftest('pytest_plugins = ["rota.testing"]')
    pytester.makepyfile(STORY.format(fixture=fixture, mark=mark))
    pytester.makeini(f"[pytest]\nasyncio_mode = {mode}\nasyncio_default_fixture_loop_scope = function")
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=1)


def test_the_page_s_examples_work(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    page = Path(__file__).parents[2] / "docs" / "testing.md"
    plugin, *examples = re.findall(r"(?s)```python\n(.*?)```", page.read_text("utf-8"))
    monkeypatch.setenv("PYTHONPATH", str(Path(rota.__file__).parents[1]))
    pytester.makeconftest(plugin)
    pytester.makepyfile("\n\n".join(examples))
    pytester.makeini("[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function")
    tests = sum(example.count("def test_") for example in examples)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=tests)
