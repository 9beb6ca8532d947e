"""The slots of a process where WORKER_CONCURRENCY caps them, and each queue's share in them, by its weight.

This is fair queueing by virtual time: a share's virtual time grows with each job that its queue starts, the slower the
more the queue weighs, and of the queues that want a slot the one with the lowest virtual time goes first. So starts
come out in the proportion of the weights, and the lightest queue has its turn too. A queue without work is passed over,
and what it left unused is gone.
"""

import asyncio
import math
from collections import deque
from typing import NamedTuple, Protocol

from rota.engine.capacity import Contender
from rota.process.clock import SYSTEM_CLOCK, Clock

#: The longest that one queue's turn may hold up the other queues, in seconds.
TURN = 0.1
#: This number of steps of the process claim at a time, and the slots that become free meanwhile gather for the next
#: ones. With 50 queues and 100 slots in all, there were two steps for each short job, which took 950 µs, not 95.
AT_ONCE = 2


class Share(Protocol):
    """One queue's part in the slots of its process, as the queue's engine uses it."""

    @property
    def held_back(self) -> bool:
        """Whether all slots of the process are taken."""

    def enter(self, contender: Contender) -> None:
        """Count the slots of `contender`, the queue's engine, from now on."""

    def leave(self) -> None:
        """Free the slots of the queue's engine, which has ended."""

    def grant(self, startable: int) -> int:
        """Return how many of the startable jobs the engine may ask for now."""

    def asked(self, count: int) -> None:
        """Take note that the engine sends a step, which asks for `count` jobs."""

    def answered(self, unused: int) -> None:
        """Take note that a step came back, and that `unused` of the slots that it asked to fill stayed empty."""

    def ended(self) -> None:
        """Take note that a job of the queue has ended."""

    def rest(self) -> None:
        """Take note that the engine has nothing to send, perhaps because it is another queue's turn."""


class Unlimited:
    """The share of every queue in a process whose slots are not capped: it grants whatever is asked for."""

    held_back = False

    def share(self, weight: float = 1.0) -> Share:
        return self

    def enter(self, contender: Contender) -> None:
        pass

    def leave(self) -> None:
        pass

    def grant(self, startable: int) -> int:
        return startable

    def asked(self, count: int) -> None:
        pass

    def answered(self, unused: int) -> None:
        pass

    def ended(self) -> None:
        pass

    def rest(self) -> None:
        pass


UNLIMITED = Unlimited()


class Shares:
    """All slots of one process, `slots` of them, and the shares of the queues that are at work."""

    def __init__(self, slots: int, clock: Clock = SYSTEM_CLOCK) -> None:
        self.now = clock.monotonic
        self._slots = slots
        self._present: list[CappedShare] = []
        self._virtual_time = 0.0
        self._ended = 0
        self._turnover = 0.0
        self._claims: list[Sent] = []
        self._is_offered = False

    def share(self, weight: float = 1.0) -> "CappedShare":
        """Return the share of one more queue; `weight` is above 0."""
        return CappedShare(self, weight)

    def enter(self, share: "CappedShare") -> None:
        """Let `share` take part from now on."""
        self._present.append(share)

    def leave(self, share: "CappedShare") -> None:
        """Divide the slots among the other shares from now on."""
        self._present.remove(share)
        self.offer()

    @property
    def free(self) -> int:
        """Slots that no queue of the process has taken."""
        return max(0, self._slots - sum(share.taken for share in self._present))

    def offer(self) -> None:
        """Wake the engine whose turn it is, if slots are free."""
        if self._are_enough_under_way() or not self.free:
            return
        for share in sorted(self._present, key=self.standing):
            if share.contends:
                share.resume()
                self._is_offered = True
                return

    def ended(self) -> None:
        """Offer the slot of a job that has ended, unless the engine whose turn it is has yet to take another one.

        Short jobs end in bunches, and to look at all queues for each of them takes longer than the jobs do.
        """
        self._ended += 1
        if not self._is_offered:
            self.offer()

    def sent(self, count: int) -> "Sent":
        """Take note that a step is sent, which asks for `count` jobs; return what `came_back` gets when it is there."""
        step = Sent(count, self.now(), self._ended, max(1, self._slots - self.free))
        if count:
            self._claims.append(step)
        return step

    def came_back(self, step: "Sent") -> None:
        """Take note that a step came back, and offer the slots that are free now."""
        if step.wanted:
            self._claims.remove(step)
        # A slot that becomes free waits for a step and for its answer, which is as long as two steps take. Jobs that
        # were claimed together end together: one step sees many of them, and the next few.
        part = min(1.0, 2 * (self._ended - step.ended) / step.taken)
        self._turnover = (self._turnover + part) / 2
        self.offer()

    def _are_enough_under_way(self) -> bool:
        # A slow step does not hold up the queues whose steps are not.
        return sum(self.now() - step.at <= TURN for step in self._claims) >= AT_ONCE

    def grant(self, share: "CappedShare", startable: int) -> int:
        """Return how many of the `startable` jobs `share` may start now.

        That is its part of the free slots, or what part of all slots becomes free again while a step is under way, if
        that is more: with short jobs the others' turns come soon, and small steps would cost more than the jobs do.
        """
        self._is_offered = False
        if self._are_enough_under_way():
            return 0
        free, standing = self.free, self.standing(share)
        others = [other for other in self._present if other is not share]
        # To ask an engine whether it wants a slot takes longer than to look at the standing of its share.
        if any(self.standing(other) < standing and other.contends for other in others):
            return 0
        rivals = sum(other.weight for other in others if other.contends)
        if not rivals:
            return min(startable, free)
        if not share.contends:
            return 0
        part = free * share.weight / (share.weight + rivals)
        # A ninth decimal is a rounding error, which must not round up to one slot more.
        return min(startable, max(math.ceil(round(part, 9)), int(free * self._turnover)))

    def charge(self, share: "CappedShare", count: int) -> None:
        """Add `count` started jobs to the virtual time of `share`."""
        standing = self.standing(share)
        self._virtual_time = max(self._virtual_time, standing)
        share.virtual_time = standing + count / share.weight

    def standing(self, share: "CappedShare") -> float:
        """Return the virtual time that counts for `share`: a queue that was idle or full does not build up credit."""
        return max(share.virtual_time, self._virtual_time)


