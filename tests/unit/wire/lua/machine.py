"""Workers, clients and time in any order, against the model: after each move the scripts and the model must agree."""

import asyncio
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import astuple, dataclass, field
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from rota.testing.clock import BenchClock
from rota.testing.server import clients
from rota.wire.claims import Checkpoint, Claim, Settlement
from rota.wire.keys import ABORT, IN_PROGRESS, RETRY
from tests.streams import events_in
from tests.unit.wire.lua.beds import (
    EVENTS,
    KEYS,
    LEASE,
    Bed,
    Worker,
    again,
    bury,
    finish,
    interrupted,
    unknown,
)
from tests.unit.wire.lua.model import Model, ModelClaim

LEASE_MS = round(LEASE * 1000)
WORKERS = 3
#: How far time may move: a moment, to both sides of the limits in the rules, and far beyond.
MOVES_MS = [
    1,
    999,
    3500,
    LEASE_MS // 4,
    LEASE_MS // 2,
    LEASE_MS // 2 + 1,
    LEASE_MS,
    LEASE_MS + 1,
    3 * LEASE_MS,
]
#: A step is sent again, or arrives late, within this time; the server remembers it a little longer.
SOON_MS = 3 * LEASE_MS
#: How a worker may settle a claim; mostly not yet, while the job runs.
SETTLEMENTS: list[Callable[[Claim], Settlement | None]] = [
    *[lambda claim: None] * 6,
    finish,
    bury,
    lambda claim: again(claim, 0),
    lambda claim: again(claim, 2, attempt=claim.attempt + 3),
    lambda claim: again(claim, 60, unspent=True, event="snoozed"),
    interrupted,
    *[lambda claim: unknown(claim, 1)] * 3,
    lambda claim: interrupted(claim)._replace(checkpoint=place(7).wire()),
    lambda claim: bury(claim)._replace(checkpoint=place(7).wire()),
]
_NUMBERS = st.integers(0, WORKERS - 1)
_WANTS = st.sampled_from([1, 2, 4, 0])


def place(number: int) -> Checkpoint:
    """Return a checkpoint by its number."""
    return Checkpoint(number, b"%d" % number)


@dataclass
class Sent:
    """A step that a worker has sent."""

    worker: Worker
    seq: int
    want: int
    settlements: list[Settlement]
    at: int


@dataclass
class Process:
    """A worker process, and what it knows. `unanswered` is the step whose reply did not come."""

    worker: Worker
    held: dict[str, Claim] = field(default_factory=dict)
    seq: int = 0
    unanswered: Sent | None = None


