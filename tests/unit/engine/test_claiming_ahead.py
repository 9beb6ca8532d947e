"""Claims ahead of the slots that become free while a step is under way: how many, and what becomes of them."""

import asyncio

import pytest

from rota.engine import executions
from rota.engine.capacity import Access, Capacity
from rota.engine.execution import Execution
from rota.engine.executions import Executions
from rota.model.outcome import Cause
from rota.wire.claims import Claim, Settlement
from rota.wire.queue import BATCH
from tests.unit.engine.test_engine import Bench, Jobs, Queue, at_work, settled_steps
from tests.waiting import until

SLOTS = 10


@pytest.mark.parametrize(
    ("slots", "ending", "ahead"),
    [
        (100, 0.0, 0),
        (100, 4.5, 0),  # not worth it
        (100, 5.0, 10),
        (100, 30.0, 60),
        (100, 100.0, 200),
        (100, 300.0, 200),  # never more than the lanes beside the first could bring
        (9, 3.0, 6),
        (9, 8.0, 9),
        (8, 8.0, 0),  # with one lane
    ],
)
def test_as_many_are_claimed_ahead_as_end_during_two_steps(slots: int, ending: float, ahead: int) -> None:
    assert Capacity(slots).ahead(ending) == ahead


@pytest.mark.parametrize(
    ("running", "waiting", "asked", "budget", "startable"),
    [
        (100, 0, 0, None, 60),
        (100, 40, 0, None, 20),
        (100, 30, 30, None, 0),
        (0, 0, 0, None, 80),
        (100, 5, 5, 12, 2),
    ],
)
def test_what_waits_and_is_asked_for_is_left_out(
    running: int, waiting: int, asked: int, budget: int | None, startable: int
) -> None:
    capacity = Capacity(100, lambda: budget)
    assert capacity.startable(running, asked, Access.SHARED, waiting=waiting, ahead=60) == startable


