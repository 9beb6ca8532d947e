"""When a schedule's ticks are: by a cron expression on the clock of a time zone, or at an interval.

A tick is a moment, in whole milliseconds since 1970. The two changes of a zone's clock are met as Debian's cron meets
them. Where minute and hour are both named, a tick is a time of day and comes once a day: one that the spring change
skips comes as the skipped hour ends (02:30 at 03:00), and of an hour that the autumn change repeats the first counts.
Where minute or hour begins with a star, ticks follow real time: what falls into the skipped hour is left out, and the
repeated hour has its ticks twice.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from difflib import get_close_matches
from functools import lru_cache
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

from rota.units import InvalidDuration, parse_duration

#: The shortest and the longest interval, in milliseconds.
SHORTEST, LONGEST = 1000, 366 * 86_400_000
#: The names that stand for an expression.
NAMED = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
#: The most ticks that are counted.
MOST_COUNTED = 1000

_FIELDS = 5
_HOW = (
    'write a cron expression of five fields ("0 4 * * *": minute hour day month weekday), @hourly, @daily, @weekly, '
    '@monthly or @yearly, or an interval ("5m", timedelta(minutes=5))'
)
_UNITS = (("day", 86_400_000), ("hour", 3_600_000), ("minute", 60_000), ("second", 1000))
#: No zone sets its clock back by more, in seconds.
_SET_BACK = 4 * 3600


@dataclass(frozen=True, slots=True)
class Cron:
    """The ticks of a cron expression, by the clock of a zone."""

    expression: str
    zone: str = "UTC"

    def next_after(self, moment: int) -> int:
        """Return the first tick after a moment."""
        return next(self._from(moment))

    def last_until(self, moment: int) -> int:
        """Return the last tick that was not after a moment."""
        # Of an hour that came twice, a time of day was the first: it is not before the second in the clock's order.
        slack = _SET_BACK if self.is_of_the_day else 1
        backwards = CronSim(self.expression, _at(moment // 1000 + slack, self.zone), reverse=True)
        return next(tick for tick in map(_ms, backwards) if tick <= moment)

    def count(self, after: int, until: int) -> int:
        """Return how many ticks there are after one moment, and not after another; at most MOST_COUNTED."""
        ticks = islice(self._from(after), MOST_COUNTED)
        return next((number for number, tick in enumerate(ticks) if tick > until), MOST_COUNTED)

    @property
    def text(self) -> str:
        """The expression, as it was given."""
        return self.expression

    @property
    def words(self) -> str:
        """The schedule in words."""
        return f"{CronSim(self.expression, datetime.now(UTC)).explain()}, {self.zone}"

    def wire(self) -> dict[str, Any]:
        """Return the schedule as it lies in Redis."""
        return {"cron": self.expression, "zone": self.zone}

    @property
    def is_of_the_day(self) -> bool:
        """Whether a tick is a time of day, and so comes once a day, whatever the clock does."""
        return not any(field.startswith("*") for field in self.expression.split()[:2])

    def _from(self, moment: int) -> Iterator[int]:
        """Yield the ticks after a moment: two times of day in one skipped hour are one tick."""
        for tick in map(_ms, CronSim(self.expression, _at(moment // 1000, self.zone))):
            if tick > moment:
                yield tick
                moment = tick


@dataclass(frozen=True, slots=True)
class Interval:
    """Ticks at an interval, counted from the beginning of 1970 in UTC, so that all who look agree on them."""

    milliseconds: int

    @property
    def zone(self) -> str:
        """The zone by whose clock it counts."""
        return "UTC"

    @property
    def text(self) -> str:
        """The interval, as it could be given."""
        for unit, length in _UNITS:
            if self.milliseconds % length == 0:
                return f"{self.milliseconds // length}{unit[0]}"
        return f"{self.milliseconds / 1000:g}s"

    def next_after(self, moment: int) -> int:
        """Return the first tick after a moment."""
        return (moment // self.milliseconds + 1) * self.milliseconds

    def last_until(self, moment: int) -> int:
        """Return the last tick that was not after a moment."""
        return moment // self.milliseconds * self.milliseconds

    def count(self, after: int, until: int) -> int:
        """Return how many ticks there are after one moment, and not after another; at most MOST_COUNTED."""
        return min(MOST_COUNTED, max(0, until // self.milliseconds - after // self.milliseconds))

    @property
    def words(self) -> str:
        """The schedule in words."""
        for unit, length in _UNITS:
            if self.milliseconds % length == 0:
                number = self.milliseconds // length
                return f"Every {unit}" if number == 1 else f"Every {number} {unit}s"
        return f"Every {self.milliseconds / 1000:g} seconds"

    def wire(self) -> dict[str, Any]:
        """Return the schedule as it lies in Redis."""
        return {"every": self.milliseconds}


Times = Cron | Interval


def times_of(when: str | timedelta, zone: str) -> Times:
    """Read what `@every` was given. Raises TypeError or ValueError, with what to write instead."""
    if isinstance(when, timedelta):
        return _interval(when, when.total_seconds(), zone)
    if not isinstance(when, str):
        raise TypeError(f"{when!r} is no time to run at; {_HOW}")
    text = " ".join(when.split())
    if text.startswith("@"):
        if text.lower() not in NAMED:
            raise ValueError(f"{when!r} is no time to run at; {_HOW}")
        text = NAMED[text.lower()]
    if len(text.split()) == _FIELDS:
        return _cron(text, zone)
    if "*" in text or not re.search(r"[a-z]$", text):
        raise ValueError(f"{when!r} is no time to run at: it has neither five fields nor a unit; {_HOW}")
    try:
        return _interval(when, parse_duration(text), zone)
    except InvalidDuration:
        raise ValueError(f"{when!r} is no time to run at; {_HOW}") from None


def ticks_before(times: Times, moment: int, count: int, since: int) -> list[int]:
    """Return the last ticks that were not after a moment, the latest first; none before `since`."""
    found: list[int] = []
    while len(found) < count and moment >= since:
        moment = times.last_until(moment)
        if moment >= since:
            found.append(moment)
        moment -= 1
    return found


def times_from(wire: Any) -> Times:
    """Read what `wire` wrote. Raises ValueError for anything else, such as what a later version writes."""
    match wire:
        case {"cron": str(expression), "zone": str(zone)}:
            return _cron(expression, zone)
        case {"every": int(milliseconds)} if SHORTEST <= milliseconds <= LONGEST:
            return Interval(milliseconds)
    raise ValueError("this version cannot read the times of the schedule")


def _interval(given: object, seconds: float, zone: str) -> Interval:
    milliseconds = round(seconds * 1000)
    if not SHORTEST <= milliseconds <= LONGEST:
        raise ValueError(f"{given!r} is no interval: it is from a second to 366 days")
    if zone != "UTC":
        raise ValueError(
            f"{given!r} is an interval, which no time zone changes; leave out tz, or write a cron expression"
        )
    return Interval(milliseconds)


@lru_cache(maxsize=1024)
def _cron(expression: str, zone: str) -> Cron:
    _check_zone(zone)
    try:
        next(CronSim(expression, datetime(2024, 1, 1, tzinfo=UTC)))
    except CronSimError as error:
        raise ValueError(f"{expression!r} is no cron expression ({_lowered(error)}); {_HOW}") from None
    except StopIteration:
        raise ValueError(f"{expression!r} never comes: no day of any year is meant by it") from None
    return Cron(expression, zone)


def _lowered(error: CronSimError) -> str:
    text = str(error)
    return text[:1].lower() + text[1:]


def _check_zone(zone: Any) -> None:
    if not isinstance(zone, str):
        raise TypeError(f'tz is {zone!r}; it is the name of a time zone, as tz="Europe/Berlin"')
    try:
        zone_of(zone)
    except (ValueError, OSError, LookupError):
        known = available_timezones()
        if not known:
            raise ValueError(
                f"tz is {zone!r}, and this machine knows no time zones; install tzdata"
            ) from None
        close = get_close_matches(zone, known, n=1, cutoff=0.5)
        meant = f"; did you mean {close[0]!r}?" if close else '; write one as "Europe/Berlin"'
        raise ValueError(f"tz is {zone!r}, which is no time zone{meant}") from None


@lru_cache(maxsize=256)
def zone_of(zone: str) -> tzinfo:
    """Return the zone of a name. Raises what zoneinfo raises for one that is none."""
    return UTC if zone == "UTC" else ZoneInfo(zone)


def _at(seconds: int, zone: str) -> datetime:
    return datetime.fromtimestamp(seconds, zone_of(zone))


def _ms(tick: datetime) -> int:
    return math.floor(tick.timestamp()) * 1000
