"""The lease keeper: renews what is held, from a thread, and ends a process whose loop hangs."""

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, cast

import pytest
from redis import exceptions as faults

from rota.engine import leases
from rota.engine.leases import Holding, LeaseKeeper
from rota.process.loop_watch import EXIT_BLOCKED
from rota.process.tasks import end
from rota.wire.claims import Claim
from rota.wire.queue import QueueScripts
from tests.waiting import until, wait_until


def claim(job_id: str, token: str = "t") -> Claim:
    return Claim(id=job_id, token=token, payload=b"{}", attempt=1, due_ms=0, started_ms=0)


class Renewals:
    """The part of a protocol that a keeper needs: remembers what it was asked, and answers what it was told to."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []
        self.threads: set[str] = set()
        self.lost: list[str] = []
        self.fault: Exception | None = None
        self.meanwhile: Callable[[], object] = bool

    def renew(self, redis: object, held: Mapping[str, str]) -> list[str]:
        self.asked.append(dict(held))
        self.threads.add(threading.current_thread().name)
        self.meanwhile()
        if self.fault is not None:
            raise self.fault
        return [job_id for job_id in held if job_id in self.lost]


class Connection:
    """A plain client that only knows whether it was closed."""

    def __init__(self) -> None:
        self.closed = False

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def renewals() -> Renewals:
    return Renewals()


# What is held


@pytest.fixture
async def taken() -> list[str]:
    """The ids that were told to be ours no longer."""
    return []


@pytest.fixture
async def holding(renewals: Renewals, taken: list[str]) -> Holding:
    return Holding(cast(QueueScripts, renewals), taken.extend)


async def test_what_was_added_is_renewed_until_it_is_dropped(holding: Holding, renewals: Renewals) -> None:
    holding.add([claim("1", "a"), claim("2", "b")])
    assert holding.renew(None) == 2
    holding.drop([("1", "a")])
    assert holding.renew(None) == 1
    assert renewals.asked == [{"1": "a", "2": "b"}, {"2": "b"}]


async def test_nothing_is_asked_where_nothing_is_held(holding: Holding, renewals: Renewals) -> None:
    assert holding.renew(None) == 0
    assert renewals.asked == []


async def test_a_former_claim_does_not_drop_the_one_that_followed_it(holding: Holding) -> None:
    holding.add([claim("1", "old")])
    holding.add([claim("1", "new")])
    holding.drop([("1", "old"), ("nosuch", "t")])
    assert holding.snapshot() == {"1": "new"}


async def test_many_are_renewed_in_several_calls(holding: Holding, renewals: Renewals) -> None:
    holding.add(claim(str(number)) for number in range(1200))
    assert holding.renew(None) == 1200
    assert [len(asked) for asked in renewals.asked] == [500, 500, 200]


async def test_the_loop_is_told_what_is_ours_no_longer(
    holding: Holding, renewals: Renewals, taken: list[str]
) -> None:
    holding.add([claim("1"), claim("2")])
    renewals.lost = ["2"]
    await asyncio.to_thread(holding.renew, None)
    await until(lambda: taken)
    assert taken == ["2"]


@pytest.mark.parametrize("after", [None, "newer"], ids=["settled", "claimed anew"])
async def test_an_answer_about_what_changed_meanwhile_is_ignored(
    holding: Holding, renewals: Renewals, taken: list[str], after: str | None
) -> None:
    holding.add([claim("1", "asked")])
    renewals.lost = ["1"]

    def change() -> None:
        holding.drop([("1", "asked")])
        if after is not None:
            holding.add([claim("1", after)])

    renewals.meanwhile = change
    await asyncio.to_thread(holding.renew, None)
    await asyncio.sleep(0.02)
    assert taken == []


# The thread


class Kept:
    """A keeper with what it did."""

    def __init__(self, renewals: Renewals, **options: Any) -> None:
        self.connections: list[Connection] = []
        self.deaths: list[int] = []
        self.keeper = LeaseKeeper(self.connect, die=self.deaths.append, **{"interval": 0.05, **options})
        self.holding = self.keeper.register(cast(QueueScripts, renewals), lambda ids: None)

    def connect(self) -> Connection:
        self.connections.append(Connection())
        return self.connections[-1]


@pytest.fixture
async def kept(renewals: Renewals) -> AsyncIterator[Kept]:
    """A keeper that reports a silence after 0.4 s."""
    kept = Kept(renewals, report_after=0.4)
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
    time.sleep(0.5)
    assert len(renewals.asked) - before >= 3


async def test_a_fault_is_logged_and_tried_again_soon_on_another_connection(
    kept: Kept, renewals: Renewals, caplog: pytest.LogCaptureFixture
) -> None:
    renewals.fault = faults.ConnectionError("gone")
    with caplog.at_level(logging.WARNING, "rota.leases"):
        kept.keeper.start()
        await until(lambda: len(kept.connections) >= 2)
    assert kept.connections[0].closed
    assert {record.getMessage() for record in caplog.records} == {"leases.not_renewed"}
    renewals.fault = None
    asked = len(renewals.asked)
    await until(lambda: len(renewals.asked) > asked + 1)


async def test_it_ends_when_it_is_told_to_and_closes_its_connection(kept: Kept, renewals: Renewals) -> None:
    kept.keeper.start()
    await until(lambda: renewals.asked)
    kept.keeper.stop()
    asked = len(renewals.asked)
    assert "rota-leases" not in {thread.name for thread in threading.enumerate()}
    assert kept.connections[0].closed
    await asyncio.sleep(0.1)
    assert len(renewals.asked) == asked


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


async def test_what_was_not_renewed_is_renewed_as_soon_as_the_thread_runs_again(renewals: Renewals) -> None:
    kept = Kept(renewals, interval=60)
    kept.holding.add([claim("1")])
    running = asyncio.create_task(kept.keeper.run())
    await until(lambda: renewals.asked)
    await end({running})


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
    monkeypatch.setattr(leases, "RESCUE", 0.1)
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
        kept.keeper.beat()
        hold_up_the_loop()
        for _ in range(20):
            kept.keeper.beat()
            await asyncio.sleep(0.01)
        await until(lambda: len(caplog.records) > 1)
    blocked, free = caplog.records
    assert (blocked.getMessage(), free.getMessage()) == ("loop.blocked", "loop.free")
    assert "hold_up_the_loop" in vars(blocked)["stack"]
    assert 0.4 <= vars(blocked)["seconds"] <= vars(free)["blocked"]
    assert vars(free)["blocked"] >= 0.9
    assert kept.deaths == []


def hold_up_the_loop() -> None:
    time.sleep(0.9)


async def test_a_loop_that_is_heard_of_is_not_reported(kept: Kept, caplog: pytest.LogCaptureFixture) -> None:
    kept.keeper.start()
    for _ in range(60):
        kept.keeper.beat()
        await asyncio.sleep(0.01)
    assert kept.keeper.watch.silence() < 0.4
    assert not caplog.records


async def test_past_the_limit_the_process_is_ended_and_nothing_is_renewed_any_more(
    renewals: Renewals, caplog: pytest.LogCaptureFixture
) -> None:
    kept = Kept(renewals, block_limit=0.5)
    kept.holding.add([claim("1")])
    kept.keeper.start()
    await until(lambda: kept.deaths)
    asked = len(renewals.asked)
    await asyncio.sleep(0.2)
    assert kept.deaths == [EXIT_BLOCKED]
    assert len(renewals.asked) <= asked + 1, "one may have been under way"
    assert "loop.hung" in {record.getMessage() for record in caplog.records}


# The health file


async def test_the_health_file_is_touched_while_the_loop_is_heard_of(
    renewals: Renewals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "HEALTHY_WITHIN", 0.2)
    file = tmp_path / "alive"
    kept = Kept(renewals, health_file=file)
    kept.keeper.start()

    def touched_after_a_beat() -> bool:
        kept.keeper.beat()
        return file.exists()

    try:
        await until(touched_after_a_beat)
        await asyncio.sleep(0.3)
        file.unlink(missing_ok=True)
        await asyncio.sleep(0.2)
        assert not file.exists(), "the loop was not heard of"
        await until(touched_after_a_beat)
    finally:
        kept.keeper.stop()


async def test_a_health_file_that_cannot_be_written_is_said_and_changes_nothing_else(
    renewals: Renewals, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept = Kept(renewals, health_file=tmp_path / "nosuch" / "alive")
    kept.holding.add([claim("1")])
    kept.keeper.start()
    try:
        await until(lambda: len(renewals.asked) >= 2)
    finally:
        kept.keeper.stop()
    assert "health_file.not_written" in {record.getMessage() for record in caplog.records}
