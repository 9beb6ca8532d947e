"""How time passes inside a handler, and that it does not pass outside."""

import asyncio
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rota import EventType, Run, job
from rota.testing import Bench
from tests.unit.testing.jobs import child, sleepy

pytest_plugins = ["rota.testing"]


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
