"""The engine of one queue: wait, ask, step, absorb, rearm.

It claims jobs into free slots, runs them and settles them, by a `Contract` that knows what they mean. Settling and
claiming share one step. While a step is under way, the jobs that end gather for the next one, so that batches grow with
the load by themselves. The words for slots and for what is believed of the queue are in `rota.engine.capacity`.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable

from rota.engine.capacity import Access, Ask, Belief, Capacity
from rota.engine.contract import Contract
from rota.engine.executions import Executions
from rota.engine.isolation import Isolation
from rota.engine.lane import Lane
from rota.engine.leases import Leases
from rota.engine.link import QueueLink
from rota.engine.pulse import Pulse
from rota.engine.shares import UNLIMITED, Share
from rota.engine.wake import POLL
from rota.model.outcome import Cause
from rota.names import printable
from rota.server.outage import FAULTS
from rota.wire.claims import Settlement
from rota.wire.queue import BATCH, StepReply

logger = logging.getLogger("rota.worker")

#: A job that is due later than after this many seconds needs no timer: the next poll finds it.
HORIZON = POLL * 1.2
#: How long a worker that was told to stop waits for Redis to take note, or to answer a step that settles nothing,
#: in seconds.
_MOMENT = 1.0


class Engine:
    """One queue's slots in this worker, and the loop that fills and settles them.

    :param link: the way to the queue.
    :param contract: what runs the jobs.
    :param capacity: how many jobs may run.
    :param leases: renews the leases of what was claimed.
    :param isolation: shared by all engines of the process.
    :param share: the queue's part in the slots of the process.
    :param cancellable: whether cancel requests are looked for.
    :param alarm: tells whether this worker sets a timer for the next due job even after a mere poll. The watcher does;
        if all idle workers did, all of them would step at once.
    """

    def __init__(
        self,
        link: QueueLink,
        contract: Contract,
        capacity: Capacity,
        *,
        leases: Leases,
        isolation: Isolation,
        share: Share = UNLIMITED,
        cancellable: bool,
        alarm: Callable[[], bool] = lambda: True,
    ) -> None:
        self.capacity = capacity
        self.executions = Executions(
            contract, service=link.scripts.service, slots=capacity.slots, ended=self._ended
        )
        self.pulse = Pulse(link, self.executions, cancellable=cancellable, reported=contract.reported)
        self.holding = leases.hold(link.scripts, self.executions.lost)
        self.stale = 0
        #: How many steps have asked for jobs.
        self.claims = 0
        self._link = link
        self._contract = contract
        self._isolation = isolation
        self._share = share
        self._alarm = alarm
        self._settlements: list[Settlement] = []
        self._belief = Belief.TOLD
        self._asked = 0
        self._under_way = 0
        self._work = asyncio.Event()
        self._changed = asyncio.Event()
        #: Whether one of the two was awaited since a job ended last.
        self._is_awaited = False
        self._timer: asyncio.TimerHandle | None = None

    # What is asked of it

    @property
    def picking(self) -> bool:
        """Whether it takes jobs. Those that wait for a slot when it takes no more go back into the queue."""
        return self.executions.picking

    @picking.setter
    def picking(self, picks: bool) -> None:
        self.executions.picking = picks
        if not picks:
            self.executions.give_back()

    @property
    def taken(self) -> int:
        """Slots in which jobs run, for which claimed ones wait, or which a step under way has asked to fill."""
        return len(self.executions) + len(self.executions.waiting) + self._asked

    @property
    def has_free_slot(self) -> bool:
        """Whether it takes jobs, and a slot of the queue is not taken."""
        return self.picking and self.taken < self.capacity.slots

    @property
    def wants_slot(self) -> bool:
        """Whether it would start a job now, as far as it knows: a step under way may find that none is due."""
        return bool(self._belief or self._asked) and self._startable() > 0

    @property
    def held_back(self) -> bool:
        """Whether other queues have taken all slots of the process."""
        return self._share.held_back

    @property
    def busy(self) -> bool:
        """Whether a job runs or waits to be settled, or a step is under way."""
        return bool(self.executions or self._settlements or self._under_way)

    def look(self, polled: bool = False) -> None:
        """Believe that due jobs wait, and ask for them as soon as a slot is free."""
        self._belief = max(self._belief, Belief.POLLED if polled else Belief.TOLD)
        self._work.set()

    def resume(self) -> None:
        """Look at the slots again: it may be this queue's turn."""
        self._work.set()

    async def ready(self) -> None:
        """Wait until a job is startable, and none is believed to wait."""
        while self._belief or not self._startable():
            await self.changed()

    async def changed(self) -> None:
        """Wait until a job started or ended, or a step came back."""
        self._changed.clear()
        self._is_awaited = True
        await self._changed.wait()

    async def quiet(self) -> None:
        """Wait until no job runs and all are settled."""
        while self.busy:
            await self.changed()

    async def rest(self) -> None:
        """Wait until no job runs, and then until all are settled, or Redis has not answered for too long.

        That is for as long as their leases hold; without any, a step under way is all that is missing.
        """
        while self.executions:
            await self.changed()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._link.scripts.lease if self.holding.snapshot() else _MOMENT):
                await self.quiet()

    async def say_it_stops(self) -> None:
        """Let the queue know that this worker was told to stop, if that takes no more than a moment."""
        if self._link.scripts.service is not None:
            with contextlib.suppress(*FAULTS):
                async with asyncio.timeout(_MOMENT):
                    await self._link.scripts.say_it_stops(self._link.redis)

    def stop(self, cause: Cause) -> None:
        """Tell every job that runs to end, for `cause`."""
        self.executions.stop(cause)

    async def run(self) -> None:
        """Fill the slots until cancelled. Raises what a part of the engine failed with, which is a bug."""
        self._isolation.enter(self)
        self._share.enter(self)
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(self.capacity.lanes):
                    lane, least = Lane(self._link, number), self.capacity.least(number)
                    group.create_task(self._drive(lane, least))
                group.create_task(self.pulse.run())
        finally:
            self.picking = False
            self._isolation.leave(self)
            self._share.leave()
            self.executions.deadlines.close()

    # The loop of one lane

    async def _drive(self, lane: Lane, least: int) -> None:
        while True:
            while (ask := self._ask(least)) is None:
                await self._wait()
            ended = self.executions.ended
            reply = await self._step(lane, ask)
            self.executions.expect(self.executions.ended - ended)
            self._absorb(ask, reply)
            self._rearm(ask, reply)

    async def _wait(self) -> None:
        """Wait until something is to be settled, due jobs are believed to wait, or a slot may have become free."""
        self._work.clear()
        self._is_awaited = True
        self._share.rest()
        await self._work.wait()

    def _ask(self, least: int) -> Ask | None:
        """Return what the next step is to do, and count the slots that it is to fill as taken.

        None if that is nothing, or neither settles nor claims as many jobs as `least`.
        """
        if not self._settlements and not self._belief:
            return None
        access = self._isolation.access(self)
        startable = self._startable(access, self.capacity.ahead(self.executions.ending))
        # A suspect runs alone, whosever turn it is.
        want = startable if access is Access.ALONE else self._share.grant(startable)
        if max(len(self._settlements), want) < least:
            return None
        settlements, self._settlements = self._settlements[:BATCH], self._settlements[BATCH:]
        ask = Ask(settlements, want, access is Access.ALONE and want > 0, self._belief)
        if want:
            self._belief = Belief.NONE
            self.claims += 1
        self._asked += want
        self._under_way += 1
        self._share.asked(want)
        return ask

    async def _step(self, lane: Lane, ask: Ask) -> StepReply:
        """Settle and claim in one call, which is repeated until Redis has answered."""
        try:
            strangers = self._contract.strangers() if ask.want else ()
            return await lane.step(ask.settlements, ask.want, alone=ask.alone, strangers=strangers)
        finally:
            self._asked -= ask.want
            self._under_way -= 1

    def _absorb(self, ask: Ask, reply: StepReply) -> None:
        """Let go of what was settled, and start what was claimed."""
        self.holding.drop(ask.settlements)
        if not all(reply.answers):
            for settlement, counted in zip(ask.settlements, reply.answers, strict=True):
                if not counted:
                    self._tell_stale(settlement)
        self._contract.settled(ask.settlements, reply.answers)
        if reply.claims:
            self.holding.add(reply.claims)
            self._contract.claimed(reply.claims)
            self.executions.take(reply.claims)

    def _rearm(self, ask: Ask, reply: StepReply) -> None:
        """Note what the reply says of the queue, and tell everybody who waits for a change."""
        if reply.left:
            self._belief = self._belief or Belief.TOLD
        elif ask.want:
            # The jobs that come next may be longer.
            self.executions.ending = 0.0
            self._set_timer(reply.upcoming, ask.belief)
        if self._belief:
            self._work.set()
        self._isolation.answered(self, ask, reply)
        self._share.answered(ask.want - len(reply.claims))
        self._changed.set()

    # Its parts

    def _startable(self, access: Access | None = None, ahead: int = 0) -> int:
        if not self.picking:
            return 0
        access = access or self._isolation.access(self)
        running, waiting = len(self.executions), len(self.executions.waiting)
        return self.capacity.startable(running, self._asked, access, waiting=waiting, ahead=ahead)

    def _ended(self, settlement: Settlement) -> None:
        """Gather a settlement for the next step. It is called for each job, and looks first whether there is more."""
        self._settlements.append(settlement)
        if not self.executions:  # or else the process is not empty, which isolation waits for
            self._isolation.ended(settlement.token)
        if self._share is not UNLIMITED:
            self._share.ended()
        if self._is_awaited:  # Of many jobs that end in one turn of the loop, the first one says so.
            self._is_awaited = False
            self._work.set()
            self._changed.set()

    def _tell_stale(self, settlement: Settlement) -> None:
        self.stale += 1
        name = self.executions.named(settlement.task)
        logger.warning("job.stale", extra={"job_id": printable(settlement.id), "job": name})

    def _set_timer(self, upcoming: float | None, belief: Belief) -> None:
        """Look again when the next job is due, in `upcoming` seconds, if that is before the next poll."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if upcoming is None or upcoming > HORIZON or (belief is Belief.POLLED and not self._alarm()):
            return
        self._timer = asyncio.get_running_loop().call_later(upcoming + 0.001, self.look)