class Sent(NamedTuple):
    """A step under way: how many jobs it asks for, when it was sent, and what was true then.

    `ended` jobs of the process had ended, and `taken` slots were taken, with those that it asks for.
    """

    wanted: int
    at: float
    ended: int
    taken: int


class CappedShare:
    """One queue's part, by `weight`, in the slots of its process, which are capped."""

    def __init__(self, shares: Shares, weight: float) -> None:
        self.weight = weight
        self.virtual_time = 0.0
        self._shares = shares
        self._contender: Contender | None = None
        self._under_way: deque[Sent] = deque()
        self._patience: asyncio.TimerHandle | None = None

    # What its engine uses; `Share` says what each is for

    @property
    def held_back(self) -> bool:
        return not self._shares.free

    def enter(self, contender: Contender) -> None:
        self._contender = contender
        self._shares.enter(self)

    def leave(self) -> None:
        self._stop_waiting()
        while self._under_way:
            self._shares.came_back(self._under_way.popleft())
        self._shares.leave(self)
        self._contender = None

    def grant(self, startable: int) -> int:
        return self._shares.grant(self, startable)

    def asked(self, count: int) -> None:
        self._under_way.append(self._shares.sent(count))
        if count:
            self._shares.charge(self, count)
            self._shares.offer()

    def answered(self, unused: int) -> None:
        self.virtual_time -= unused / self.weight
        self._shares.came_back(self._under_way.popleft())

    def ended(self) -> None:
        self._shares.ended()

    def rest(self) -> None:
        # It may be the turn of another queue, whose engine will pass it on. A turn that never ends must not hold this
        # queue up for ever.
        if self._patience is None and self._shares.free and self.contends:
            self._patience = asyncio.get_running_loop().call_later(TURN, self._lose_patience)

    def _lose_patience(self) -> None:
        self._patience = None
        self.resume()

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    # What the other shares see of it

    @property
    def taken(self) -> int:
        """Slots of the process that its engine has taken."""
        return self._contender.taken if self._contender else 0

    @property
    def contends(self) -> bool:
        """Whether its engine wants a slot. One whose step is slow has lost its turn until the reply is there."""
        return self._contender is not None and self._contender.wants_slot and not self._is_late()

    def _is_late(self) -> bool:
        return bool(self._under_way) and self._shares.now() - self._under_way[-1].at > TURN

    def resume(self) -> None:
        """Tell its engine that it may be its turn."""
        if self._contender is not None:
            self._contender.resume()
