"""The meter of a queue: slots, payloads, recoveries and rejections, told by what passes between engine and contract."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from rota.app.metering import Meter, Slots
from rota.engine.execution import Execution
from rota.process.clock import Clock
from rota.telemetry.metrics.tally import Tally
from rota.wire.claims import Claim, Settlement, Told, hand_back


def claim(job_id: str = "1", **more: Any) -> Claim:
    return Claim(id=job_id, token="t", payload=b"x" * 300, attempt=1, due_ms=0, started_ms=0)._replace(**more)


class Jobs:
    """A contract whose jobs run until they are let go."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.settled_ones: list[tuple[Settlement, bool]] = []
        self.reports: list[tuple[Any, ...]] = []

    async def execute(self, execution: Execution) -> Settlement:
        await self.go.wait()
        if execution.claim.id == "raises":
            raise RuntimeError
        return hand_back(execution.claim)

    def settled(self, settlements: Sequence[Settlement], counted: Sequence[bool]) -> None:
        self.settled_ones += zip(settlements, counted, strict=True)

    def reported(self, *report: Any) -> None:
        self.reports.append(report)

    def strangers(self) -> tuple[str, ...]:
        """Return none: every job is known here."""
        return ()

    async def finished(self) -> None:
        self.go.set()


class Bench:
    def __init__(self) -> None:
        self.jobs = Jobs()
        self.rejected = Tally()
        self.lost: list[tuple[str, str]] = []
        self.meter = Meter("email", self.rejected, lambda *job: self.lost.append(job))
        self.contract = self.meter.around(self.jobs)


@pytest.fixture
async def bench() -> Bench:
    return Bench()


async def test_slots_are_busy_while_jobs_run_however_they_end(bench: Bench) -> None:
    running = [
        asyncio.create_task(bench.contract.execute(Execution(claim(name))))
        for name in ("1", "raises", "cancelled")
    ]
    await asyncio.sleep(0)
    assert bench.meter.slots.busy == 3
    running[2].cancel()
    bench.jobs.go.set()
    results = await asyncio.gather(*running, return_exceptions=True)
    assert [type(result) for result in results] == [Settlement, RuntimeError, asyncio.CancelledError]
    assert bench.meter.slots.busy == 0


def test_the_time_of_slots_counts_what_still_runs() -> None:
    now = 100.0
    slots = Slots(Clock(monotonic=lambda: now))
    assert slots.seconds() == 0
    slots.enter()
    now = 102.0
    slots.enter()
    now = 103.0
    assert slots.seconds() == 4
    slots.leave()
    now = 110.0
    assert slots.seconds() == 11
    slots.leave()
    now = 200.0
    assert slots.seconds() == 11


async def test_payloads_are_measured_and_one_that_expired_is_none(bench: Bench) -> None:
    bench.jobs.go.set()
    await bench.contract.execute(Execution(claim()))
    await bench.contract.execute(Execution(claim(payload=None)))
    spread = bench.meter.sizes.spread(("email",))
    assert (sum(spread.counts), spread.sum) == (1, 300)


async def test_what_comes_straight_from_a_loss_is_recovered_and_what_was_lost_earlier_is_not(
    bench: Bench,
) -> None:
    bench.jobs.go.set()
    for lost, recovered in ((0, False), (1, True), (1, False), (2, True), (2, False)):
        await bench.contract.execute(Execution(claim(lost=lost, recovered=recovered)))
    assert bench.meter.recovered == 2


def test_a_refused_settlement_is_stale_and_its_attempt_lost(bench: Bench) -> None:
    done = Settlement.finished(claim(), Told("completed", "send"))
    bench.contract.settled([done], [True])
    assert bench.rejected.read() == []
    bench.contract.settled([done, hand_back(claim())], [False, False])
    assert bench.rejected.read() == [(("email", "stale"), 2)]
    assert bench.lost == [("email", "send")], "what was only handed back was no attempt"
    assert [counted for _, counted in bench.jobs.settled_ones] == [True, False, False]


def test_a_job_that_nobody_here_knows_is_rejected_and_one_that_is_limited_is_not(bench: Bench) -> None:
    unknown = Settlement.again(claim(), 5.0, Told(task="made-up"), unspent=True, unknown=True)
    limited = Settlement.again(claim(), None, unspent=True, terms="p=5 c=k")
    dead = Settlement.dead(claim(), "failed", Told("dead"))
    bench.contract.settled([unknown, limited, dead], [True, True, True])
    assert bench.rejected.read() == [(("email", "unknown"), 1)]


async def test_all_else_goes_through(bench: Bench) -> None:
    bench.contract.reported(claim(), "send", 50.0, "half")
    assert bench.jobs.reports == [(claim(), "send", 50.0, "half")]
    await bench.contract.finished()
    assert bench.jobs.go.is_set()
