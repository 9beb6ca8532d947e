"""Services: kept running through failures, given up after several in a row, and ended in any case."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from rota.model.policies.backoff import exponential
from rota.process import services
from rota.process.clock import Clock
from rota.process.services import FAILURES, STEADY, Failure, Periodic, ServiceEnded, Services
from tests.waiting import until

Act = Callable[[], Awaitable[None]]


async def for_ever() -> None:
    await asyncio.Event().wait()


async def broken() -> None:
    raise TypeError("a bug of ours")


async def done() -> None:
    return


class Scripted:
    """A service that does the next of its acts each time it is started, and the last one ever after."""

    def __init__(self, *acts: Act, name: str = "scripted", may_end: bool = False) -> None:
        self.name = name
        self.may_end = may_end
        self.starts = 0
        self._acts = acts

    async def run(self) -> None:
        act = self._acts[min(self.starts, len(self._acts) - 1)]
        self.starts += 1
        await act()


class Bench:
    """Services on a clock of the test's: a pause takes no time and moves it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.pauses: list[float] = []
        self.failures: list[Failure] = []

    def of(self, *given: Any) -> Services:
        clock = Clock(monotonic=lambda: self.now)
        return Services(given, self.failures.append, clock=clock, sleep=self.sleep)

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)

    async def works_for(self, seconds: float) -> None:
        self.now += seconds
        raise TypeError("late")


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture(autouse=True)
def _without_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "PAUSES", exponential(1.0, 2.0, ceiling=30.0, jitter=0.0))
    monkeypatch.setattr(services, "ENDING", (0.02, 0.02, 0.02))


def logged(caplog: pytest.LogCaptureFixture, event: str) -> list[dict[str, Any]]:
    return [vars(record) for record in caplog.records if record.getMessage() == event]