class ScriptsMachine(RuleBasedStateMachine):
    """Three workers, any of which may die, stall, or lose requests and replies."""

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.new_event_loop()
        self._stack = ExitStack()
        self._clock = BenchClock()
        self._stack.enter_context(self._clock.opened())
        redis, looking = clients()
        self.bed = Bed(redis, looking, self._clock)
        self.model = Model(LEASE_MS)
        self.processes: list[Process] = []
        self.born = 0
        self.past: list[Claim] = []
        self.late: list[Sent] = []

    @initialize(jobs=st.integers(1, 6))
    def start(self, jobs: int) -> None:
        """Start the workers, and give them some jobs."""
        self.processes = [self._start_worker() for _ in range(WORKERS)]
        self.enqueue([0] * jobs)

    def teardown(self) -> None:
        """Check that every job ends, once, whatever happened."""
        try:
            # After a failure a second one would only hide it.
            if self.processes and sys.exc_info()[0] is None:
                self._finish_everything()
                self._every_job_was_told_of()
        finally:
            self._stack.close()
            self._loop.close()

    # Clients

    @rule(delays=st.lists(st.sampled_from([0, 0, 0, 1000, LEASE_MS]), min_size=1, max_size=4))
    def enqueue(self, delays: list[int]) -> None:
        """Enqueue some jobs, due now or later."""
        now = self._now()
        for delay in delays:
            job_id = f"job-{len(self.model.jobs):04}"
            self.bed.put(job_id, due=now + delay)
            self.model.put(job_id, now + delay)

    @precondition(lambda self: self.model.live())
    @rule(data=st.data())
    def meddle(self, data: Any) -> None:
        """Cancel a job, or do to it what stock workers and clients do."""
        job = data.draw(st.sampled_from(self.model.live()))
        if job.state == "held" and data.draw(st.booleans()):
            assert self._run(self.bed.cancel(job.id)) == "requested"
            job.asked = True
        elif job.state == "held":
            # Stock's Job.abort() moves a job to the head of the queue.
            self.bed.looking.zadd(KEYS.queue, {job.id: 1})
            job.score = 1
        elif job.state == "stock":
            self.bed.looking.delete(f"{IN_PROGRESS}{job.id}")
            job.state = "waiting"
        elif job.due <= self._now() and job.entry is None and data.draw(st.booleans()):
            self.bed.looking.set(f"{IN_PROGRESS}{job.id}", b"1")
            job.state = "stock"
        else:
            assert self._run(self.bed.cancel(job.id)) == "cancelled"
            job.state, job.asked = "over", False

    # Time

    @rule(move=st.sampled_from(MOVES_MS), told=st.booleans(), renewing=st.lists(_NUMBERS, max_size=2))
    def let_time_pass(self, move: int, told: bool, renewing: list[int]) -> None:
        """Let time pass in silence, or with steps between (`told`), which show the server that it did not stand still.

        The workers in `renewing` renew before anything else happens.
        """
        while told and move > LEASE_MS // 4:
            self.bed.advance(LEASE / 4)
            move -= LEASE_MS // 4
            self._send(self._start_worker(), 0, [])
        self.bed.advance(move / 1000)
        for number in renewing:
            self.renew(number)

    # Workers

    @rule(number=_NUMBERS, want=_WANTS, data=st.data())
    def step(self, number: int, want: int, data: Any) -> None:
        """Let a worker settle some of its claims, and claim."""
        process = self._ready(number)
        sent = self._next_step(process, want, data)
        process.held.update((claim.id, claim) for claim in self._deliver(sent))

    @rule(number=_NUMBERS, want=_WANTS, arrived=st.booleans(), data=st.data())
    def step_unheard(self, number: int, want: int, arrived: bool, data: Any) -> None:
        """Let a worker take a step whose request, or whose reply, is lost."""
        process = self._ready(number)
        process.unanswered = sent = self._next_step(process, want, data)
        if arrived:
            self._deliver(sent)
        else:
            self.late.append(sent)

    @precondition(lambda self: any(process.unanswered for process in self.processes))
    @rule(data=st.data(), late=st.booleans())
    def send_again(self, data: Any, late: bool) -> None:
        """Send a step again that had no reply, and answer it. With `late` the first request arrives after that."""
        process = data.draw(st.sampled_from([one for one in self.processes if one.unanswered]))
        sent = process.unanswered
        self._resend(process)
        if late and sent in self.late:
            self.late.remove(sent)
            self._arrive(sent)

    @precondition(lambda self: self.late)
    @rule()
    def a_request_arrives_late(self) -> None:
        """Deliver a request that was sent again since, or whose sender is dead."""
        self._arrive(self.late.pop(0))

    @rule(number=_NUMBERS, want=_WANTS, data=st.data())
    def a_request_is_overtaken(self, number: int, want: int, data: Any) -> None:
        """Deliver a request after its own repetition, and after its worker's next step."""
        process = self._ready(number)
        process.unanswered = sent = self._next_step(process, want, data)
        self._resend(process)
        process.held.update((claim.id, claim) for claim in self._deliver(self._next_step(process, 1, data)))
        self._arrive(sent)

    @rule(number=_NUMBERS)
    def renew(self, number: int) -> None:
        """Let a worker renew its claims, and forget those that it no longer holds."""
        process = self.processes[number]
        held = {claim.id: claim.token for claim in process.held.values()}
        if not held:
            return
        self.model.now = self._now()
        lost = process.worker.renew(*process.held.values())
        assert sorted(lost) == sorted(self.model.renew(held))
        for job_id in lost:
            self.past.append(process.held.pop(job_id))

    @precondition(lambda self: self.past or any(process.held for process in self.processes))
    @rule(data=st.data(), number=st.integers(1, 9))
    def save(self, data: Any, number: int) -> None:
        """Save a checkpoint for a claim that holds, or for one that held; numbers come in any order."""
        held = [claim for process in self.processes for claim in process.held.values()]
        claim = data.draw(st.sampled_from([*held, *held, *self.past]))
        counted = self._run(
            self._start_worker().worker.scripts.keep(self.bed.redis, [(claim, place(number))])
        )
        assert counted == self.model.keep(claim.id, claim.token, number)

    @rule(number=_NUMBERS)
    def die(self, number: int) -> None:
        """Let a worker die with all its claims, and start another in its place."""
        self.past += self.processes[number].held.values()
        self.processes[number] = self._start_worker()

    @precondition(lambda self: self.past)
    @rule(data=st.data(), word=st.sampled_from([finish, bury, interrupted, None]))
    def hear_from_the_past(self, data: Any, word: Any) -> None:
        """Settle or renew a claim that was lost or settled before."""
        claim = data.draw(st.sampled_from(self.past))
        if word is not None:
            self._send(self._start_worker(), 0, [word(claim)])
            return
        self.model.now = self._now()
        lost = self._start_worker().worker.renew(claim)
        assert lost == self.model.renew({claim.id: claim.token})

    # Both agree

    @invariant()
    def the_queue_is_as_it_should_be(self) -> None:
        """Check that every job is where it should be, and that none is claimed twice."""
        looking, live = self.bed.looking, self.model.live()
        queue = [
            (member.decode(), score) for member, score in looking.zrange(KEYS.queue, 0, -1, withscores=True)
        ]
        assert queue == [(job.id, job.score) for job in live]
        active = looking.zrange(KEYS.active, 0, -1, withscores=True)
        assert [(member.decode(), score) for member, score in active] == [
            (job.id, job.deadline) for job in self.model.held()
        ]

    @invariant()
    def the_memory_is_as_it_should_be(self) -> None:
        """Check the run entries, the attempts and the checkpoints."""
        live = self.model.live()
        entries = {
            job_id.decode(): raw.decode().split()
            for job_id, raw in self.bed.looking.hgetall(KEYS.runs).items()
        }
        found = {
            job_id: (token, int(due), int(lost), int(unknown))
            for job_id, (token, due, _, lost, unknown) in entries.items()
        }
        assert found == {job.id: job.entry for job in live if job.entry is not None}
        if live:
            counters = self.bed.looking.mget([f"{RETRY}{job.id}" for job in live])
            ended = [job.attempt - (job.state == "held") for job in live]
            assert [int(counter or 0) for counter in counters] == ended
        saved = self.bed.looking.hgetall(KEYS.checkpoint).items()
        assert {job_id.decode(): raw for job_id, raw in saved} == {
            job.id: place(job.saved).wire() for job in live if job.saved
        }
        assert self.bed.tokens() <= 1

    @invariant()
    def every_request_to_cancel_is_kept_as_long_as_its_job(self) -> None:
        """Check that no request is kept without a job."""
        asked = {member.decode() for member in self.bed.looking.zrange(ABORT, 0, -1)}
        assert asked == {job.id for job in self.model.live() if job.asked}

    # How

    def _ids(self, state: str) -> list[str]:
        return [job.id for job in self.model.jobs.values() if job.state == state]

    def _now(self) -> int:
        return self.bed.now

    def _run(self, coroutine: Any) -> Any:
        return self._loop.run_until_complete(coroutine)

    def _start_worker(self) -> Process:
        self.born += 1
        return Process(self.bed.worker(f"w{self.born}"))

    def _ready(self, number: int) -> Process:
        process = self.processes[number]
        if process.unanswered:
            self._resend(process)
        return self.processes[number]

    def _resend(self, process: Process) -> None:
        sent, process.unanswered = process.unanswered, None
        assert sent is not None
        if self._now() - sent.at > SOON_MS:
            self.die(self.processes.index(process))
            return
        process.held.update((claim.id, claim) for claim in self._deliver(sent, resend=True))

    def _arrive(self, sent: Sent) -> None:
        waiting = any(process.unanswered is sent for process in self.processes)
        if not waiting and self._now() - sent.at <= SOON_MS:
            self._deliver(sent)

    def _next_step(self, process: Process, want: int, data: Any) -> Sent:
        settlements = [
            settlement
            for claim in list(process.held.values())
            if (settlement := self._draw_settlement(claim, data)) is not None
        ]
        for settlement in settlements:
            self.past.append(process.held.pop(settlement.id))
        process.seq += 1
        return Sent(process.worker, process.seq, want, settlements, self._now())

    def _send(self, process: Process, want: int, settlements: list[Settlement]) -> list[Claim]:
        process.seq += 1
        return self._deliver(Sent(process.worker, process.seq, want, settlements, self._now()))

    def _deliver(self, sent: Sent, *, resend: bool = False) -> list[Claim]:
        self.model.now = self._now()
        name = sent.worker.scripts.worker
        expected = self.model.step(name, sent.seq, sent.want, sent.settlements, resend=resend)
        reply = self._run(sent.worker.step(sent.want, sent.settlements, seq=sent.seq, resend=resend))
        claims = [
            ModelClaim(
                claim.id,
                claim.token,
                claim.attempt,
                claim.due_ms,
                claim.lost,
                claim.unknown_since_ms,
                Checkpoint.read(claim.checkpoint).number,
                claim.aborted,
                claim.recovered,
            )
            for claim in reply.claims
        ]
        assert [astuple(claim) for claim in claims] == [astuple(claim) for claim in expected.claims]
        assert (reply.answers, reply.left) == (expected.answers, expected.left)
        found: list[Claim] = reply.claims
        return found

    def _draw_settlement(self, claim: Claim, data: Any) -> Settlement | None:
        if claim.unknown_since_ms and data.draw(st.booleans()):
            return unknown(claim, 1)
        settle = data.draw(st.sampled_from(SETTLEMENTS))
        settlement: Settlement | None = settle(claim)
        return settlement

    def _finish_everything(self) -> None:
        for job_id in self._ids("stock"):
            self.bed.looking.delete(f"{IN_PROGRESS}{job_id}")
            self.model.jobs[job_id].state = "waiting"
        survivor = self._start_worker()
        for _ in range(1000):
            if not self.model.live():
                return
            claims = self._send(survivor, 10, [])
            self._send(survivor, 0, [finish(claim) for claim in claims])
            self.bed.advance(LEASE / 4)
        raise AssertionError(f"some jobs never came up: {self.model.live()}")

    def _every_job_was_told_of(self) -> None:
        told: dict[tuple[str, str], int] = {}
        for one in events_in(self.bed.looking.xrange(EVENTS)):
            told[one.id, one.type] = told.get((one.id, one.type), 0) + 1
        for job in self.model.jobs.values():
            ends = sum(told.get((job.id, end), 0) for end in ("completed", "dead", "cancelled"))
            assert ends == 1, f"{job.id} ended {ends} times"
            assert told.get((job.id, "started"), 0) == job.claims
            assert told.get((job.id, "lost"), 0) == job.losses
