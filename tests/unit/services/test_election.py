"""The election on a clock of the test's: when a process trusts in its term, and what it does when it does not."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from redis import exceptions as faults

from rota.process.clock import Clock
from rota.process.services import Failure
from rota.seams import Service
from rota.services.election import MARGIN, Election
from rota.services.leadership import Leadership, LeadershipLost
from rota.wire.leader import Place
from tests.waiting import until

LEASE = 20.0
AWAY = faults.ConnectionError("Connection refused")


class FakePlace(Place):
    """A place that answers as a test says; each call is noted, and takes `latency` of the test's clock."""

    calls: list[str]
    vacant: asyncio.Event
    bench: "Bench"

    async def take(self, redis: Any) -> tuple[int, float]:
        term: tuple[int, float] = await self.bench.answered("take", lambda: (next(self.bench.epochs), 0.0))
        return term

    async def renew(self, redis: Any, epoch: int) -> bool:
        held: bool = await self.bench.answered("renew", lambda: True)
        return held

    async def give_back(self, redis: Any) -> None:
        await self.bench.answered("give back", lambda: None)

    async def left(self, redis: Any) -> float:
        left: float = await self.bench.answered("left", lambda: 0.0)
        return left

    async def vacancy(self, blocking: Any, seconds: float) -> None:
        self.bench.calls.append(f"wait {seconds:.0f}")
        await self.bench.sleep(seconds)


class Client:
    """A client whose connections a test sees closed."""

    def __init__(self) -> None:
        self.connection_pool = self
        self.closed = 0

    async def disconnect(self, *, inuse_connections: bool) -> None:
        self.closed += 1


class Steady:
    """A service that asks before each step whether the term lasts."""

    name, may_end = "steady", False

    def __init__(self, term: Leadership, log: list[str]) -> None:
        self.term, self.log = term, log

    async def run(self) -> None:
        self.log.append(f"began {self.term.epoch}")
        try:
            while True:
                self.term.check()
                await asyncio.sleep(0)
        finally:
            self.log.append(f"ended {self.term.epoch} {self.term.is_leader}")


