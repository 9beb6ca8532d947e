"""Meters one queue of a process: what was claimed and came to nothing, what had been lost, how busy its slots are.

A meter stands around the contract, between it and the engine, so that neither knows that anything is counted.
"""

from collections.abc import Callable
from time import monotonic

from rota.engine.contract import Contract
from rota.engine.execution import Execution
from rota.telemetry.metrics.series import BYTES
from rota.telemetry.metrics.tally import Buckets, Tally
from rota.wire.claims import Settlement


class Slots:
    """How many slots are busy, and the time that they have been: what runs counts up to now."""

    def __init__(self) -> None:
        # In one value, so that another thread reads both of the same moment: slots busy now, and what to add to
        # that many times the present to get the sum of all busy times.
        self._now = (0, 0.0)
        self._told = 0.0

    def enter(self) -> None:
        """A job takes a slot."""
        busy, offset = self._now
        self._now = (busy + 1, offset - monotonic())

    def leave(self) -> None:
        """It leaves it."""
        busy, offset = self._now
        self._now = (busy - 1, offset + monotonic())

    @property
    def busy(self) -> int:
        """Slots in which something runs."""
        return self._now[0]

    def seconds(self) -> float:
        """The time that slots have been busy; never less than it was."""
        busy, offset = self._now
        self._told = max(self._told, offset + busy * monotonic())
        return self._told


class Meter:
    """The meter of one queue.

    `rejected` counts claims that came to nothing, by (queue, reason); `on_lost(queue, task)` hears of attempts that
    ended when they were ours no longer.
    """

    def __init__(self, queue: str, rejected: Tally, on_lost: Callable[[str, str], None]) -> None:
        self.queue = queue
        self.slots = Slots()
        self.sizes = Buckets(BYTES)
        self.recovered = 0
        self._rejected = rejected
        self._on_lost = on_lost

    def around(self, contract: Contract) -> Contract:
        """`contract`, metered."""
        return _Metered(contract, self)

    def settled(self, settlement: Settlement, counted: bool) -> None:
        """A settlement was acknowledged, or refused."""
        if not counted:
            self._rejected.add((self.queue, "stale"))
            if settlement.event:
                self._on_lost(self.queue, settlement.task)
        elif settlement.unknown:
            self._rejected.add((self.queue, "unknown"))


class _Metered:
    """A contract like the one within."""

    def __init__(self, inner: Contract, meter: Meter) -> None:
        self._execute = inner.execute
        self._settled = inner.settled
        self._meter = meter
        self.reported = inner.reported
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

    def settled(self, settlement: Settlement, counted: bool) -> None:
        # Most settlements are neither, and cost two comparisons.
        if settlement.unknown or not counted:
            self._meter.settled(settlement, counted)
        self._settled(settlement, counted)
