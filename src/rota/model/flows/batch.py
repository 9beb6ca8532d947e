"""A batch in numbers: what the job that a batch calls back finds in `run.batch`."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Batch:
    """How the jobs of one batch have ended. `dead_ids` are the ids of the first 100 dead jobs, in order of death."""

    id: str
    name: str
    total: int
    completed: int = 0
    dead: int = 0
    cancelled: int = 0
    dead_ids: tuple[str, ...] = ()

    @property
    def ended(self) -> int:
        """The number of jobs that have ended: completed, dead or cancelled."""
        return self.completed + self.dead + self.cancelled

    @property
    def percent(self) -> float:
        """The part of the jobs that have ended, from 0 to 100."""
        return round(100 * self.ended / self.total, 1) if self.total else 100.0
