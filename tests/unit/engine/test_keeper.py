"""The lease keeper: a thread that renews what is held, and ends a process whose loop hangs."""

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest

from rota.engine import keeper
from rota.engine.keeper import LeaseKeeper
from rota.engine.leases import Leases
from rota.process.health_file import HealthFile
from rota.process.loop_watch import EXIT_BLOCKED, LoopWatch
from rota.process.tasks import end
from rota.wire.queue import QueueScripts
from tests.unit.engine.renewals import Connection, Renewals, claim
from tests.waiting import until, wait_until


class Kept:
    """A keeper with what it did."""

    def __init__(self, renewals: Renewals, *, limit: float = 60.0, health_file: Path | None = None) -> None:
        self.connections: list[Connection] = []
        self.deaths: list[int] = []
        leases = Leases(self.connect, interval=0.05)
        self.watch = LoopWatch(report_after=0.4, limit=limit, die=self.deaths.append)
        file = HealthFile(health_file, self.watch.silence, str) if health_file else None
        self.keeper = LeaseKeeper(leases, watch=self.watch, health_file=file, die=self.deaths.append)
        self.holding = leases.hold(cast(QueueScripts, renewals), lambda ids: None)

    def connect(self) -> Connection:
        self.connections.append(Connection())
        return self.connections[-1]


@pytest.fixture
def renewals() -> Renewals:
    return Renewals()


@pytest.fixture
async def kept(renewals: Renewals) -> AsyncIterator[Kept]:
    """Yield a keeper that holds one claim, and reports a loop that is silent for 0.4 s."""
    kept = Kept(renewals)
    kept.holding.add([claim("1")])
    yield kept
    kept.keeper.stop()


async def test_it_renews_again_and_again_from_a_thread_with_one_connection(
    kept: Kept, renewals: Renewals
) -> None:
    kept.keeper.start()
    kept.keeper.start()
    await until(lambda: len(renewals.asked) >= 3)
    assert renewals.threads == {"rota-leases"}
    assert len(kept.connections) == 1


async def test_it_renews_while_the_loop_is_blocked(kept: Kept, renewals: Renewals) -> None:
    kept.keeper.start()
    before = len(renewals.asked)
    wait_until(lambda: len(renewals.asked) - before >= 3)


async def test_it_ends_when_it_is_told_to_and_closes_its_connection(kept: Kept, renewals: Renewals) -> None:
    kept.keeper.start()
    await until(lambda: renewals.asked)
    kept.keeper.stop()
    assert not kept.keeper.alive
    assert "rota-leases" not in {thread.name for thread in threading.enumerate()}
    assert kept.connections[0].closed


async def test_one_that_never_started_can_be_stopped(kept: Kept) -> None:
    kept.keeper.stop()


# A bug in the thread


def failed(caplog: pytest.LogCaptureFixture) -> list[BaseException]:
    return [
        record.exc_info[1]
        for record in caplog.records
        if record.getMessage() == "leases.failed" and record.exc_info and record.exc_info[1]
    ]


async def test_a_bug_in_the_thread_is_raised_by_the_service_which_may_be_run_again(
    kept: Kept, renewals: Renewals
) -> None:
    renewals.fault = TypeError("a bug of ours")
    with pytest.raises(TypeError, match="a bug of ours"):
        await kept.keeper.run()
    assert not kept.keeper.alive
    assert kept.connections[0].closed
    renewals.fault = None
    asked = len(renewals.asked)
    running = asyncio.create_task(kept.keeper.run())
    await until(lambda: len(renewals.asked) > asked + 1)
    await end({running})
    assert not kept.keeper.alive
    assert kept.deaths == []


async def test_a_bug_in_a_thread_without_a_service_ends_the_process_and_says_why(
    kept: Kept, renewals: Renewals, caplog: pytest.LogCaptureFixture
) -> None:
    renewals.fault = TypeError("a bug of ours")
    kept.keeper.start()
    await until(lambda: kept.deaths)
    assert kept.deaths == [EXIT_BLOCKED]
    assert failed(caplog) == [renewals.fault]


async def test_so_does_one_while_the_loop_is_blocked(
    kept: Kept, renewals: Renewals, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "RESCUE", 0.1)
    running = asyncio.create_task(kept.keeper.run())
    await until(lambda: renewals.asked)
    renewals.fault = TypeError("a bug of ours")
    wait_until(lambda: kept.deaths)
    assert failed(caplog) == [renewals.fault]
    with pytest.raises(TypeError):
        await running


async def test_a_bug_after_it_was_told_to_stop_ends_nothing(kept: Kept, renewals: Renewals) -> None:
    kept.keeper.start()
    await until(lambda: renewals.asked)

    def stopped() -> None:
        kept.keeper._stop.set()
        raise TypeError

    renewals.meanwhile = stopped
    await until(lambda: not kept.keeper.alive)
    assert kept.deaths == []


# A loop that hangs


async def test_a_blocked_loop_is_reported_once_with_the_stack_that_blocks_it_and_once_when_it_is_free(
    kept: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "rota.loop"):
        kept.keeper.start()
        kept.watch.beat()
        hold_up_the_loop(caplog)

        def beaten_until_reported() -> bool:
            kept.watch.beat()
            return len(caplog.records) > 1

        await until(beaten_until_reported)
    blocked, free = caplog.records
    assert (blocked.getMessage(), free.getMessage()) == ("loop.blocked", "loop.free")
    assert "hold_up_the_loop" in vars(blocked)["stack"]
    assert 0.4 <= vars(blocked)["seconds"] <= vars(free)["blocked"]
    assert kept.deaths == []


def hold_up_the_loop(caplog: pytest.LogCaptureFixture) -> None:
    """Block the loop until that is reported, and some ticks of the thread longer: it is to be reported once."""
    wait_until(lambda: caplog.records)
    time.sleep(0.3)


async def test_a_loop_that_is_heard_of_is_not_reported(kept: Kept, caplog: pytest.LogCaptureFixture) -> None:
    kept.keeper.start()
    for _ in range(60):
        kept.watch.beat()
        await asyncio.sleep(0.01)
    assert kept.watch.silence() < 0.4
    assert not caplog.records


async def test_past_the_limit_the_process_is_ended_and_nothing_is_renewed_any_more(
    renewals: Renewals, caplog: pytest.LogCaptureFixture
) -> None:
    kept = Kept(renewals, limit=0.5)
    kept.holding.add([claim("1")])
    kept.keeper.start()
    await until(lambda: kept.deaths)
    await until(lambda: not kept.keeper.alive)
    assert kept.deaths == [EXIT_BLOCKED]
    assert kept.connections[0].closed
    assert "loop.hung" in {record.getMessage() for record in caplog.records}


# The health file


async def test_the_health_file_is_touched_while_the_thread_runs(renewals: Renewals, tmp_path: Path) -> None:
    file = tmp_path / "alive"
    kept = Kept(renewals, health_file=file)
    kept.keeper.start()
    try:
        await until(file.exists)
    finally:
        kept.keeper.stop()


async def test_a_health_file_that_cannot_be_written_changes_nothing_else(
    renewals: Renewals, tmp_path: Path
) -> None:
    kept = Kept(renewals, health_file=tmp_path / "nosuch" / "alive")
    kept.holding.add([claim("1")])
    kept.keeper.start()
    try:
        await until(lambda: len(renewals.asked) >= 2)
    finally:
        kept.keeper.stop()
