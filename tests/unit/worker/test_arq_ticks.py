"""When a cron job runs next: each time of day once, each half hour of real time, whatever becomes of the clock."""

import os
import time
import zoneinfo
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import pairwise
from typing import Any

import pytest
from arq.cron import CronJob, cron
from hypothesis import given, settings
from hypothesis import strategies as st

from rota.model.schedules.clocks import change_within
from rota.worker.arq_ticks import next_tick

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "15"))
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
NIGHTS = {"back": datetime(2026, 10, 25, tzinfo=UTC), "forward": datetime(2026, 3, 29, tzinfo=UTC)}


class Changed(tzinfo):
    """A zone whose clock is changed once, at the moment `at` of UTC, from the offset `before` to `after`."""

    def __init__(self, at: datetime, before: timedelta, after: timedelta) -> None:
        self.at, self.before, self.after = at.replace(tzinfo=None), before, after

    def __repr__(self) -> str:
        return f"Changed({self.at}, {self.before}, {self.after})"

    def utcoffset(self, moment: datetime | None) -> timedelta:
        assert moment is not None
        wall = moment.replace(tzinfo=None, fold=0)
        early, late = wall < self.at + self.before, wall >= self.at + self.after
        if early and late:
            return self.after if moment.fold else self.before
        if not early and not late:
            return self.after if moment.fold else self.before
        return self.before if early else self.after

    def fromutc(self, moment: datetime) -> datetime:
        utc = moment.replace(tzinfo=None)
        wall = utc + (self.before if utc < self.at else self.after)
        twice = utc >= self.at and wall < self.at + self.before
        return wall.replace(tzinfo=self, fold=int(twice))

    def dst(self, moment: datetime | None) -> timedelta:
        return timedelta()

    def tzname(self, moment: datetime | None) -> str:
        return "made up"


async def nothing(ctx: dict[Any, Any]) -> None:
    """Return at once, with nothing done."""


def job(**when: Any) -> CronJob:
    return cron(nothing, microsecond=0, **when)


def ticks(job: CronJob, zone: tzinfo | None, begin: datetime, end: datetime) -> list[datetime]:
    """Return the ticks after `begin` and before `end`, in UTC."""
    found, moment = [], begin
    while (moment := next_tick(job, moment, zone)) < end:
        assert moment.tzinfo is not None
        found.append(moment.astimezone(UTC))
    return found


def expected(job: CronJob, zone: tzinfo, begin: datetime, end: datetime) -> list[datetime]:
    """Return the same by looking at every minute: of real time, or on the wall where hours are named."""
    minutes = round((end - begin) / MINUTE)
    if job.hour is None:
        moments = {begin + number * MINUTE for number in range(minutes)}
    else:
        first = begin.astimezone(zone).replace(tzinfo=None, fold=0) - DAY
        moments = {
            (first + number * MINUTE).replace(tzinfo=zone).astimezone(UTC)
            for number in range(minutes + 3 * 24 * 60)
            if _named(first + number * MINUTE, job)
        }
    return sorted(
        moment
        for moment in moments
        if begin < moment < end and (job.hour is not None or _named(moment.astimezone(zone), job))
    )


def _named(wall: datetime, job: CronJob) -> bool:
    minutes, hours, days = (
        {one} if isinstance(one, int) else one for one in (job.minute, job.hour, job.weekday)
    )
    return all(
        allowed is None or value in allowed
        for value, allowed in ((wall.minute, minutes), (wall.hour, hours), (wall.weekday(), days))
    )


def some(most: int) -> st.SearchStrategy[set[int]]:
    return st.sets(st.integers(0, most), min_size=1, max_size=4)


quarters = st.integers(-12 * 4, 10 * 4).map(lambda number: number * timedelta(minutes=15))
gaps = st.sampled_from([-4, -3, -2, -1, 1, 2, 3, 4, 6, 8, 26]).map(lambda n: n * timedelta(minutes=30))
changes = st.tuples(
    st.integers(15_000_000, 30_000_000).map(lambda number: datetime.fromtimestamp(number * 60, UTC)),
    quarters,
    gaps,
)