class Bench:
    """An election whose sleeps move the clock, and whose place answers as `answers` say, one call after the other."""

    def __init__(self, lease: float = LEASE) -> None:
        self.now = 1000.0
        self.calls: list[str] = []
        self.answers: dict[str, list[Any]] = {}
        self.epochs = iter(range(1, 100))
        self.latency = 0.0
        self.latencies: list[float] = []
        self.log: list[str] = []
        self.failures: list[Failure] = []
        self.redis = Client()
        place = FakePlace("rota", "w", lease)
        object.__setattr__(place, "bench", self)
        self.election = Election(
            place,
            self.redis,
            self.redis,
            [self.service],
            self.failures.append,
            clock=Clock(monotonic=self.time),
            sleep=self.sleep,
        )
        #: Moves the clock by so much within the next sleep, as when the process is stopped.
        self.stops = 0.0
        self.most_sleeps = 50

    def time(self) -> float:
        return self.now

    def service(self, term: Leadership) -> Service:
        return Steady(term, self.log)

    async def answered(self, call: str, usual: Callable[[], Any]) -> Any:
        self.calls.append(call)
        self.now += self.latencies.pop(0) if self.latencies else self.latency
        await asyncio.sleep(0)
        given = self.answers.get(call)
        answer = given.pop(0) if given else usual()
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def sleep(self, seconds: float) -> None:
        """Let `seconds` pass at once; after the last of the sleeps that a test allows, for ever."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        self.most_sleeps -= 1
        if self.most_sleeps < 0:
            await asyncio.Event().wait()
        self.now += seconds + self.stops
        self.stops = 0.0
        await asyncio.sleep(0)


@pytest.fixture
def bench() -> Bench:
    return Bench()


@contextlib.asynccontextmanager
async def standing(bench: Bench) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(bench.election.run())
    try:
        yield task
    finally:
        bench.election.retire()
        await task


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "rota.leader"]


async def test_it_leads_while_it_renews_at_half_of_the_lease(bench: Bench) -> None:
    bench.most_sleeps = 5
    async with standing(bench):
        await until(lambda: bench.calls.count("renew") == 5)
        assert bench.now == 1000 + 5 * LEASE / 2
        assert bench.election.leads
        assert bench.log == ["began 1"]


async def test_it_trusts_until_a_second_before_its_lease_ends_counted_from_the_call(bench: Bench) -> None:
    bench.latency = 3.0
    bench.most_sleeps = 1
    async with standing(bench):
        await until(lambda: bench.calls.count("renew") == 1)
        await until(lambda: bench.election.term is not None and bench.election.term.left > 10)
        sent = bench.now - bench.latency
        bench.now = sent + LEASE - MARGIN - 0.001
        assert bench.election.leads
        bench.now += 0.001
        assert not bench.election.leads


async def test_a_short_lease_has_a_shorter_margin(bench: Bench) -> None:
    assert Bench(lease=2.0).election._trust == 1.5


async def test_a_process_that_stood_still_steps_down_before_anything_else(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "rota.leader")
    bench.most_sleeps, bench.stops = 1, LEASE
    bench.answers["take"] = [(1, 0.0), (0, 5.0)]
    async with standing(bench):
        await until(lambda: "wait 5" in bench.calls)
        assert bench.log == ["began 1", "ended 1 False"]
        assert bench.calls == ["take", "take", "wait 5"], "it neither renews nor gives back what is another's"
    assert logged(caplog) == ["leader.gained", "leader.lost"]
    assert caplog.records[-1].__dict__["why"] == "the process stood still"
    assert {record.name for record in caplog.records} == {"rota.leader"}, "no service has failed by that"


async def test_a_place_that_is_gone_ends_the_term_and_the_next_one_begins(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "rota.leader")
    bench.answers["renew"] = [True, False]
    bench.most_sleeps = 2
    async with standing(bench):
        await until(lambda: "began 2" in bench.log)
        assert bench.log == ["began 1", "ended 1 False", "began 2"]
    assert logged(caplog) == ["leader.gained", "leader.lost", "leader.gained", "leader.resigned"]


async def test_an_outage_that_ends_within_the_term_ends_nothing(bench: Bench) -> None:
    bench.answers["renew"] = [AWAY, TimeoutError(), True]
    bench.most_sleeps = 4
    async with standing(bench):
        await until(lambda: bench.calls.count("renew") == 4)
        assert bench.log == ["began 1"]
        assert bench.redis.closed == 4, "old connections may lead to a server that leads no longer"


async def test_a_longer_outage_ends_the_term_and_is_one_line(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    bench.answers["renew"] = [AWAY] * 100
    bench.answers["take"] = [(1, 0.0), *[AWAY] * 100]
    bench.most_sleeps = 60
    began = bench.now
    async with standing(bench):
        await until(lambda: bench.most_sleeps < 0)
        assert bench.log == ["began 1", "ended 1 False"]
        assert bench.now - began > LEASE
    assert logged(caplog) == ["leader.gained", "leader.lost"]
    assert "Connection refused" in caplog.records[-1].__dict__["why"]


async def test_while_another_leads_it_looks_when_that_lease_may_have_ended(bench: Bench) -> None:
    bench.answers["take"] = [(0, 15.0), (7, 0.0)]
    bench.answers["left"] = [12.0, 14.0, 0.0]
    bench.most_sleeps = 3
    async with standing(bench):
        await until(lambda: "began 7" in bench.log)
        assert bench.calls[:8] == ["take", "wait 15", "left", "wait 12", "left", "wait 14", "left", "take"]


async def test_one_that_retires_ends_its_services_first_and_then_gives_the_place_back(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "rota.leader")
    bench.most_sleeps = 0
    async with standing(bench) as task:
        await until(lambda: bench.log == ["began 1"])
        bench.election.retire()
        await task
        assert bench.log == ["began 1", "ended 1 True"], "what they still wrote, they wrote as the leader's"
        assert bench.calls == ["take", "give back"]
        assert not bench.election.leads
    assert logged(caplog) == ["leader.gained", "leader.resigned"]


async def test_one_that_waits_retires_at_once(bench: Bench) -> None:
    bench.answers["take"] = [(0, 15.0)]
    bench.most_sleeps = 0
    async with standing(bench) as task:
        await until(lambda: bench.calls == ["take", "wait 15"])
        bench.election.retire()
        await task
    assert bench.log == []


async def test_a_server_that_is_away_holds_up_no_end(bench: Bench) -> None:
    bench.most_sleeps = 0
    bench.answers["give back"] = [AWAY]
    async with standing(bench):
        await until(lambda: bench.log == ["began 1"])


async def test_a_term_that_was_won_too_late_is_none(bench: Bench) -> None:
    bench.answers["take"] = [(1, 0.0), (2, 0.0)]
    bench.latencies = [LEASE]
    async with standing(bench):
        await until(lambda: bench.log)
        assert bench.log == ["began 2"]


class TestLeadership:
    def test_a_term_that_is_over_says_so(self) -> None:
        now = [5.0]
        term = Leadership(3, 10.0, Clock(monotonic=lambda: now[0]))
        term.check()
        now[0] = 10.0
        with pytest.raises(LeadershipLost, match="the term 3 is over"):
            term.check()

    def test_a_term_that_is_over_stays_over(self) -> None:
        now = [5.0]
        term = Leadership(3, 10.0, Clock(monotonic=lambda: now[0]))
        now[0] = 11.0
        term.extend(20.0)
        assert not term.is_leader