async def test_one_that_fails_is_started_again_and_a_line_says_which_why_and_when(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    service = Scripted(broken, for_ever, name="heartbeat")
    async with bench.of(service):
        await until(lambda: service.starts == 2)
    (line,) = logged(caplog, "service.failed")
    assert (line["service"], line["error"]) == ("heartbeat", "TypeError: a bug of ours")
    assert (line["failures"], line["again_in"]) == (1, 1.0)
    assert line["exc_info"][1].__traceback__ is not None
    assert bench.failures == []


async def test_pauses_grow_with_failures_in_a_row_and_vary(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench.of(Scripted(broken)):
        await until(lambda: bench.failures)
    assert bench.pauses == [1, 2, 4, 8]
    monkeypatch.undo()
    assert len({services.PAUSES.delay(1) for _ in range(20)}) > 1


async def test_one_that_ran_well_for_a_while_begins_a_new_row(bench: Bench) -> None:
    async def well_for_a_while() -> None:
        await bench.works_for(STEADY)

    async def not_for_long_enough() -> None:
        await bench.works_for(STEADY - 1)

    service = Scripted(broken, broken, not_for_long_enough, well_for_a_while, broken, for_ever)
    async with bench.of(service):
        await until(lambda: service.starts == 6)
    assert bench.pauses == [1, 2, 4, 1, 2]


async def test_after_several_failures_in_a_row_it_is_given_up_with_its_name_and_cause(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    service = Scripted(broken, name="recycling")
    async with bench.of(service):
        await until(lambda: bench.failures)
        await asyncio.sleep(0.01)
    (failure,) = bench.failures
    assert (failure.service, str(failure.error)) == ("recycling", "a bug of ours")
    (line,) = logged(caplog, "service.given_up")
    assert (line["service"], line["error"], line["failures"]) == (
        "recycling",
        "TypeError: a bug of ours",
        FAILURES,
    )
    assert line["exc_info"][1] is failure.error
    assert service.starts == FAILURES


async def test_each_is_on_its_own(bench: Bench) -> None:
    hopeless = Scripted(broken, name="hopeless")
    hurt = Scripted(broken, broken, for_ever, name="hurt")
    well = Scripted(for_ever, name="well")
    async with bench.of(hopeless, hurt, well):
        await until(lambda: bench.failures and hurt.starts == 3)
        assert [failure.service for failure in bench.failures] == ["hopeless"]
        assert well.starts == 1


async def test_one_that_may_end_is_done_when_it_returns(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    service = Scripted(done, may_end=True)
    async with bench.of(service):
        await until(lambda: service.starts)
        await asyncio.sleep(0.01)
    assert service.starts == 1
    assert not caplog.records


async def test_the_return_of_one_that_may_not_end_is_a_failure(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    async with bench.of(Scripted(done, name="leader")):
        await until(lambda: bench.failures)
    assert isinstance(bench.failures[0].error, ServiceEnded)
    assert logged(caplog, "service.failed")[0]["error"] == "ServiceEnded: the service leader returned"


async def test_so_is_a_cancellation_that_nobody_asked_for(bench: Bench) -> None:
    async def cancelled() -> None:
        raise asyncio.CancelledError

    async with bench.of(Scripted(cancelled, may_end=True)):
        await until(lambda: bench.failures)
    assert isinstance(bench.failures[0].error, ServiceEnded)


# The end


async def test_all_of_them_end_with_the_block_and_have_time_to_clean_up(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "ENDING", (10.0,))
    ended: list[str] = []

    async def cleans_up() -> None:
        try:
            await for_ever()
        finally:
            await asyncio.sleep(0.02)
            ended.append("clean")

    several = [Scripted(cleans_up) for _ in range(3)]
    async with bench.of(*several) as running:
        await until(lambda: all(service.starts for service in several))
    assert ended == ["clean"] * 3
    assert not running.stuck


async def test_one_that_waits_to_be_started_again_is_not_started_any_more() -> None:
    service = Scripted(broken)
    async with Services([service], print):
        await until(lambda: service.starts)
    assert service.starts == 1


async def test_one_that_fails_while_it_ends_is_reported_and_ends_nothing(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    async def fails_at_the_end() -> None:
        try:
            await for_ever()
        finally:
            raise TypeError("at the end")

    service = Scripted(fails_at_the_end, name="heartbeat")
    async with bench.of(service):
        await until(lambda: service.starts)
    (line,) = logged(caplog, "service.ended_badly")
    assert line["service"] == "heartbeat"
    assert bench.failures == []


async def test_one_that_swallows_a_cancellation_is_cancelled_again(bench: Bench) -> None:
    async def swallows() -> None:
        try:
            await for_ever()
        except asyncio.CancelledError:
            await for_ever()

    service = Scripted(swallows)
    async with bench.of(service) as running:
        await until(lambda: service.starts)
    assert not running.stuck


async def test_one_that_swallows_them_all_keeps_nobody_waiting(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    let_go = asyncio.Event()

    async def deaf() -> None:
        while not let_go.is_set():
            try:
                await let_go.wait()
            except asyncio.CancelledError:
                continue

    service = Scripted(deaf, name="deaf")
    async with bench.of(service) as running:
        await until(lambda: service.starts)
    assert running.stuck == ["deaf"]
    assert [line["service"] for line in logged(caplog, "service.stuck")] == ["deaf"]
    let_go.set()


async def test_what_the_block_raises_is_raised_as_it_is(bench: Bench) -> None:
    async def block() -> None:
        async with bench.of(Scripted(for_ever)):
            raise LookupError("of the block")

    with pytest.raises(LookupError, match="of the block"):
        await block()


async def test_a_periodic_one_calls_until_it_is_ended() -> None:
    calls: list[int] = []
    async with Services([Periodic("beat", 0.001, lambda: calls.append(1))], print):
        await until(lambda: len(calls) >= 3)
    before = len(calls)
    await asyncio.sleep(0.01)
    assert len(calls) == before
