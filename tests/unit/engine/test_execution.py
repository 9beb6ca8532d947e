"""An execution: the first cause wins, and only the handler is interrupted."""

import asyncio

import pytest

from rota.engine.execution import LAST_CHANCE, PATIENCE, Deadlines, Execution
from rota.model.outcome import Cause
from rota.process.clock import Clock
from rota.wire.claims import Checkpoint, Claim, Settlement, SettlementKind
from rota.wire.log.pieces import NOTHING_NEW

CLAIM = Claim(id="1", token="t", payload=b"{}", attempt=1, due_ms=0, started_ms=0)


@pytest.fixture
def execution() -> Execution:
    return Execution(CLAIM)


def interrupted(execution: Execution) -> list[Cause | None]:
    """Return a list that grows by the cause, as it is known, at each interruption."""
    log: list[Cause | None] = []
    execution.interrupt = lambda: log.append(execution.cause)
    return log


def test_the_cause_is_known_before_the_handler_is_interrupted(execution: Execution) -> None:
    log = interrupted(execution)
    execution.enter()
    execution.stop(Cause.TIMEOUT)
    assert log == [Cause.TIMEOUT]


def test_the_first_cause_wins_and_interrupts_once(execution: Execution) -> None:
    log = interrupted(execution)
    execution.enter()
    execution.stop(Cause.CANCEL)
    execution.stop(Cause.SHUTDOWN)
    assert execution.cause is Cause.CANCEL
    assert log == [Cause.CANCEL]


def test_what_comes_before_and_after_the_handler_is_not_interrupted(execution: Execution) -> None:
    log = interrupted(execution)
    execution.enter()
    execution.leave()
    execution.stop(Cause.SHUTDOWN)
    assert execution.cause is Cause.SHUTDOWN
    assert log == []


def test_a_handler_does_not_start_once_it_was_told_to_stop(execution: Execution) -> None:
    log = interrupted(execution)
    execution.stop(Cause.SHUTDOWN)
    with pytest.raises(asyncio.CancelledError):
        execution.enter()
    assert log == []


async def test_the_ordinary_way_to_interrupt_is_to_cancel_the_task(execution: Execution) -> None:
    async def handler() -> None:
        execution.enter()
        await asyncio.sleep(60)

    execution.task = asyncio.create_task(handler())
    await asyncio.sleep(0)
    execution.stop(Cause.TIMEOUT)
    with pytest.raises(asyncio.CancelledError):
        await execution.task


async def stopped(execution: Execution) -> Cause | None:
    """Wait until an execution is stopped, and return why."""
    async with asyncio.timeout(5):
        while execution.cause is None:
            await asyncio.sleep(0.002)
    return execution.cause


async def test_one_timer_stops_all_handlers_each_at_its_own_time() -> None:
    running: dict[str, Execution] = {}
    deadlines = Deadlines(running)
    for name, seconds in (
        ("patient", 60),
        ("later", 0.06),
        ("soon", 0.01),
        ("ended", 0.01),
        ("unlimited", None),
    ):
        running[name] = execution = Execution(CLAIM, deadlines=deadlines)
        execution.enter()
        if seconds is not None:
            execution.limit(seconds)
    running["ended"].leave()
    assert await stopped(running["soon"]) is Cause.TIMEOUT
    assert running["later"].cause is None, "its time is not over"
    assert await stopped(running["later"]) is Cause.TIMEOUT
    assert [running[name].cause for name in ("patient", "ended", "unlimited")] == [None] * 3
    # The timer was set to the last one's time, and moves to one that is nearer.
    running["next"] = execution = Execution(CLAIM, deadlines=deadlines)
    execution.enter()
    execution.limit(0.01)
    assert await stopped(execution) is Cause.TIMEOUT
    deadlines.close()


async def test_a_handler_that_runs_alone_has_a_timer_of_its_own(execution: Execution) -> None:
    execution.enter()
    execution.limit(60)
    execution.limit(0.01)
    assert await stopped(execution) is Cause.TIMEOUT
    ended = Execution(CLAIM)
    ended.enter()
    ended.limit(0.01)
    ended.leave()
    await asyncio.sleep(0.03)
    assert ended.cause is None


