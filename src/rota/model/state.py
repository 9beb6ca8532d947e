"""The states of a job, and the outcomes of an attempt: the words of code, API, metrics, pages and command line."""

from enum import StrEnum


class State(StrEnum):
    """The state that a job is in now."""

    WAITING = "waiting"
    DELAYED = "delayed"
    ACTIVE = "active"
    COMPLETED = "completed"
    DEAD = "dead"
    CANCELLED = "cancelled"

    @property
    def is_over(self) -> bool:
        """Whether the job has come to its end."""
        return self in (State.COMPLETED, State.DEAD, State.CANCELLED)


class OutcomeKind(StrEnum):
    """The outcome of one attempt; the job may go on."""

    COMPLETED = "completed"
    RETRIED = "retried"
    SNOOZED = "snoozed"
    DEAD = "dead"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"
    LOST = "lost"
