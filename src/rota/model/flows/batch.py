"""What a job that a batch calls back is told of it: how many of its jobs ended how."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Batch:
    """The figures of one batch. `dead_ids` names its dead jobs, at most 100 of them, in the order of their deaths."""

    id: str
    name: str
    total: int
    completed: int = 0
    dead: int = 0
    cancelled: int = 0
    dead_ids: tuple[str, ...] = ()

    @property
    def ended(self) -> int:
        """How many have ended, however they did."""
        return self.completed + self.dead + self.cancelled

    @property
    def percent(self) -> float:
        """How far the whole is, from 0 to 100."""
        return round(100 * self.ended / self.total, 1) if self.total else 100.0
