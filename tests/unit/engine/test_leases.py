"""Leases: what is held is renewed until it is dropped, and the loop hears of what was lost."""

import asyncio
import logging
from typing import cast

import pytest
from redis import exceptions as faults

from rota.engine.leases import AGAIN, Holding, Leases
from rota.process.clock import Clock
from rota.wire.queue import QueueScripts
from tests.unit.engine.renewals import Connection, Renewals, claim
from tests.waiting import until


@pytest.fixture
def renewals() -> Renewals:
    return Renewals()


# What is held


@pytest.fixture
async def taken() -> list[str]:
    """Return a list for the ids whose claims were reported lost."""
    return []


@pytest.fixture
async def holding(renewals: Renewals, taken: list[str]) -> Holding:
    return Holding(cast(QueueScripts, renewals), taken.extend)


async def test_what_was_added_is_renewed_until_it_is_dropped(holding: Holding, renewals: Renewals) -> None:
    holding.add([claim("1", "a"), claim("2", "b")])
    assert holding.renew(None) == 2
    holding.drop([claim("1", "a")])
    assert holding.renew(None) == 1
    assert renewals.asked == [{"1": "a", "2": "b"}, {"2": "b"}]


async def test_nothing_is_asked_where_nothing_is_held(holding: Holding, renewals: Renewals) -> None:
    assert holding.renew(None) == 0
    assert renewals.asked == []


async def test_a_former_claim_does_not_drop_the_one_that_followed_it(holding: Holding) -> None:
    holding.add([claim("1", "old")])
    holding.add([claim("1", "new")])
    holding.drop([claim("1", "old"), claim("nosuch", "t")])
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
        holding.drop([claim("1", "asked")])
        if after is not None:
            holding.add([claim("1", after)])

    renewals.meanwhile = change
    await asyncio.to_thread(holding.renew, None)
    # Whatever the other thread has sent to the loop is done after one turn of it.
    await asyncio.sleep(0)
    assert taken == []


# When they are renewed


class Kept:
    """The leases of a process by a clock that is moved, with the connections that they made."""

    def __init__(self, renewals: Renewals, interval: float = 10.0) -> None:
        self.now = 1000.0
        self.connections: list[Connection] = []
        self.leases = Leases(self.connect, interval=interval, clock=Clock(monotonic=lambda: self.now))
        self.holding = self.leases.hold(cast(QueueScripts, renewals), lambda ids: None)
        self.holding.add([claim("1")])

    def connect(self) -> Connection:
        self.connections.append(Connection())
        return self.connections[-1]

    def keep(self, after: float) -> None:
        self.now += after
        self.leases.keep()


async def test_they_are_renewed_once_an_interval_on_one_connection(renewals: Renewals) -> None:
    kept = Kept(renewals)
    for after, renewed in ((0, 1), (9.9, 1), (0.1, 2), (5, 2), (4.9, 2), (0.1, 3), (30, 4)):
        kept.keep(after)
        assert len(renewals.asked) == renewed
    assert len(kept.connections) == 1


async def test_a_fault_is_logged_and_tried_again_soon_on_another_connection(
    renewals: Renewals, caplog: pytest.LogCaptureFixture
) -> None:
    kept = Kept(renewals)
    renewals.fault = faults.ConnectionError("gone")
    with caplog.at_level(logging.WARNING, "rota.leases"):
        kept.keep(0)
        kept.keep(AGAIN)
    assert [record.getMessage() for record in caplog.records] == ["leases.not_renewed"]
    assert kept.connections[0].closed
    renewals.fault = None
    kept.keep(AGAIN * 0.9)
    assert len(renewals.asked) == 2
    kept.keep(AGAIN * 0.1)
    assert (len(renewals.asked), len(kept.connections)) == (3, 3)
    kept.keep(9.9)
    assert len(renewals.asked) == 3


async def test_leases_that_a_bug_kept_from_being_renewed_are_due_at_once(renewals: Renewals) -> None:
    kept = Kept(renewals)
    renewals.fault = TypeError("a bug of ours")
    with pytest.raises(TypeError):
        kept.keep(0)
    renewals.fault = None
    kept.keep(0)
    assert len(renewals.asked) == 2


async def test_all_queues_are_renewed_together(renewals: Renewals) -> None:
    kept, other = Kept(renewals), Renewals()
    kept.leases.hold(cast(QueueScripts, other), lambda ids: None).add([claim("2")])
    kept.keep(0)
    assert (renewals.asked, other.asked) == ([{"1": "t"}], [{"2": "t"}])
    kept.leases.close()
    assert kept.connections[0].closed


async def test_what_was_released_is_not_renewed_though_it_was_never_dropped(renewals: Renewals) -> None:
    kept = Kept(renewals)
    kept.leases.release(kept.holding)
    kept.keep(0)
    assert kept.holding.snapshot() == {"1": "t"}
    assert renewals.asked == []