def test_a_handler_that_goes_on_is_interrupted_again_after_some_patience() -> None:
    now = [100.0]
    execution = Execution(CLAIM, Clock(monotonic=lambda: now[0]))
    log = interrupted(execution)
    execution.enter()
    execution.insist()
    assert log == [], "nobody told it to stop"
    execution.stop(Cause.CANCEL)
    for passed, interruptions in ((PATIENCE / 2, 1), (PATIENCE, 2), (PATIENCE * 1.2, 2), (PATIENCE * 2, 3)):
        now[0] = 100.0 + passed
        execution.insist()
        assert len(log) == interruptions
    execution.leave()
    now[0] += PATIENCE
    execution.insist()
    assert len(log) == 3


def test_a_handler_that_ignores_two_interruptions_is_overdue() -> None:
    now = [100.0]
    execution = Execution(CLAIM, Clock(monotonic=lambda: now[0]))
    interrupted(execution)
    execution.enter()
    assert not execution.is_overdue
    execution.stop(Cause.TIMEOUT)
    for passed, overdue in ((PATIENCE, False), (PATIENCE + LAST_CHANCE, True)):
        now[0] = 100.0 + passed
        assert execution.is_overdue is overdue
    execution.leave()
    assert not execution.is_overdue


async def test_what_runs_after_the_handler_is_not_cancelled_by_what_was_meant_for_it(
    execution: Execution,
) -> None:
    async def attempt() -> str:
        execution.enter()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            execution.leave()
        async with asyncio.timeout(5):
            await asyncio.sleep(0)
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        return "settled"

    execution.task = asyncio.create_task(attempt())
    await asyncio.sleep(0)
    execution.stop(Cause.TIMEOUT)
    assert await execution.task == "settled"


def settled(execution: Execution, kind: SettlementKind) -> bytes:
    """Return the checkpoint that goes with a settlement of this kind."""
    return execution.closed_by(Settlement("1", "t", kind)).checkpoint


def test_what_was_saved_last_and_is_not_written_goes_with_the_settlement(execution: Execution) -> None:
    assert execution.unwritten is None
    assert settled(execution, SettlementKind.AGAIN) == b""
    execution.keep(b"1")
    execution.keep(b"2")
    assert execution.unwritten == Checkpoint(2, b"2")
    assert {kind: settled(execution, kind) for kind in SettlementKind} == {
        SettlementKind.AGAIN: b"2 2",
        SettlementKind.DEAD: b"2 2",
        SettlementKind.FINISHED: b"",
    }


def test_what_is_written_does_not(execution: Execution) -> None:
    execution.keep(b"1")
    first = execution.checkpoint
    execution.keep(b"2")
    execution.wrote(first)
    assert execution.unwritten == Checkpoint(2, b"2")
    execution.wrote(execution.checkpoint)
    execution.wrote(first)
    assert execution.unwritten is None
    assert settled(execution, SettlementKind.AGAIN) == b""


def test_numbers_go_on_where_the_attempt_before_ended() -> None:
    claim = Claim("1", "t", b"{}", 2, 0, 0, checkpoint=b'7 {"line":3}')
    execution = Execution(claim)
    assert execution.checkpoint.value == {"line": 3}
    assert execution.unwritten is None
    execution.keep(b'{"line":4}')
    assert settled(execution, SettlementKind.AGAIN) == b'8 {"line":4}'


class Lines:
    """A log with one line that is not written yet."""

    def add(self, line: bytes, /) -> None: ...

    def answered(self, is_written: bool, /) -> None: ...

    def unwritten(self) -> bytes:
        return b"name\nlines\n"

    def close(self) -> bytes:
        return self.unwritten()


@pytest.mark.parametrize(
    ("attempt", "snoozes", "said"), [(1, 0, b""), (2, 0, NOTHING_NEW), (1, 1, NOTHING_NEW)]
)
def test_an_attempt_that_logs_nothing_says_so_only_where_an_earlier_one_may_have(
    attempt: int, snoozes: int, said: bytes
) -> None:
    claim = Claim("1", "t", b"{}", attempt, due_ms=0, started_ms=0, snoozes=snoozes)
    execution = Execution(claim)
    settlement = Settlement.finished(claim)
    assert execution.closed_by(settlement).log == b"", "no log of this job is kept"
    execution.keeps_log = True
    assert execution.closed_by(settlement).log == said
    execution.log = Lines()
    assert execution.closed_by(settlement).log == b"name\nlines\n"
