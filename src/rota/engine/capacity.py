"""How many jobs an engine may start: the words for it, and the arithmetic, which does no I/O.

| word | meaning |
|---|---|
| waiting | jobs that were claimed ahead: they start when a slot becomes free |
| taken | slots in which jobs run, for which claimed ones wait, or which a step under way has asked to fill |
| free | slots of the queue that are not taken |
| startable | how many jobs the next step could claim if no other queue of the process wanted slots |
| ahead | how many jobs a step claims beyond the free slots, as their slots become free while it is under way |
| granted | the part of the startable that the other queues leave to this one |
| belief | whether due jobs are thought to wait that no step has asked for yet |
| wants a slot | there is belief, or a step under way that follows from it, and a job is startable |
| held back | other queues have taken all slots of the process |
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import NamedTuple, Protocol

from rota.wire.claims import Settlement
from rota.wire.queue import BATCH

#: A worker with more slots than this takes two steps at a time, so that Redis works while Python does.
ONE_LANE = 8
#: Lanes whose steps may be as small as they like, and among which the slots are divided.
_WITHOUT_LEAST = 2
#: Jobs are claimed ahead where that keeps one slot of this number, or more, from standing empty. Without it, a server
#: that is 3 ms away costs 40 % of the jobs a second at a hundred slots; with it, a tenth.
WORTH_IT = 10


class Belief(IntEnum):
    """Whether due jobs may wait that no step has asked for yet, and how an engine has learnt of them."""

    NONE = 0
    POLLED = 1
    """The engine looks by itself, since no token came for a few seconds."""
    TOLD = 2
    """A token, a timer or the reply of a step says so."""


class Access(Enum):
    """Whether an engine may claim; it depends on whether a suspect is to run alone in its process."""

    SHARED = "there is no suspect, so every engine may claim"
    CLOSED = "a suspect of another engine runs, or waits until the process is empty"
    WAITING = "the suspect of this engine runs, or waits until the process is empty"
    ALONE = "the process is empty, so this engine may claim its suspect"


class Contender(Protocol):
    """An engine, as what it shares with the other engines of its process sees it."""

    @property
    def taken(self) -> int:
        """Slots in which its jobs run, for which claimed ones wait, or which a step under way has asked to fill."""

    @property
    def wants_slot(self) -> bool:
        """Whether the engine would start a job now, as far as it knows."""

    def look(self) -> None:
        """Believe that due jobs wait, and ask for them as soon as a slot is free."""

    def resume(self) -> None:
        """Look at the slots again: it may be this engine's turn."""


class Ask(NamedTuple):
    """The work of one step: which claims it settles, and how many jobs it may claim.

    `want` is the most jobs that it may claim, none if 0. `alone` says that it may claim one suspect and nothing else.
    `belief` is why it is sent.
    """

    settlements: list[Settlement]
    want: int
    alone: bool
    belief: Belief


def _no_limit() -> int | None:
    return None


@dataclass(frozen=True, slots=True)
class Capacity:
    """The bounds of the jobs that one worker runs of its queue.

    :param slots: how many may run at once.
    :param budget: returns how many more may be started at all; None means no limit.
    """

    slots: int
    budget: Callable[[], int | None] = _no_limit
    lanes: int = field(init=False)
    """How many steps may be under way at a time. A third one goes out only if it is as large as a step may be: behind a
    server that is far away, a busy worker does half as many jobs again in this way, and behind a near one the same."""

    batch: int = field(init=False)
    """The most jobs that one step claims: the slots are divided among the first two lanes."""

    def __post_init__(self) -> None:
        lanes = 1 if self.slots <= ONE_LANE else 2 if self.slots < BATCH else 3
        object.__setattr__(self, "lanes", lanes)
        object.__setattr__(self, "batch", min(BATCH, max(1, -(-self.slots // min(lanes, _WITHOUT_LEAST)))))

    def least(self, lane: int) -> int:
        """Return how many jobs a step of a lane must settle or claim, or else it does not go out."""
        # Three small steps would cost more than two that are half as large again.
        return 1 if lane < _WITHOUT_LEAST else BATCH

    def startable(self, running: int, asked: int, access: Access, *, waiting: int = 0, ahead: int = 0) -> int:
        """Return how many jobs the next step could claim if no other queue of the process wanted slots.

        `running` jobs run, `waiting` ones are claimed and wait for a slot, and steps under way have `asked` for more.
        The step claims up to `ahead` jobs more than there are free slots.
        """
        if access is not Access.SHARED:
            return 1 if access is Access.ALONE else 0
        free = self.slots + ahead - running - waiting - asked
        if free <= 0:
            return 0
        startable = min(free, BATCH, -(-(self.slots + ahead) // _WITHOUT_LEAST) if ahead else self.batch)
        budget = self.budget()
        return startable if budget is None else min(startable, max(0, budget - asked - waiting))

    def ahead(self, ending: float) -> int:
        """Return how many jobs to claim beyond the free slots, where `ending` jobs end while a step is under way.

        A slot that becomes free waits for the next step of a lane, and for its answer: about as long as two steps take.
        Where jobs are long, few end during a step, and none is claimed ahead: another worker may have a slot for it.
        """
        ahead = min(round(2 * ending), self.slots * (self.lanes - 1))
        return ahead if self.lanes > 1 and ahead * WORTH_IT >= self.slots else 0
