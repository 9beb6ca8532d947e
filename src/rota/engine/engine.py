"""The engine: claims jobs into free slots, runs them, and settles what they came to.

It knows the protocol and nothing of arq's or the service's job semantics: those are a `Contract`, which turns an
execution into a settlement. Settling and claiming share one step; while a step is under way, whatever finishes gathers
for the next, so that batches grow with the load by themselves.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Protocol

from rota.engine.execution import Execution
from rota.engine.isolation import Isolation
from rota.engine.lane import Lane
from rota.engine.leases import Holding
from rota.engine.pulse import Pulse
from rota.engine.shares import Share
from rota.engine.wake import POLL
from rota.model.outcome import Cause
from rota.names import printable
from rota.server.outage import Outage
from rota.wire import envelopes
from rota.wire.claims import Claim, Settlement, hand_back
from rota.wire.queue import BATCH, QueueScripts, StepReply

logger = logging.getLogger("rota.worker")

#: A job that our own code failed on (a bug, not the handler's error) comes back after this, seconds, this often.
STUMBLE, STUMBLES = 5.0, 5
#: Whose turn it is among the queues of a process keeps the others waiting no longer than this, seconds.
TURN = 0.1


class Contract(Protocol):
    """What jobs mean: how one is run, and what is settled for it."""

    async def execute(self, execution: Execution) -> Settlement:
        """Run one claim to its end. Raises nothing of the handler's."""

    def settled(self, settlement: Settlement, counted: bool) -> None:
        """A settlement was acknowledged; `counted` is False where the claim was no longer ours."""

    def reported(self, claim: Claim, task: str, percent: float, message: str) -> None:
        """A running job's progress was written."""

    async def finished(self) -> None:
        """Until everything that `settled` set off has ended."""