def test_a_step_claims_no_more_than_its_share_and_no_more_than_a_step_may() -> None:
    assert Capacity(20).startable(0, 0, Access.SHARED, ahead=10) == 15
    assert Capacity(1000).startable(0, 0, Access.SHARED, ahead=1000) == BATCH
    assert Capacity(100).startable(0, 0, Access.CLOSED, ahead=100) == 0


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what waits do so for as long as a busy machine takes."""
    monkeypatch.setattr(executions, "LONGEST_WAIT", 60)
    monkeypatch.setattr(executions, "SHORT", 60)


async def hurry(bench: Bench) -> None:
    """Let jobs end while steps are under way, until the engine has claimed some ahead."""
    await until(lambda: len(bench.jobs.running) == SLOTS)
    while not bench.engine.executions.waiting:
        await end_half(bench)


async def end_half(bench: Bench) -> None:
    queue, jobs = bench.queue, bench.jobs
    queue.gate.clear()
    first = list(jobs.running)[: SLOTS // 2]
    jobs.let_go(*first[:1])
    await settled_steps()
    jobs.let_go(*first[1:])
    await settled_steps()
    queue.gate.set()
    await settled_steps()


async def test_short_jobs_are_claimed_ahead_and_start_as_soon_as_a_slot_is_free() -> None:
    async with at_work(Queue(1000), slots=SLOTS) as bench:
        await hurry(bench)
        waiting = list(bench.engine.executions.waiting)
        assert len(bench.jobs.running) == SLOTS
        assert bench.engine.taken > SLOTS
        assert {*waiting, *bench.jobs.running} <= set(bench.holding.snapshot())
        # No step comes back before they have started.
        bench.queue.gate.clear()
        bench.jobs.let_go(next(iter(bench.jobs.running)))
        await until(lambda: waiting[0] in bench.jobs.running)
        assert bench.jobs.most == SLOTS


async def test_long_jobs_that_end_together_are_followed_by_no_claims_ahead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(executions, "SHORT", 0)  # however fast the machine is
    async with at_work(Queue(1000), slots=SLOTS) as bench:
        for _ in range(20):
            await until(lambda: len(bench.jobs.running) == SLOTS)
            await end_half(bench)
            assert not bench.engine.executions.waiting
            assert bench.engine.taken <= SLOTS


@pytest.mark.parametrize(("ending", "steps"), [(BATCH, [BATCH] * 3), (BATCH - 1, [BATCH] * 2), (0, [50, 50])])
async def test_a_third_step_goes_out_only_if_it_is_a_whole_one(ending: int, steps: list[int]) -> None:
    async with at_work(Queue(5000), slots=BATCH) as bench:
        await until(lambda: len(bench.jobs.running) == BATCH)
        await settled_steps()
        bench.engine.executions.ending = ending
        before = len(bench.queue.steps)
        bench.queue.gate.clear()
        bench.jobs.let_go()
        await settled_steps()
        for _ in range(4):
            bench.engine.look()
            await settled_steps()
        assert [want for _, want in bench.queue.steps[before:]] == steps
        bench.queue.gate.set()
        await until(lambda: len(bench.jobs.running) == BATCH)
        assert bench.jobs.most == BATCH


async def test_what_finds_no_slot_for_a_while_goes_back_unspent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executions, "LONGEST_WAIT", 0.05)
    async with at_work(Queue(1000), slots=SLOTS) as bench:
        await hurry(bench)
        waiting = set(bench.engine.executions.waiting)
        running = set(bench.jobs.running)
        await until(lambda: waiting <= {one.id for one in bench.queue.settled})
        gone_back = [one for one in bench.queue.settled if one.id in waiting]
        assert {(one.kind, one.delay_ms, one.unspent) for one in gone_back} == {("again", None, True)}
        # Those that run are long, so nothing is claimed ahead of them again.
        await until(lambda: not bench.engine.busy or bench.engine.taken == SLOTS)
        steps = len(bench.queue.steps)
        await asyncio.sleep(0.1)
        assert (set(bench.jobs.running), len(bench.queue.steps)) == (running, steps)


async def test_a_queue_that_ran_dry_begins_without_claims_ahead() -> None:
    async with at_work(Queue(1000), slots=SLOTS) as bench:
        await hurry(bench)
        bench.queue.due = []
        bench.jobs.let_go()
        while bench.engine.busy:
            bench.jobs.let_go()
            await settled_steps()
        bench.queue.due = [f"long-{number}" for number in range(100)]
        bench.engine.look()
        await until(lambda: len(bench.jobs.running) == SLOTS)
        await settled_steps()
        assert not bench.engine.executions.waiting


async def test_who_picks_no_more_gives_back_what_waits_at_once() -> None:
    async with at_work(Queue(1000), slots=SLOTS) as bench:
        await hurry(bench)
        waiting = set(bench.engine.executions.waiting)
        bench.engine.picking = False
        bench.engine.stop(Cause.SHUTDOWN)
        await bench.engine.quiet()
        assert waiting <= {one.id for one in bench.queue.settled if one.unspent}
        assert not waiting & set(bench.jobs.causes)
        assert bench.holding.snapshot() == {}


async def test_jobs_that_end_while_they_start_are_started_one_after_the_other() -> None:
    first = asyncio.Event()

    class AtOnce(Jobs):
        async def execute(self, execution: Execution) -> Settlement:
            if execution.claim.id == "0":
                await first.wait()
            return Settlement.finished(execution.claim)

    ended: list[str] = []
    run = Executions(AtOnce(), service=None, slots=1, ended=lambda settlement: ended.append(settlement.id))
    # More than calls fit into each other.
    many = [str(number) for number in range(2000)]
    run.take(Claim(job_id, f"token-{job_id}", b"{}", attempt=1, due_ms=0, started_ms=0) for job_id in many)
    assert len(run) == 1
    first.set()
    await until(lambda: len(ended) == len(many))
    assert ended == many


async def test_what_was_taken_away_while_it_waited_does_not_start() -> None:
    async with at_work(Queue(1000), Jobs(), slots=SLOTS) as bench:
        await hurry(bench)
        lost, *others = bench.engine.executions.waiting
        bench.queue.lost = [lost]
        await asyncio.to_thread(bench.holding.renew, None)
        await until(lambda: lost not in bench.engine.executions.waiting)
        bench.jobs.let_go()
        await until(lambda: set(others) <= {*bench.jobs.running, *bench.jobs.causes})
        assert lost not in bench.jobs.running
        assert lost not in bench.jobs.causes
