"""How many jobs an engine may start: the words for it, and the arithmetic, which does no I/O.

| word | meaning |
|---|---|
| taken | slots in which jobs run, or which a step under way has asked to fill |
| free | slots of the queue that are not taken |
| startable | how many jobs the next step could claim if no other queue of the process wanted slots |
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


class Belief(IntEnum):
    """Whether due jobs may wait that no step has asked for yet, and where an engine knows it from."""

    NONE = 0
    POLLED = 1
    """The engine looks by itself, as it does every few seconds."""
    TOLD = 2
    """A token, a timer or a step said so."""


class Access(Enum):
    """Whether an engine may claim, where a job of its process may have to run alone."""

    SHARED = "no job has to run alone"
    CLOSED = "a job of another engine runs alone, or waits to"
    WAITING = "a job of this engine is to run alone: it waits until the process is empty, or runs"
    ALONE = "the process is empty: this engine may claim the job that is to run alone"


class Contender(Protocol):
    """An engine, as what it shares with the other engines of its process sees it."""

    @property
    def taken(self) -> int:
        """Slots in which its jobs run, or which a step under way has asked to fill."""

    @property
    def wants_slot(self) -> bool:
        """Whether the engine would start a job now, as far as it knows."""

    def look(self) -> None:
        """Believe that due jobs wait, and ask for them as soon as a slot is free."""

    def resume(self) -> None:
        """Look at the slots again: it may be this engine's turn."""


class Ask(NamedTuple):
    """What one step is to do.

    `want` is how many jobs it may claim; `alone` that it may claim one suspect and nothing else; `belief` is what it
    follows from.
    """

    settlements: list[Settlement]
    want: int
    alone: bool
    belief: Belief


def _no_limit() -> int | None:
    return None


@dataclass(frozen=True, slots=True)
class Capacity:
    """What bounds the jobs that one worker runs of its queue.

    :param slots: how many may run at once.
    :param budget: returns how many more may be started at all; None means no limit.
    """

    slots: int
    budget: Callable[[], int | None] = _no_limit
    batch: int = field(init=False)
    """The most jobs that one step claims, so that all lanes have their part."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "batch", min(BATCH, max(1, -(-self.slots // self.lanes))))

    @property
    def lanes(self) -> int:
        """How many steps may be under way at a time."""
        return 1 if self.slots <= ONE_LANE else 2

    def startable(self, running: int, asked: int, access: Access) -> int:
        """Return how many jobs the next step could claim if no other queue of the process wanted slots.

        `running` jobs run, and steps under way have `asked` for more.
        """
        if access is not Access.SHARED:
            return 1 if access is Access.ALONE else 0
        startable = max(0, min(self.slots - running - asked, self.batch))
        budget = self.budget()
        return startable if budget is None else min(startable, max(0, budget - asked))
