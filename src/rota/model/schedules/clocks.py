"""The changes of a zone's clock that ticks fall into: an hour is skipped in spring, and one comes twice in autumn."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from rota.model.schedules.times import Cron, Times, zone_of

#: No zone changes its clock by more.
_MOST = timedelta(hours=4)


@dataclass(frozen=True, slots=True)
class ClockChange:
    """A change of a zone's clock: what it shows before and after, and what that means for the ticks within."""

    at: datetime
    before: str
    after: str
    means: str


def change_at(times: Times, tick: datetime) -> ClockChange | None:
    """Return the change of the clock that a tick falls into; None for most ticks."""
    if not isinstance(times, Cron):
        return None
    zone = zone_of(times.zone)

    def offset(moment: datetime) -> timedelta:
        return moment.astimezone(zone).utcoffset() or timedelta()

    low, high = tick.astimezone(UTC) - _MOST, tick.astimezone(UTC) + _MOST
    before, after = offset(low), offset(high)
    if before == after:
        return None
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) / 2
        low, high = (middle, high) if offset(middle) == before else (low, middle)
    at = high.replace(microsecond=0)
    change = after - before
    # The skipped hour is over as it begins; the one that comes twice is around the change.
    first, last = (at, at) if change > timedelta() else (at + change, at - change - timedelta(seconds=1))
    if not first <= tick <= last:
        return None
    shown = [(at + own).strftime("%H:%M") for own in (before, after)]
    return ClockChange(at, shown[0], shown[1], _MEANS[change > timedelta(), times.is_of_the_day])


_MEANS = {
    (True, True): "what the skipped hour would have had runs as it ends",
    (True, False): "the skipped hour has no runs",
    (False, True): "of the hour that comes twice, the first one counts",
    (False, False): "the hour that comes twice has its runs twice",
}
