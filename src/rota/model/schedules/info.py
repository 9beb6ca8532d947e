"""What is known of a schedule: when it runs next and ran last, how that ended, and what it left out."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from rota.model.schedules.state import State
from rota.names import full_name


@dataclass(frozen=True, slots=True)
class ScheduleInfo:
    """A schedule as it was when Redis was asked; times are in UTC.

    `words` says when it runs. `next` is the tick that waits, `last` the one that was due last. `outcome` is how the
    last job that is over ended, at `ended`: completed, dead, cancelled, or gone where no record says it; `succeeded` is
    when one last completed. `missed_ticks` counts the ticks that did not run because nothing could run them,
    `overlapped` those left out because the one before was alive.
    """

    name: str
    job: str
    words: str
    missed: str
    overlap: str
    next: datetime | None
    last: datetime | None
    outcome: str
    ended: datetime | None
    succeeded: datetime | None
    paused_since: datetime | None
    missed_ticks: int
    overlapped: int

    @classmethod
    def of(cls, state: State) -> Self:
        """Return what a schedule's state in Redis says."""
        definition, place = state.definition, state.place
        return cls(
            state.name,
            full_name(*place) if place else "",
            definition.times.words if definition else "",
            definition.missed if definition else "",
            definition.overlap if definition else "",
            _moment(state.tick),
            _moment(state.last),
            state.outcome,
            _moment(state.ended),
            _moment(state.succeeded),
            _moment(state.paused),
            state.missed,
            state.overlapped,
        )


def _moment(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else datetime.fromtimestamp(milliseconds / 1000, UTC)
