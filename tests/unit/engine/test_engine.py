"""The engine: slots filled and settled in shared steps, seen against a queue that is a list."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, cast

import pytest

from rota.engine.capacity import Capacity
from rota.engine.engine import Engine
from rota.engine.execution import Execution
from rota.engine.isolation import Isolation
from rota.engine.leases import Leases
from rota.engine.link import QueueLink
from rota.engine.shares import Shares
from rota.model.outcome import Cause
from rota.server.outage import Outage
from rota.wire.claims import Checkpoint, Claim, Report, Settlement, hand_back
from rota.wire.queue import QueueScripts, StepReply
from rota.wire.results import error_of
from tests.waiting import until


class Queue:
    """The scripts that an engine needs, on a list of jobs."""

    service = True

    def __init__(self, jobs: int = 0) -> None:
        self.due = [f"{number:03}" for number in range(jobs)]
        self.steps: list[tuple[list[str], int]] = []
        self.settled: list[Settlement] = []
        self.stale: set[str] = set()
        self.reports: list[Report] = []
        self.kept: list[tuple[str, Checkpoint]] = []
        self.faults = 0
        self.aborts: dict[bytes, float] = {}
        self.upcoming: float | None = None
        self.lost: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def step(
        self, redis: object, *, want: int, settlements: Sequence[Settlement], seq: int, lane: int, **_: Any
    ) -> StepReply:
        self.steps.append(([settlement.id for settlement in settlements], want))
        await self.gate.wait()
        self.settled += settlements
        taken, self.due = self.due[:want], self.due[want:]
        claims = [
            Claim(id=job_id, token=f"{lane}:{seq}:{job_id}", payload=b"{}", attempt=1, due_ms=0, started_ms=0)
            for job_id in taken
        ]
        answers = [settlement.id not in self.stale for settlement in settlements]
        return StepReply(0, self.upcoming, bool(want and self.due), answers, claims)

    async def report(self, redis: object, reports: Sequence[Report]) -> int:
        self.reports += reports
        return len(reports)

    async def keep(self, redis: object, said: Sequence[tuple[Claim, Checkpoint]]) -> int:
        if self.faults:
            self.faults -= 1
            raise ConnectionError("cut off")
        self.kept += [(claim.token, checkpoint) for claim, checkpoint in said]
        return len(said)

    def renew(self, redis: object, held: Mapping[str, str]) -> list[str]:
        return [job_id for job_id in held if job_id in self.lost]

    async def execute_command(self, *command: Any) -> Any:
        assert command[:2] == ("ZMSCORE", "arq:abort")
        return [self.aborts.get(member) for member in command[2:]]


class Jobs:
    """A contract whose jobs run until they are let go, and that notes why they were stopped."""

    def __init__(self) -> None:
        self.running: dict[str, asyncio.Event] = {}
        self.most = 0
        self.causes: dict[str, Cause | None] = {}
        self.told: list[tuple[str, bool]] = []
        self.progress: list[tuple[str, float]] = []
        self.bug: Exception | None = None

    async def execute(self, execution: Execution) -> Settlement:
        claim = execution.claim
        if self.bug is not None:
            raise self.bug
        self.running[claim.id] = asyncio.Event()
        self.most = max(self.most, len(self.running))
        try:
            execution.enter()
            await self.running[claim.id].wait()
        except asyncio.CancelledError:
            return hand_back(claim)
        finally:
            execution.leave()
            self.causes[claim.id] = execution.cause
            self.running.pop(claim.id, None)
        return Settlement.finished(claim)

    def let_go(self, *ids: str) -> None:
        for job_id in ids or list(self.running):
            self.running[job_id].set()

    def claimed(self, claims: Sequence[Claim]) -> None:
        """Do nothing: the scripts note what was claimed."""

    def settled(self, settlements: Sequence[Settlement], counted: Sequence[bool]) -> None:
        self.told += zip((settlement.id for settlement in settlements), counted, strict=True)

    def reported(self, claim: Claim, task: str, percent: float, message: str) -> None:
        self.progress.append((claim.id, percent))

    def strangers(self) -> tuple[str, ...]:
        """Return none: every job is known here."""
        return ()

    async def finished(self) -> None:
        """Return at once: nothing is left behind."""


class Bench:
    """An engine at work on a queue."""

    def __init__(
        self, queue: Queue, jobs: Jobs, *, slots: int = 4, budget: Any = lambda: None, **options: Any
    ) -> None:
        self.queue, self.jobs = queue, jobs
        link = QueueLink(cast(QueueScripts, queue), queue, Outage("email"))
        settings = {"cancellable": True, "isolation": Isolation(), **options}
        leases = Leases(lambda: None, interval=10)
        self.engine = Engine(link, jobs, Capacity(slots, budget), leases=leases, **settings)
        self.holding = self.engine.holding


@contextlib.asynccontextmanager
async def at_work(queue: Queue, jobs: Jobs | None = None, **options: Any) -> AsyncIterator[Bench]:
    bench = Bench(queue, jobs or Jobs(), **options)
    task = asyncio.create_task(bench.engine.run())
    try:
        yield bench
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def settled_steps() -> None:
    """Let the engine do whatever it would do by itself at once: a step takes some turns of the loop, and no time."""
    for _ in range(100):
        await asyncio.sleep(0)


# Slots


@pytest.mark.parametrize(("slots", "lanes"), [(1, 1), (4, 1), (9, 2), (20, 2)])
async def test_every_slot_is_filled_and_none_twice(slots: int, lanes: int) -> None:
    async with at_work(Queue(50), slots=slots) as bench:
        assert bench.engine.capacity.lanes == lanes
        await until(lambda: len(bench.jobs.running) == slots)
        await settled_steps()
        assert bench.jobs.most == slots
        assert not bench.engine.has_free_slot
        assert len(bench.queue.due) == 50 - slots
        assert sorted(bench.holding.snapshot()) == sorted(bench.jobs.running)


async def test_jobs_start_in_the_order_of_the_queue() -> None:
    async with at_work(Queue(30), slots=1) as bench:
        for number in range(30):
            await until(lambda number=number: list(bench.jobs.running) == [f"{number:03}"])
            bench.jobs.let_go()


async def test_a_settlement_and_the_next_claim_share_a_step() -> None:
    async with at_work(Queue(3), slots=1) as bench:
        for number in range(3):
            await until(lambda number=number: f"{number:03}" in bench.jobs.running)
            bench.jobs.let_go()
        await until(lambda: len(bench.queue.settled) == 3)
    assert bench.queue.steps[:4] == [([], 1), (["000"], 1), (["001"], 1), (["002"], 1)]


async def test_what_finishes_while_a_step_is_under_way_gathers_for_the_next() -> None:
    async with at_work(Queue(4)) as bench:
        await until(lambda: len(bench.jobs.running) == 4)
        bench.queue.gate.clear()
        bench.jobs.let_go("000")
        await until(lambda: bench.queue.steps[-1][0] == ["000"])
        bench.jobs.let_go("001", "002", "003")
        await settled_steps()
        bench.queue.gate.set()
        await until(lambda: len(bench.queue.settled) == 4)
        assert bench.queue.steps[-1][0] == ["001", "002", "003"]


async def test_a_lease_is_held_until_its_settlement_is_acknowledged() -> None:
    async with at_work(Queue(1)) as bench:
        await until(lambda: bench.jobs.running)
        bench.queue.gate.clear()
        bench.jobs.let_go()
        await until(lambda: bench.queue.steps[-1][0] == ["000"])
        assert list(bench.holding.snapshot()) == ["000"]
        assert bench.engine.busy
        bench.queue.gate.set()
        await bench.engine.quiet()
        assert bench.holding.snapshot() == {}
        assert bench.jobs.told == [("000", True)]


async def test_an_empty_queue_is_asked_once_and_again_when_there_may_be_work() -> None:
    async with at_work(Queue()) as bench:
        await until(lambda: bench.queue.steps)
        await settled_steps()
        assert bench.queue.steps == [([], 4)]
        bench.queue.due = ["a", "b"]
        bench.engine.look()
        await until(lambda: len(bench.jobs.running) == 2)


async def test_a_worker_is_ready_for_a_token_only_while_a_slot_is_free() -> None:
    async with at_work(Queue(1), slots=1) as bench:
        await until(lambda: bench.jobs.running)
        ready = asyncio.create_task(bench.engine.ready())
        await settled_steps()
        assert not ready.done()
        bench.jobs.let_go()
        await asyncio.wait_for(ready, 5)


async def test_the_budget_bounds_what_is_started_at_all() -> None:
    queue, jobs = Queue(10), Jobs()
    async with at_work(queue, jobs, budget=lambda: len(queue.due) - 7) as bench:
        await until(lambda: len(jobs.running) == 3)
        jobs.let_go()
        await bench.engine.quiet()
        bench.engine.look()
        await settled_steps()
        assert jobs.most == 3
        assert len(queue.due) == 7


async def test_it_looks_again_when_the_next_job_becomes_due() -> None:
    queue = Queue()
    queue.upcoming = 0.05
    async with at_work(queue) as bench:
        await until(lambda: bench.queue.steps)
        queue.due, queue.upcoming = ["late"], None
        await until(lambda: "late" in bench.jobs.running)


async def test_after_a_mere_poll_only_the_watcher_sets_an_alarm() -> None:
    queue = Queue()
    watches = [False]
    async with at_work(queue, alarm=lambda: watches[0]) as bench:
        await until(lambda: queue.steps)
        queue.upcoming = 0.02
        bench.engine.look(polled=True)
        await until(lambda: len(queue.steps) == 2)
        await asyncio.sleep(0.1)
        assert len(queue.steps) == 2
        watches[0] = True
        bench.engine.look(polled=True)
        await until(lambda: len(queue.steps) >= 4)


# Stopping


async def test_who_picks_no_more_hands_back_what_was_already_under_way() -> None:
    queue = Queue(4)
    queue.gate.clear()
    async with at_work(queue) as bench:
        await until(lambda: queue.steps)
        bench.engine.picking = False
        queue.gate.set()
        await until(lambda: len(queue.settled) == 4)
    assert bench.jobs.most == 0
    assert {(one.kind, one.delay_ms, one.unspent) for one in queue.settled} == {("again", None, True)}


async def test_stopping_tells_every_running_job_why() -> None:
    async with at_work(Queue(3)) as bench:
        await until(lambda: len(bench.jobs.running) == 3)
        bench.engine.picking = False
        bench.engine.stop(Cause.SHUTDOWN)
        await bench.engine.quiet()
    assert set(bench.jobs.causes.values()) == {Cause.SHUTDOWN}
    assert len(bench.queue.settled) == 3


async def test_it_is_quiet_when_nothing_runs_and_everything_is_settled() -> None:
    async with at_work(Queue(2)) as bench:
        await until(lambda: len(bench.jobs.running) == 2)
        quiet = asyncio.create_task(bench.engine.quiet())
        bench.jobs.let_go("000")
        await settled_steps()
        assert not quiet.done()
        bench.jobs.let_go("001")
        await asyncio.wait_for(quiet, 5)
        assert len(bench.queue.settled) == 2


# What is no longer ours


async def test_a_stale_settlement_is_counted_logged_and_told(caplog: pytest.LogCaptureFixture) -> None:
    queue = Queue(2)
    queue.stale = {"001"}
    async with at_work(queue) as bench:
        await until(lambda: len(bench.jobs.running) == 2)
        bench.jobs.let_go()
        await bench.engine.quiet()
    assert sorted(bench.jobs.told) == [("000", True), ("001", False)]
    assert bench.engine.stale == 1
    assert [vars(record)["job_id"] for record in caplog.records if record.getMessage() == "job.stale"] == [
        "001"
    ]


async def test_a_job_whose_lease_was_taken_away_is_stopped_and_the_others_are_not() -> None:
    queue = Queue(2)
    async with at_work(queue) as bench:
        await until(lambda: len(bench.jobs.running) == 2)
        queue.lost = ["001"]
        await asyncio.to_thread(bench.holding.renew, None)
        await until(lambda: "001" in bench.jobs.causes)
        assert bench.jobs.causes == {"001": Cause.LEASE_LOST}
        bench.engine.executions.lost(["nosuch"])
        assert list(bench.jobs.running) == ["000"]


async def test_a_job_that_comes_back_to_its_worker_ends_the_run_that_lost_it() -> None:
    queue = Queue(1)
    async with at_work(queue) as bench:
        await until(lambda: bench.jobs.running)
        queue.due = ["000"]
        bench.engine.look()
        await until(lambda: bench.jobs.causes)
        assert bench.jobs.causes == {"000": Cause.LEASE_LOST}
        await until(lambda: bench.engine.executions)


# Our own bugs


async def test_a_job_that_our_own_code_fails_on_comes_back_later(caplog: pytest.LogCaptureFixture) -> None:
    jobs = Jobs()
    jobs.bug = TypeError("a bug of ours")
    with caplog.at_level(logging.ERROR, "rota.worker"):
        async with at_work(Queue(1), jobs) as bench:
            await until(lambda: bench.queue.settled)
    (settlement,) = bench.queue.settled
    assert settlement.kind == "again"
    assert (settlement.delay_ms or 0) >= 1000
    assert not settlement.unspent, "or it would come back for ever"
    assert [record.getMessage() for record in caplog.records] == ["job.stumbled"]


async def test_one_that_our_code_fails_on_each_time_is_a_dead_letter() -> None:
    jobs = Jobs()
    jobs.bug = TypeError("a bug of ours")
    bench = Bench(Queue(), jobs)
    claim = Claim(id="1", token="t", payload=b"{}", attempt=99, due_ms=0, started_ms=0)
    settlement = bench.engine.executions.stumbled(claim, jobs.bug)
    assert (settlement.kind, settlement.reason, settlement.event) == ("dead", "stumbled", "dead")
    assert error_of(settlement.detail).message == "a bug of ours"


# Cancels and progress


async def test_a_cancel_reaches_its_job_while_all_slots_are_busy() -> None:
    queue = Queue(5)
    async with at_work(queue) as bench:
        await until(lambda: len(bench.jobs.running) == 4)
        queue.aborts = {b"002": 1.0}
        await until(lambda: bench.jobs.causes)
        assert bench.jobs.causes == {"002": Cause.CANCEL}
        await until(lambda: "004" in bench.jobs.running)


async def test_cancels_are_not_looked_for_where_nobody_may_cancel() -> None:
    queue = Queue(1)
    queue.aborts = {b"000": 1.0}
    async with at_work(queue, cancellable=False) as bench:
        await until(lambda: bench.jobs.running)
        # A beat hears of cancels before it writes checkpoints.
        bench.engine.executions["000"].keep(b"1")
        await until(lambda: queue.kept)
        assert bench.jobs.causes == {}


async def test_of_many_reports_the_last_is_written_and_then_told() -> None:
    async with at_work(Queue(1)) as bench:
        await until(lambda: bench.engine.executions)
        (execution,) = bench.engine.executions.values()
        for percent in (10.0, 20.0, 30.0):
            bench.engine.pulse.report(execution.claim, "greet", percent, "on the way")
        await until(lambda: bench.jobs.progress)
        assert bench.jobs.progress == [("000", 30.0)]
        assert bench.queue.reports == [(execution.claim, "greet", 30.0, "on the way")]


# Beside other queues, where the slots of the process are capped


@contextlib.asynccontextmanager
async def two_at_work(slots: int, *queues: Queue) -> AsyncIterator[tuple[Bench, Bench]]:
    shares = Shares(slots)
    async with contextlib.AsyncExitStack() as stack:
        benches = [await stack.enter_async_context(at_work(queue, share=shares.share())) for queue in queues]
        yield benches[0], benches[1]


async def test_two_queues_run_no_more_than_their_process_may() -> None:
    async with two_at_work(3, Queue(9), Queue(9)) as (one, other):
        await until(lambda: one.engine.taken + other.engine.taken == 3)
        await settled_steps()
        assert sorted((len(one.jobs.running), len(other.jobs.running))) == [1, 2]


async def test_a_job_s_end_lets_the_other_queue_go_on() -> None:
    async with two_at_work(1, Queue(9), Queue(9)) as (one, other):
        await until(lambda: one.jobs.running)
        one.jobs.let_go()
        await until(lambda: other.jobs.running)
        assert not one.jobs.running
        other.jobs.let_go()
        await until(lambda: one.jobs.running)


async def test_whoever_is_held_back_takes_no_steps() -> None:
    async with two_at_work(1, Queue(1), Queue(9)) as (one, other):
        await until(lambda: one.jobs.running)
        await settled_steps()
        assert other.queue.steps == []
        assert other.engine.held_back
        assert other.engine.wants_slot


async def test_a_step_that_finds_nothing_leaves_its_slots_to_the_others() -> None:
    async with two_at_work(4, Queue(), Queue(9)) as (_, other):
        await until(lambda: len(other.jobs.running) == 4)


async def test_a_step_that_hangs_holds_the_others_up_for_a_moment_only() -> None:
    stuck = Queue(9)
    stuck.gate.clear()
    async with two_at_work(3, stuck, Queue(9)) as (one, other):
        await until(lambda: stuck.steps)
        for number in range(1, 9):
            await until(lambda: other.jobs.running)
            other.jobs.let_go()
            await until(lambda number=number: len(other.queue.settled) >= number)
        assert not one.jobs.running
        stuck.gate.set()
        await until(lambda: one.jobs.running)


async def test_a_suspect_has_the_process_to_itself_whosever_turn_it_is() -> None:
    isolation, shares = Isolation(), Shares(2)
    async with (
        at_work(Queue(9), share=shares.share(), isolation=isolation) as one,
        at_work(Queue(9), share=shares.share(), isolation=isolation) as other,
    ):
        await until(lambda: one.jobs.running and other.jobs.running)
        isolation.ask(other.engine)
        other.jobs.let_go()
        await until(lambda: not other.jobs.running)
        await settled_steps()
        assert not other.jobs.running
        one.jobs.let_go()
        await until(lambda: other.jobs.running)
        assert not one.jobs.running


async def test_a_suspect_s_turn_comes_when_another_queue_s_step_came_back_with_nothing() -> None:
    isolation, idle = Isolation(), Queue()
    idle.gate.clear()
    async with at_work(idle, isolation=isolation), at_work(Queue(), isolation=isolation) as other:
        await until(lambda: idle.steps and other.queue.steps)
        other.queue.due = ["suspect"]
        isolation.ask(other.engine)
        await settled_steps()
        assert not other.jobs.running
        idle.gate.set()
        await until(lambda: other.jobs.running)


# Checkpoints


async def test_of_many_checkpoints_the_last_is_written_once() -> None:
    async with at_work(Queue(1)) as bench:
        await until(lambda: bench.engine.executions)
        (execution,) = bench.engine.executions.values()
        for state in (b"1", b"2", b"3"):
            execution.keep(state)
        await until(lambda: bench.queue.kept)
        for beats in (1, 2):
            bench.engine.pulse.report(execution.claim, "greet", 1.0, "")
            await until(lambda beats=beats: len(bench.jobs.progress) == beats)
        assert bench.queue.kept == [(execution.claim.token, Checkpoint(3, b"3"))]
        bench.jobs.let_go()
        await bench.engine.quiet()
        assert [settlement.checkpoint for settlement in bench.queue.settled] == [b""]


@pytest.mark.parametrize(("cause", "checkpoint"), [(Cause.SHUTDOWN, b"1 1"), (None, b"")])
async def test_what_is_not_written_when_an_attempt_ends_rides_in_its_settlement_unless_it_is_done(
    cause: Cause | None, checkpoint: bytes
) -> None:
    async with at_work(Queue(1)) as bench:
        await until(lambda: bench.jobs.running)
        (execution,) = bench.engine.executions.values()
        execution.keep(b"1")
        if cause is None:
            bench.jobs.let_go()
        else:
            bench.engine.stop(cause)
        await bench.engine.quiet()
        assert [settlement.checkpoint for settlement in bench.queue.settled] == [checkpoint]


async def test_what_could_not_be_written_is_written_later() -> None:
    queue = Queue(1)
    queue.faults = 2
    async with at_work(queue) as bench:
        await until(lambda: bench.jobs.running)
        (execution,) = bench.engine.executions.values()
        execution.keep(b"1")
        await until(lambda: queue.kept)
        assert queue.kept == [(execution.claim.token, Checkpoint(1, b"1"))]
        assert queue.faults == 0


async def test_a_bug_of_ours_loses_no_checkpoint() -> None:
    class Buggy(Jobs):
        async def execute(self, execution: Execution) -> Settlement:
            execution.keep(b"1")
            raise RuntimeError("ours")

    async with at_work(Queue(1), Buggy()) as bench:
        await until(lambda: bench.queue.settled)
        assert [(settlement.kind, settlement.checkpoint) for settlement in bench.queue.settled] == [
            ("again", b"1 1")
        ]
