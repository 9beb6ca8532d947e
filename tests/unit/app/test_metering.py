"""The meter of a queue: slots, payloads, recoveries and rejections, told by what passes between engine and contract."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from rota.app.metering import Meter
from rota.engine.execution import Execution
from rota.engine.executions import Executions
from rota.telemetry.metrics.tally import Tally
from rota.wire.claims import Claim, Settlement, Told, hand_back
from tests.waiting import until


def claim(job_id: str = "1", **more: Any) -> Claim:
    return Claim(id=job_id, token="t", payload=b"x" * 300, attempt=1, due_ms=0, started_ms=0)._replace(**more)


class Jobs:
    """A contract whose jobs run until they are let go."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.claimed_ones: list[Claim] = []
        self.settled_ones: list[tuple[Settlement, bool]] = []
        self.reports: list[tuple[Any, ...]] = []

    async def execute(self, execution: Execution) -> Settlement:
        await self.go.wait()
        if execution.claim.id == "raises":
            raise RuntimeError
        return hand_back(execution.claim)

    def claimed(self, claims: Sequence[Claim]) -> None:
        self.claimed_ones += claims

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
        self.executions: Executions | None = None
        self.meter = Meter(
            "email", self.rejected, lambda *job: self.lost.append(job), lambda: self.executions
        )
        self.contract = self.meter.around(self.jobs)


@pytest.fixture
async def bench() -> Bench:
    return Bench()


async def test_slots_are_busy_while_jobs_run_however_they_end(bench: Bench) -> None:
    assert (bench.meter.busy, bench.meter.seconds()) == (0, 0), "nothing can run yet"
    ended: list[Settlement] = []
    bench.executions = Executions(bench.contract, service=None, slots=3, ended=ended.append)
    for name in ("1", "raises", "cancelled"):
        bench.executions.start(claim(name))
    await asyncio.sleep(0.02)
    assert bench.meter.busy == 3
    running = bench.meter.seconds()
    assert 0.05 <= running < 30, "what still runs counts"
    (task,) = (one.task for name, one in bench.executions.items() if name == "cancelled")
    assert task is not None
    task.cancel()
    bench.jobs.go.set()
    await until(lambda: len(ended) == 3)
    assert bench.meter.busy == 0
    total = bench.meter.seconds()
    assert running <= total < 30
    await asyncio.sleep(0.01)
    assert bench.meter.seconds() == total, "a slot that is empty costs no time"
    bench.executions = None
    assert bench.meter.seconds() == total, "it never goes back"


async def test_payloads_are_measured_and_one_that_expired_is_none(bench: Bench) -> None:
    bench.contract.claimed([claim(), claim(payload=None)])
    spread = bench.meter.sizes.spread(("email",))
    assert (sum(spread.counts), spread.sum) == (1, 300)


async def test_what_comes_straight_from_a_loss_is_recovered_and_what_was_lost_earlier_is_not(
    bench: Bench,
) -> None:
    cases = ((0, False), (1, True), (1, False), (2, True), (2, False))
    claims = [claim(lost=lost, recovered=recovered) for lost, recovered in cases]
    bench.contract.claimed(claims)
    assert bench.meter.recovered == 2
    assert bench.jobs.claimed_ones == claims


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
