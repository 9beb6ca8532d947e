"""What a bench is made of, with pytest and without."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import rota
from rota import Run, job
from rota.errors import DiscoveryFailed, JobClash
from rota.testing import Bench
from tests.unit.testing.jobs import Deps, child, flaky, process_id, send, sleepy

pytest_plugins = ["rota.testing", "pytester"]


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
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makeconftest('pytest_plugins = ["rota.testing"]')
    pytester.makepyfile(STORY.format(fixture=fixture, mark=mark))
    pytester.makeini(f"[pytest]\nasyncio_mode = {mode}\nasyncio_default_fixture_loop_scope = function")
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-p", "pytest_asyncio.plugin")
    result.assert_outcomes(passed=1)


def test_the_page_s_examples_work(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    page = Path(__file__).parents[3] / "docs" / "testing.md"
    plugin, *examples = re.findall(r"(?s)```python\n(.*?)```", page.read_text("utf-8"))
    monkeypatch.setenv("PYTHONPATH", str(Path(rota.__file__).parents[1]))
    pytester.makeconftest(plugin)
    pytester.makepyfile("\n\n".join(examples))
    pytester.makeini("[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function")
    tests = sum(example.count("def test_") for example in examples)
    # What users have, but for a plugin that takes longer to load than the examples.
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-p", "no:schemathesis")
    result.assert_outcomes(passed=tests)
