"""Where a job is, and how an attempt of it ended: one word for one idea, everywhere.

The same words stand in code, API, metrics, pages and the command line; only SQL rows have their own.
"""

from enum import StrEnum


class State(StrEnum):
    """Where a job is now."""

    WAITING = "waiting"
    DELAYED = "delayed"
    ACTIVE = "active"
    COMPLETED = "completed"
    DEAD = "dead"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether the job stays in this state by itself; a dead one may be replayed by a person."""
        return self in _FINAL

    @property
    def SQL(self) -> str:  # noqa: N802, RUF100 (the column's own spelling)
        """The word of the `_jobs` table: PENDING, RUNNING, COMPLETED, FAILED or CANCELLED."""
        return _SQL[self]


class OutcomeKind(StrEnum):
    """How one attempt ended; the job itself may go on."""

    COMPLETED = "completed"
    RETRIED = "retried"
    SNOOZED = "snoozed"
    DEAD = "dead"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"
    LOST = "lost"

    @property
    def is_final(self) -> bool:
        """Whether the job ends with this attempt."""
        return self.value in _FINAL


_FINAL = frozenset({State.COMPLETED, State.DEAD, State.CANCELLED})

_SQL = {
    State.WAITING: "PENDING",
    State.DELAYED: "PENDING",
    State.ACTIVE: "RUNNING",
    State.COMPLETED: "COMPLETED",
    State.DEAD: "FAILED",
    State.CANCELLED: "CANCELLED",
}
