"""A shift: what becomes of a worker's claims when its work ends."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest
from redis.exceptions import ConnectionError as Disconnected

from rota.engine.capacity import Capacity
from rota.engine.execution import Execution
from rota.engine.isolation import Isolation
from rota.engine.leases import Leases
from rota.engine.link import QueueLink
from rota.engine.shares import UNLIMITED
from rota.engine.tokens import OwnTokens
from rota.server.outage import Outage
from rota.wire.claims import Claim, Settlement, hand_back
from rota.wire.keys import QueueKeys
from rota.wire.queue import QueueScripts, StepReply
from rota.worker import shift as shifts
from rota.worker.shift import Shift
from tests.waiting import until


class Scripts:
    """The scripts of a queue that holds one job; once `is_away`, the server answers nothing more."""

    service = None
    lease = 30.0
    keys = QueueKeys.of("arq:queue:email")

    def __init__(self) -> None:
        self.is_away = False
        self.due = [Claim(id="1", token="t", payload=b"{}", attempt=1, due_ms=0, started_ms=0)]
        self.settled: list[Settlement] = []
        self.calls: list[str] = []
        self.renewed: list[dict[str, str]] = []

    async def step(self, redis: object, *, want: int, settlements: list[Settlement], **_: Any) -> StepReply:
        if self.is_away:
            raise Disconnected("gone")
        self.settled += settlements
        taken, self.due = self.due[:want], self.due[want:]
        return StepReply(0, None, False, [True] * len(settlements), taken)

    async def watch(self, redis: object, life: float) -> bool:
        self.calls.append("resign" if not life else "watch")
        return False

    async def forget(self, redis: object, lanes: int) -> None:
        self.calls.append("forget")

    def renew(self, redis: object, held: dict[str, str]) -> list[str]:
        self.renewed.append(held)
        return []

    async def execute_command(self, *_: object) -> object:
        """Block for ever, as a call on an empty wake list may."""
        return await asyncio.Event().wait()


class Jobs:
    """A contract whose jobs run until they are stopped, and are then handed back."""

    def __init__(self) -> None:
        self.running: list[str] = []

    async def execute(self, execution: Execution) -> Settlement:
        execution.enter()
        self.running.append(execution.claim.id)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return hand_back(execution.claim)
        finally:
            execution.leave()
        raise AssertionError("it waits for ever")

    def claimed(self, claims: Sequence[Claim]) -> None:
        """Do nothing: the scripts note what was claimed."""

    def settled(self, settlements: Sequence[Settlement], counted: Sequence[bool]) -> None:
        """Do nothing: the scripts note what was settled."""

    def reported(self, claim: Claim, task: str, percent: float, message: str) -> None:
        """Do nothing: no job reports progress here."""

    def strangers(self) -> tuple[str, ...]:
        """Return none: every job is known here."""
        return ()

    async def finished(self) -> None:
        """Return at once: nothing is left behind."""


class Works:
    """A shift on a queue with one job, and what it needs."""

    def __init__(self) -> None:
        self.scripts, self.jobs = Scripts(), Jobs()
        self.leases = Leases(lambda: None, interval=0)
        self.over = asyncio.Event()
        link = QueueLink(cast(QueueScripts, self.scripts), self.scripts, Outage("email"))
        self.shift = Shift(
            link,
            OwnTokens(self.scripts),
            self.jobs,
            Capacity(1),
            leases=self.leases,
            isolation=Isolation(),
            share=UNLIMITED,
            cancellable=False,
        )

    async def until_over(self) -> None:
        await self.over.wait()


@pytest.fixture
async def works() -> Works:
    return Works()


async def test_what_runs_when_the_shift_ends_is_handed_back(works: Works) -> None:
    task = asyncio.create_task(works.shift.run(works.until_over()))
    await until(lambda: works.jobs.running)
    works.over.set()
    await task
    assert [(settlement.id, settlement.unspent) for settlement in works.scripts.settled] == [("1", True)]
    assert works.scripts.calls[-2:] == ["resign", "forget"]
    assert works.shift.engine.holding.snapshot() == {}


async def test_what_could_not_be_settled_is_not_renewed_any_longer(
    works: Works, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(shifts, "LAST_MOMENT", 0.3)
    task = asyncio.create_task(works.shift.run(works.until_over()))
    await until(lambda: works.jobs.running)
    works.leases.keep()
    works.scripts.is_away = True
    works.over.set()
    await task
    works.leases.keep()
    assert works.scripts.renewed == [{"1": "t"}], "renewed once, before the shift was over"
    assert works.scripts.settled == []
    assert "worker.not_settled" in {record.getMessage() for record in caplog.records}


async def test_a_bug_in_a_part_of_the_worker_ends_the_shift_and_is_raised(works: Works) -> None:
    async def fail() -> None:
        await until(lambda: works.jobs.running)
        raise TypeError("a bug of ours")

    with pytest.raises(TypeError, match="a bug of ours"):
        await works.shift.run(works.until_over(), fail())
    assert [settlement.id for settlement in works.scripts.settled] == ["1"]
