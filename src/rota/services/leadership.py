"""One term of leadership, as the services see it that run while it lasts.

Nothing is right only because one process leads: for the length of a lease there may be two. Whatever a leader writes is
written by scripts that check what they change, or fenced by the epoch of the term.
"""

import math

from rota.errors import RotaError
from rota.process.clock import SYSTEM_CLOCK, Clock


class LeadershipLost(RotaError):
    """Raised by `Leadership.check` where the term is over: the service that asked has nothing more to do."""

    def __init__(self, epoch: int) -> None:
        super().__init__(f"the term {epoch} is over: this process does not lead any more")


class Leadership:
    """A term. It ends when it is lost or given back, and by itself before the lease of its place does.

    :param epoch: greater than that of every term before, in any process: a fence for what a leader writes elsewhere.
    :param until: the end of the trust in it, on the monotonic clock.
    """

    def __init__(self, epoch: int, until: float, clock: Clock = SYSTEM_CLOCK) -> None:
        self.epoch = epoch
        self._until = until
        self._clock = clock

    @property
    def left(self) -> float:
        """The seconds until the term ends, unless it is extended; 0.0 once it is over."""
        return max(0.0, self._until - self._clock.monotonic())

    @property
    def is_leader(self) -> bool:
        """Whether the term lasts; to be asked before each write, as the process may just have stood still."""
        return self.left > 0

    def check(self) -> None:
        """Raise LeadershipLost if the term is over."""
        if not self.is_leader:
            raise LeadershipLost(self.epoch)

    def extend(self, until: float) -> None:
        """Trust in the term until then. A term that is over stays over."""
        if self.is_leader:
            self._until = until

    def end(self) -> None:
        """End the term now, whatever is left of the trust in it."""
        self._until = -math.inf