@given(changes, st.none() | some(23), some(59), st.none() | some(6), st.integers(0, 26 * 60))
@settings(max_examples=EXAMPLES)
def test_no_tick_is_missed_and_none_comes_twice_in_any_zone(
    change: tuple[datetime, timedelta, timedelta],
    hours: set[int] | None,
    minutes: set[int],
    weekdays: set[int] | None,
    lead: int,
) -> None:
    at, before, gap = change
    zone = Changed(at, before, before + gap)
    one = job(hour=hours, minute=minutes, weekday=weekdays)
    begin, end = at - lead * MINUTE, at + 26 * HOUR
    assert ticks(one, zone, begin, end) == expected(one, zone, begin, end)


@pytest.mark.parametrize("name", ["Europe/Berlin", "Australia/Lord_Howe", "Asia/Beirut", "America/St_Johns"])
@pytest.mark.parametrize(
    "when",
    [{"minute": {0, 30}}, {"hour": {0, 1, 2, 3}, "minute": {0, 15, 30}}, {"hour": 2, "minute": 30}],
    ids=str,
)
def test_real_zones_keep_every_tick_through_both_changes(name: str, when: dict[str, Any]) -> None:
    zone = zone_of(name)
    year = datetime(2026, 1, 1, tzinfo=UTC)
    first = change_within(zone, year, year + 365 * DAY)
    assert first is not None
    second = change_within(zone, first.at, year + 365 * DAY)
    assert second is not None
    for change in (first, second):
        begin, end = change.at - 2 * HOUR, change.at + 26 * HOUR
        assert ticks(job(**when), zone, begin, end) == expected(job(**when), zone, begin, end)


@pytest.mark.parametrize("night", NIGHTS)
def test_half_hours_are_never_silent(night: str) -> None:
    found = ticks(job(minute={0, 30}), zone_of("Europe/Berlin"), NIGHTS[night], NIGHTS[night] + DAY)
    assert {later - earlier for earlier, later in pairwise(found)} == {HOUR / 2}


@pytest.mark.parametrize("night", NIGHTS)
@pytest.mark.parametrize("minute", [0, 30, 59])
def test_a_daily_job_runs_once_each_day(night: str, minute: int) -> None:
    daily = job(hour=2, minute=minute)
    evening = NIGHTS[night] - 2 * HOUR
    found = ticks(daily, zone_of("Europe/Berlin"), evening - 3 * DAY, evening + 3 * DAY)
    assert len(found) == 6
    assert len({moment.astimezone(zone_of("Europe/Berlin")).date() for moment in found}) == 6


def test_a_job_that_names_all_hours_is_one_of_every_hour() -> None:
    named, unnamed = job(hour=set(range(24)), minute=15), job(minute=15)
    begin = NIGHTS["back"]
    zone = zone_of("Europe/Berlin")
    assert ticks(named, zone, begin, begin + DAY) == ticks(unnamed, zone, begin, begin + DAY)


def test_a_tick_of_a_yearly_job_is_found_through_all_changes() -> None:
    yearly = job(month=7, day=1, hour=12, minute=0)
    found = ticks(
        yearly, zone_of("Europe/Berlin"), datetime(2026, 7, 2, tzinfo=UTC), datetime(2029, 1, 1, tzinfo=UTC)
    )
    assert found == [datetime(year, 7, 1, 10, 0, tzinfo=UTC) for year in (2027, 2028)]


def test_the_system_zone_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    try:
        found = ticks(job(hour=12, minute=0), None, NIGHTS["back"] - DAY, NIGHTS["back"] + DAY)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert found == [datetime(2026, 10, day, hour, tzinfo=UTC) for day, hour in ((24, 10), (25, 11))]


def zone_of(name: str) -> tzinfo:
    try:
        return zoneinfo.ZoneInfo(name)
    except zoneinfo.ZoneInfoNotFoundError:
        pytest.skip("this machine has no time zones")
