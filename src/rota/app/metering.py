"""Meters one queue of a process: rejected claims, recovered jobs, the sizes of payloads, busy slots.

A meter stands around the contract, between it and the engine, so that neither knows that anything is counted.
"""

from collections.abc import Callable, Sequence
from operator import attrgetter

from rota.engine.contract import Contract
from rota.engine.executions import Executions
from rota.telemetry.metrics.series import BYTES
from rota.telemetry.metrics.tally import Buckets, Tally
from rota.wire.claims import Claim, Settlement

# What is looked at of each claim and each settlement of a step, by loops in C.
_PAYLOAD, _IS_RECOVERED, _IS_UNKNOWN = attrgetter("payload"), attrgetter("recovered"), attrgetter("unknown")


class Meter:
    """The meter of one queue.

    :param queue: the queue's short name.
    :param rejected: counts, by (queue, reason), the claims whose settlement was refused, or whose job is unknown here.
    :param on_lost: called with (queue, task) for an attempt that ended after its lease was lost.
    :param executions: returns what runs of the queue; None while nothing can.
    """

    def __init__(
        self,
        queue: str,
        rejected: Tally,
        on_lost: Callable[[str, str], None],
        executions: Callable[[], Executions | None],
    ) -> None:
        self.queue = queue
        self._executions = executions
        self._seconds = 0.0
        self.sizes = Buckets(BYTES)
        self.recovered = 0
        self._rejected = rejected
        self._on_lost = on_lost

    @property
    def busy(self) -> int:
        """The number of slots in which a job runs."""
        return len(self._executions() or ())

    def seconds(self) -> float:
        """Return the time for which slots have been busy, in seconds. It never goes back."""
        executions = self._executions()
        self._seconds = max(self._seconds, 0.0 if executions is None else executions.seconds())
        return self._seconds

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
    """A contract with a meter around it, which hears of claims and settlements, and is not in the way of attempts.

    As a coroutine around each attempt it took 4 % of a busy worker's time.
    """

    def __init__(self, inner: Contract, meter: Meter) -> None:
        self._inner = inner
        self._meter = meter
        self.execute = inner.execute
        self.reported = inner.reported
        self.strangers = inner.strangers
        self.finished = inner.finished

    def claimed(self, claims: Sequence[Claim]) -> None:
        payloads = [*map(_PAYLOAD, claims)]
        if None in payloads:
            payloads = [payload for payload in payloads if payload is not None]
        self._meter.sizes.add(map(len, payloads))
        self._meter.recovered += sum(map(_IS_RECOVERED, claims))
        self._inner.claimed(claims)

    def settled(self, settlements: Sequence[Settlement], counted: Sequence[bool]) -> None:
        if not all(counted) or any(map(_IS_UNKNOWN, settlements)):
            for settlement, counts in zip(settlements, counted, strict=True):
                self._meter.settled(settlement, counts)
        self._inner.settled(settlements, counted)
