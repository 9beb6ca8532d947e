"""Meters one queue of a process: rejected claims, recovered jobs, the sizes of payloads, busy slots.

A meter stands around the contract, between it and the engine, so that neither knows that anything is counted.
"""

from collections.abc import Callable, Sequence

from rota.engine.contract import Contract
from rota.engine.execution import Execution
from rota.process.clock import SYSTEM_CLOCK, Clock
from rota.telemetry.metrics.series import BYTES
from rota.telemetry.metrics.tally import Buckets, Tally
from rota.wire.claims import Settlement


class Slots:
    """The busy slots of a queue, and the sum of the times for which slots have been busy, up to now."""

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._monotonic = clock.monotonic
        # In one value, so that another thread reads both of the same moment: the busy slots, and an offset. The sum
        # of all busy times is the offset, plus the present time for each busy slot.
        self._now = (0, 0.0)
        self._told = 0.0

    def enter(self) -> None:
        busy, offset = self._now
        self._now = (busy + 1, offset - self._monotonic())

    def leave(self) -> None:
        busy, offset = self._now
        self._now = (busy - 1, offset + self._monotonic())

    @property
    def busy(self) -> int:
        """The number of slots in which a job runs."""
        return self._now[0]

    def seconds(self) -> float:
        """Return the time for which slots have been busy, in seconds. It never goes back."""
        busy, offset = self._now
        self._told = max(self._told, offset + busy * self._monotonic())
        return self._told


class Meter:
    """The meter of one queue.

    :param queue: the queue's short name.
    :param rejected: counts, by (queue, reason), the claims whose settlement was refused, or whose job is unknown here.
    :param on_lost: called with (queue, task) for an attempt that ended after its lease was lost.
    """

    def __init__(self, queue: str, rejected: Tally, on_lost: Callable[[str, str], None]) -> None:
        self.queue = queue
        self.slots = Slots()
        self.sizes = Buckets(BYTES)
        self.recovered = 0
        self._rejected = rejected
        self._on_lost = on_lost

    def around(self, contract: Contract) -> Contract:
        """Return `contract` with this meter around it."""
        return _Metered(contract, self)

    def settled(self, settlement: Settlement, counted: bool) -> None:
        """Count a settlement that was refused, or that put back a job unknown to this worker."""
        if not counted:
            self._rejected.add((self.queue, "stale"))
            if settlement.event:
                self._on_lost(self.queue, settlement.task)
        elif settlement.unknown:
            self._rejected.add((self.queue, "unknown"))


class _Metered:
    """A contract with a meter around it."""

    def __init__(self, inner: Contract, meter: Meter) -> None:
        self._execute = inner.execute
        self._settled = inner.settled
        self._meter = meter
        self.reported = inner.reported
        self.strangers = inner.strangers
        self.finished = inner.finished

    async def execute(self, execution: Execution) -> Settlement:
        meter, claim = self._meter, execution.claim
        if claim.payload is not None:
            meter.sizes.add(len(claim.payload))
        if claim.recovered:
            meter.recovered += 1
        slots = meter.slots
        slots.enter()
        try:
            return await self._execute(execution)
        finally:
            slots.leave()

    def settled(self, settlements: Sequence[Settlement], counted: Sequence[bool]) -> None:
        for settlement, counts in zip(settlements, counted, strict=True):
            # Most settlements are neither, and cost two comparisons.
            if settlement.unknown or not counts:
                self._meter.settled(settlement, counts)
        self._settled(settlements, counted)
