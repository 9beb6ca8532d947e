"""A handler run alone: checked arguments in, a checked result out, and nothing around it."""

import asyncio

import pytest

import rota
from rota import Cancel, EventType, InvalidPayload, Retry, Run, Snooze, job
from rota.errors import InvalidResult, JobTimeout, ResultTooLarge
from rota.testing import Bench
from tests.unit.testing.jobs import Deps, heavy, send, sleepy, threaded

pytest_plugins = ["rota.testing"]


class TestRunningAHandlerAlone:
    async def test_it_gets_its_dependencies_and_returns_its_result(
        self, bench: Bench, bench_deps: Deps
    ) -> None:
        assert await bench.run(send, "a@x", copies=2) == "a@x x2"
        assert bench_deps.sent == ["a@x"]

    async def test_it_has_the_headers_around_the_call(self) -> None:
        @job
        async def nested(run: Run) -> dict[str, str]:
            return dict(run.headers)

        @job
        async def nest(run: Run) -> dict[str, str]:
            await bench.client.enqueue(nested)
            return dict(run.headers)

        with Bench([nest, nested]) as bench:
            with rota.headers(tenant="acme"):
                assert await bench.run(nest) == {"tenant": "acme"}
                assert await bench.run(nested) == {"tenant": "acme"}
            assert await bench.run(nested) == {}
            assert bench.assert_enqueued(nested).headers == {"tenant": "acme"}
            await bench.drain()
            assert bench.results(nested) == [{"tenant": "acme"}]

    async def test_wrong_arguments_are_refused_as_at_enqueue(self, bench: Bench) -> None:
        with pytest.raises(InvalidPayload, match="copies"):
            await bench.run(send, "a@x", copies="many")  # type: ignore[arg-type]

    async def test_a_wrong_result_is_refused(self, bench: Bench) -> None:
        @job
        async def wrong(run: Run) -> int:
            return "text"  # type: ignore[return-value]

        with pytest.raises(InvalidResult):
            await bench.run(wrong)

    async def test_a_result_over_the_limit_is_refused(self, bench: Bench) -> None:
        @job
        async def wordy(run: Run) -> str:
            return "x" * 1_048_576

        with pytest.raises(ResultTooLarge, match="RESULT_LIMIT allows 1048576"):
            await bench.run(wordy)

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
