"""The changes of a zone's clock, and those that ticks fall into: spring skips an hour, in autumn one comes twice."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from rota.model.schedules.times import Cron, Times, zone_of

#: No zone changes its clock by more.
_MOST = timedelta(hours=4)
#: No zone changes its clock twice within this time, in seconds.
APART = 6 * 3600


@dataclass(frozen=True, slots=True)
class Change:
    """The moment from which a zone has another offset from UTC."""

    at: datetime
    before: timedelta
    after: timedelta

    @property
    def gap(self) -> timedelta:
        """How much of the clock is skipped; negative if it goes back."""
        return self.after - self.before


@dataclass(frozen=True, slots=True)
class ClockChange:
    """A change as people are told of it: what the clock shows before and after, and what it means for ticks within."""

    at: datetime
    before: str
    after: str
    means: str


def change_at(times: Times, tick: datetime) -> ClockChange | None:
    """Return the change of the clock that a tick falls into; None for most ticks."""
    if not isinstance(times, Cron):
        return None
    found = change_within(zone_of(times.zone), tick - _MOST, tick + _MOST)
    if found is None:
        return None
    at, change = found.at, found.gap
    # The skipped hour is over as it begins; the one that comes twice is around the change.
    first, last = (at, at) if change > timedelta() else (at + change, at - change - timedelta(seconds=1))
    if not first <= tick <= last:
        return None
    shown = [(at + own).strftime("%H:%M") for own in (found.before, found.after)]
    return ClockChange(at, shown[0], shown[1], _MEANS[change > timedelta(), times.is_of_the_day])


_MEANS = {
    (True, True): "what the skipped hour would have had runs as it ends",
    (True, False): "the skipped hour has no runs",
    (False, True): "of the hour that comes twice, the first one counts",
    (False, False): "the hour that comes twice has its runs twice",
}


def change_within(zone: tzinfo | None, begin: datetime, end: datetime) -> Change | None:
    """Return the first change of the clock after `begin` and until `end`, to the second."""
    low, last = int(begin.timestamp() // 1), int(end.timestamp() // 1)
    before = offset_at(zone, low)
    while low < last:
        high = min(low + APART, last)
        if offset_at(zone, high) != before:
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if offset_at(zone, middle) == before else (low, middle)
            return Change(datetime.fromtimestamp(high, UTC), before, offset_at(zone, high))
        low = high
    return None


def offset_at(zone: tzinfo | None, moment: float) -> timedelta:
    """Return how far the zone's clock is ahead of UTC at a moment, in seconds since 1970."""
    return datetime.fromtimestamp(moment, UTC).astimezone(zone).utcoffset() or timedelta()
