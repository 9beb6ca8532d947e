"""What is known of a schedule: when it runs next and ran last, how that ended, and what it left out."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from rota.model.schedules.state import State
from rota.model.schedules.times import Times
from rota.names import full_name

#: How many of the next ticks are told.
UPCOMING = 3


@dataclass(frozen=True, slots=True)
class ScheduleInfo:
    """A schedule as it was when Redis was asked; times are in UTC.

    `words` says when it runs, and so does `expression`, by the clock of `zone`. `upcoming` are its next ticks, the one
    that waits first. `next` is the tick that waits, `last` the one that was due last. `outcome` is how the
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
    expression: str = ""
    zone: str = ""
    upcoming: tuple[datetime, ...] = ()

    @classmethod
    def of(cls, state: State) -> Self:
        """Return what a schedule's state in Redis says."""
        definition, place = state.definition, state.place
        times = definition.times if definition else None
        return cls(
            state.name,
            full_name(*place) if place else "",
            times.words if times else "",
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
            times.text if times else "",
            times.zone if times else "",
            _upcoming(times, state.tick),
        )


def _upcoming(times: Times | None, tick: int | None) -> tuple[datetime, ...]:
    """Return the tick that waits, and those after it; none where nothing waits, as in a pause."""
    found: list[datetime] = []
    while times and tick is not None and len(found) < UPCOMING and (moment := _moment(tick)):
        found.append(moment)
        tick = times.next_after(tick)
    return tuple(found)


def _moment(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else datetime.fromtimestamp(milliseconds / 1000, UTC)
