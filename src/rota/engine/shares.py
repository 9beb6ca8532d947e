"""The slots of a process where WORKER_CONCURRENCY caps them, and each queue's share in them, by its weight.

Every queue has a mileage, which grows by each job it starts, the slower the more the queue weighs. Whoever has work
and the lowest mileage goes first: so starts come out in the proportion of the weights, and the lightest queue has its
turn too. A queue without work is passed over, and comes back where the others are: what it left unused is gone.
"""

import math
from typing import Protocol


class Tenant(Protocol):
    """An engine, as its share sees it."""

    @property
    def occupied(self) -> int:
        """Slots that its jobs run in, or that a step under way has asked to fill."""

    @property
    def eager(self) -> bool:
        """Whether it would start a job now, as far as it knows."""

    def resume(self) -> None:
        """It may be its turn."""


class Shares:
    """All slots of one process, `slots` of them."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._present: list[Share] = []
        self._mark = 0.0

    def share(self, weight: float = 1.0) -> "Share":
        """A new queue's share; `weight` is above 0."""
        return Share(self, weight)

    @property
    def free(self) -> int:
        """Slots that nothing runs in and no step has asked to fill."""
        return max(0, self._slots - sum(share.occupied for share in self._present))

    def offer(self) -> None:
        """Slots may be free: tell whoever is to have the next."""
        eager = [share for share in self._present if share.eager]
        if eager and self.free:
            min(eager, key=self.standing).resume()

    def grant(self, share: "Share", wanted: int) -> int:
        """How many of the `wanted` slots `share` may fill now."""
        free = self.free
        rivals = [other for other in self._present if other is not share and other.eager]
        if not rivals:
            return min(wanted, free)
        mine = self.standing(share)
        if not share.eager or any(self.standing(rival) < mine for rival in rivals):
            return 0
        part = free * share.weight / (share.weight + sum(rival.weight for rival in rivals))
        # A ninth decimal is rounding, and no claim to one slot more.
        return min(wanted, math.ceil(round(part, 9)))

    def charge(self, share: "Share", count: int) -> None:
        """`share` fills `count` slots."""
        standing = self.standing(share)
        self._mark = max(self._mark, standing)
        share.virtual_time = standing + count / share.weight

    def standing(self, share: "Share") -> float:
        """The mileage that counts: who was idle, or full, is not behind those who went on."""
        return max(share.virtual_time, self._mark)

    def enter(self, share: "Share") -> None:
        """From now on `share` counts."""
        self._present.append(share)

    def leave(self, share: "Share") -> None:
        """`share` counts no more."""
        self._present.remove(share)
        self.offer()


class Share:
    """One queue's part in the slots of its process, by `weight`."""

    def __init__(self, shares: Shares, weight: float) -> None:
        self.weight = weight
        self.virtual_time = 0.0
        self._shares = shares
        self._tenant: Tenant | None = None

    # What its engine asks of it

    def enter(self, tenant: Tenant) -> None:
        """`tenant` fills this share from now on."""
        self._tenant = tenant
        self._shares.enter(self)

    def leave(self) -> None:
        """Its tenant is gone."""
        self._shares.leave(self)
        self._tenant = None

    @property
    def free(self) -> int:
        """Slots that no queue of the process has."""
        return self._shares.free

    def grant(self, wanted: int) -> int:
        """How many slots its tenant may ask to fill now, of those that it could."""
        return self._shares.grant(self, wanted)

    def take(self, count: int) -> None:
        """Its tenant has asked to fill `count` slots."""
        self._shares.charge(self, count)
        self._shares.offer()

    def give_back(self, count: int) -> None:
        """`count` of the slots that its tenant asked to fill stayed empty."""
        self.virtual_time -= count / self.weight

    def offer(self) -> None:
        """Something changed: a job ended, or a step came back."""
        self._shares.offer()

    # What the others see of it

    @property
    def occupied(self) -> int:
        """Slots that its tenant has."""
        return self._tenant.occupied if self._tenant else 0

    @property
    def eager(self) -> bool:
        """Whether its tenant would start a job now."""
        return self._tenant is not None and self._tenant.eager

    def resume(self) -> None:
        """Tell its tenant that it may be its turn."""
        if self._tenant is not None:
            self._tenant.resume()