class Engine:
    """One queue's slots.

    `budget` says how many more jobs may be started at all (None: no limit). `alarm` says whether this worker sets a
    timer for the next due job even after a mere poll (the watcher does; all doing so would be a herd). `share` is its
    part in the slots of the process (None: these are not capped).
    """

    def __init__(
        self,
        protocol: QueueScripts,
        redis: Any,
        contract: Contract,
        *,
        slots: int,
        lanes: int,
        holding: Holding,
        outage: Outage,
        cancellable: bool,
        isolation: Isolation,
        share: Share | None = None,
        budget: Callable[[], int | None] = lambda: None,
        alarm: Callable[[], bool] = lambda: True,
    ) -> None:
        self.executions: dict[str, Execution] = {}
        self.picking = True
        self.stale = 0
        self._protocol = protocol
        self._redis = redis
        self._contract = contract
        self.pulse = Pulse(
            protocol, redis, self.executions, outage, cancellable=cancellable, reported=contract.reported
        )
        self._slots = slots
        self.lanes = lanes
        self._holding = holding
        self._outage = outage
        self._isolation = isolation
        self._share = share
        self._budget = budget
        self._alarm = alarm
        self._settlements: list[Settlement] = []
        self._asked = 0
        self._in_flight = 0
        self._hungry = True
        self._polled = False
        self._suspect = ""
        self._work = asyncio.Event()
        self._changed = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._sent = 0.0
        self._held: asyncio.TimerHandle | None = None
        self._batch = min(BATCH, max(1, -(-slots // lanes)))

    # What the worker asks of it

    @property
    def free(self) -> int:
        """Slots that nothing runs in and no step has asked to fill."""
        return max(0, self._slots - self.occupied)

    @property
    def occupied(self) -> int:
        """Slots that something runs in, or that a step has asked to fill."""
        return len(self.executions) + self._asked

    @property
    def busy(self) -> bool:
        """Whether anything runs, waits to be settled, or is under way to Redis."""
        return bool(self.executions or self._settlements or self._in_flight)

    @property
    def present(self) -> bool:
        """Whether jobs run here, or were asked for."""
        return bool(self.executions or self._asked)

    @property
    def searching(self) -> bool:
        """Whether due jobs may be there that have not been asked for yet."""
        return self._hungry and self._could() > 0

    @property
    def eager(self) -> bool:
        """Whether it would start a job now, as far as it knows: a step under way may find that there is none."""
        late = self._in_flight > 0 and asyncio.get_running_loop().time() - self._sent > TURN
        return (self._hungry or self._asked > 0) and not late and self._could() > 0

    @property
    def held_back(self) -> bool:
        """Whether other queues have all slots of the process."""
        return self._share is not None and not self._share.free

    def look(self, polled: bool = False) -> None:
        """There may be due jobs: take a step as soon as there is a slot."""
        self._hungry, self._polled = True, polled
        self._work.set()

    def resume(self) -> None:
        """It may be its turn among the queues of the process."""
        self._work.set()

    async def ready(self) -> None:
        """Until a slot is free, and whether jobs wait for it is not known."""
        while self._could() == 0 or self._hungry:
            await self.changed()

    async def changed(self) -> None:
        """Until something started, finished or was settled."""
        self._changed.clear()
        await self._changed.wait()

    async def quiet(self) -> None:
        """Until nothing runs and everything is settled."""
        while self.busy:
            await self.changed()

    def stop(self, cause: Cause) -> None:
        """Tell everything that runs to end."""
        for execution in list(self.executions.values()):
            execution.stop(cause)

    def lost(self, ids: list[str]) -> None:
        """Leases that were taken away: what runs under them is no longer ours."""
        for job_id in ids:
            execution = self.executions.get(job_id)
            if execution is not None:
                logger.warning("lease.lost", extra={"job_id": printable(job_id)})
                execution.stop(Cause.LEASE_LOST)

    async def run(self) -> None:
        """Until cancelled."""
        lanes = [Lane(self._protocol, self._redis, number, self._outage) for number in range(self.lanes)]
        self._work.set()
        self._isolation.enter(self)
        if self._share is not None:
            self._share.enter(self)
        try:
            async with asyncio.TaskGroup() as group:
                for lane in lanes:
                    group.create_task(self._drive(lane))
                group.create_task(self.pulse.run())
        finally:
            self._isolation.leave(self)
            if self._share is not None:
                self._share.leave()

    # The loop

    async def _drive(self, lane: Lane) -> None:
        while True:
            await self._work.wait()
            want = self._want()
            if not self._settlements and not (self._hungry and want):
                self._rest()
                continue
            settlements, self._settlements = self._settlements[:BATCH], self._settlements[BATCH:]
            hungry, self._hungry = self._hungry, self._hungry and not want
            polled, self._polled = self._polled, self._polled and not want
            alone = want > 0 and self._isolation.is_asked_by(self)
            self._ask(want)
            self._in_flight += 1
            try:
                reply = await lane.step(settlements, want, alone=alone)
            finally:
                self._asked -= want
                self._in_flight -= 1
            self._absorb(settlements, reply)
            if alone and reply.claims:
                self._suspect = reply.claims[0].token
            elif alone:
                self._isolation.give_up(self)
            elif reply.make_room:
                self._isolation.ask(self)
            if reply.left or (hungry and not want):
                self._hungry = True
                self._work.set()
            elif want:
                self._arm(reply.upcoming, polled)
            if self._share is not None:
                self._share.give_back(want - len(reply.claims))
                self._share.offer()
            # What was asked for may have kept the isolation from being empty.
            self._isolation.left()
            self._changed.set()

    def _ask(self, want: int) -> None:
        self._asked += want
        if self._share is not None:
            self._sent = asyncio.get_running_loop().time()
            if want:
                self._share.take(want)

    def _rest(self) -> None:
        self._work.clear()
        if self._share is not None and self._held is None and self._share.free and self.eager:
            # It is another's turn, who tells us when it is ours; whatever keeps that one does not keep us for ever.
            self._held = asyncio.get_running_loop().call_later(TURN, self._held_long)

    def _held_long(self) -> None:
        self._held = None
        self._work.set()

    def _want(self) -> int:
        """How many jobs the next step may claim."""
        could = self._could()
        if self._share is None or self._isolation.is_asked_by(self):
            return could
        return self._share.grant(could)

    def _could(self) -> int:
        """How many it could start, if no other queue had anything to run."""
        if not self.picking or self._isolation.is_closed_to(self):
            return 0
        if self._isolation.is_asked_by(self):
            return 1 if self._isolation.is_empty else 0
        budget = self._budget()
        could = min(self.free, self._batch)
        return could if budget is None else min(could, max(0, budget - self._asked))

    def _absorb(self, settlements: list[Settlement], reply: StepReply) -> None:
        self._holding.drop((settlement.id, settlement.token) for settlement in settlements)
        for settlement, counted in zip(settlements, reply.answers, strict=True):
            if not counted:
                self.stale += 1
                logger.warning(
                    "job.stale", extra={"job_id": printable(settlement.id), "job": settlement.task}
                )
            self._contract.settled(settlement, counted)
        if reply.claims:
            self._holding.add(reply.claims)
            for claim in reply.claims:
                self._start(claim)

    def _start(self, claim: Claim) -> None:
        if not self.picking:
            self._settle(hand_back(claim))
            return
        former = self.executions.get(claim.id)
        if former is not None:
            # Ours until its lease ran out, while this process stood still, and now ours again.
            logger.warning("lease.lost", extra={"job_id": printable(claim.id)})
            former.stop(Cause.LEASE_LOST)
        execution = Execution(claim)
        self.executions[claim.id] = execution
        execution.task = asyncio.get_running_loop().create_task(self._run(execution))

    async def _run(self, execution: Execution) -> None:
        claim = execution.claim
        try:
            settlement = await self._contract.execute(execution)
        except asyncio.CancelledError:
            settlement = hand_back(claim)._replace(unspent=False)
        except Exception as error:
            logger.exception("job.stumbled", extra={"job_id": printable(claim.id)})
            settlement = self._stumbled(claim, error)
        if self.executions.get(claim.id) is execution:
            del self.executions[claim.id]
        self.pulse.forget(claim.id)
        settlement = execution.closed_by(settlement)
        if claim.token == self._suspect:
            self._isolation.give_up(self)
        self._isolation.left()
        if self._share is not None:
            self._share.offer()
        self._settle(settlement)

    def _stumbled(self, claim: Claim, error: Exception) -> Settlement:
        """A bug of ours, not the handler's error: it may pass, but a job that it comes with each time must end."""
        if claim.attempt < STUMBLES:
            return hand_back(claim, STUMBLE)._replace(unspent=False)
        detail = envelopes.encode_error(error)
        if self._protocol.service is None:
            return Settlement.finished(claim, "stumbled", attempt=claim.attempt, detail=detail)
        return Settlement.dead(claim, "stumbled", event="dead", attempt=claim.attempt, detail=detail)

    def _settle(self, settlement: Settlement) -> None:
        self._settlements.append(settlement)
        self._work.set()
        self._changed.set()

    def _arm(self, upcoming: float | None, polled: bool) -> None:
        """Look again when the next job is due, if that is before the next poll."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if upcoming is None or upcoming > POLL * 1.2 or (polled and not self._alarm()):
            return
        self._timer = asyncio.get_running_loop().call_later(upcoming + 0.001, self.look)
