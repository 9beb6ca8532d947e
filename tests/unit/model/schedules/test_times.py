"""When ticks are: by cron expressions through both changes of the clock, at intervals, and what is refused."""

import random
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from rota.model.schedules.times import (
    MOST_COUNTED,
    Cron,
    Interval,
    Times,
    ticks_before,
    times_from,
    times_of,
)

BERLIN = ZoneInfo("Europe/Berlin")
SPRING, AUTUMN = datetime(2026, 3, 28, 12, tzinfo=BERLIN), datetime(2026, 10, 24, 12, tzinfo=BERLIN)
NIGHT = datetime(2026, 10, 25, 0, 30, tzinfo=BERLIN)


def ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def ticks(times: Times, after: datetime, number: int) -> list[str]:
    """Return the next ticks, by the clock of Berlin."""
    found, moment = [], ms(after)
    for _ in range(number):
        moment = times.next_after(moment)
        found.append(f"{datetime.fromtimestamp(moment / 1000, BERLIN):%d %H:%M %Z}")
    return found


@pytest.mark.parametrize(
    ("expression", "after", "expected"),
    [
        ("30 2 * * *", SPRING, ["29 03:00 CEST", "30 02:30 CEST"]),
        ("30 2 * * *", AUTUMN, ["25 02:30 CEST", "26 02:30 CET"]),
        ("30,45 2 * * *", SPRING, ["29 03:00 CEST", "30 02:30 CEST"]),
        ("0 4 * * *", SPRING, ["29 04:00 CEST", "30 04:00 CEST"]),
        ("0 * * * *", NIGHT, ["25 01:00 CEST", "25 02:00 CEST", "25 02:00 CET", "25 03:00 CET"]),
        ("0 * * * *", SPRING + timedelta(hours=13), ["29 03:00 CEST", "29 04:00 CEST"]),
        ("*/15 2 * * *", SPRING, ["30 02:00 CEST", "30 02:15 CEST"]),
        ("*/30 2 * * *", NIGHT, ["25 02:00 CEST", "25 02:30 CEST", "25 02:00 CET", "25 02:30 CET"]),
    ],
)
def test_both_changes_of_the_clock_are_met_as_debian_s_cron_meets_them(
    expression: str, after: datetime, expected: list[str]
) -> None:
    assert ticks(times_of(expression, "Europe/Berlin"), after, len(expected)) == expected


EXPRESSIONS = ("30 2 * * *", "30,45 2 * * *", "0 * * * *", "*/15 2 * * *", "0 0 * * *", "15 1,2,3 * * *")
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Africa/Cairo", "UTC")


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_forwards_and_backwards_the_ticks_are_the_same(expression: str, zone: str) -> None:
    times, chosen = times_of(expression, zone), random.Random(7)
    moment, found = ms(datetime(2011, 10, 1, tzinfo=UTC)), []
    for _ in range(500):
        moment = times.next_after(moment)
        found.append(moment)
    for first, second in zip(found, islice(found, 1, None), strict=False):
        between = chosen.randrange(first, second)
        assert (times.last_until(between), times.next_after(between)) == (first, second)
        assert times.last_until(first) == first
    assert times.count(found[0], found[40]) == 40
    assert times.count(found[0], found[1] - 1) == 0


def test_a_tick_is_the_same_for_all_who_look() -> None:
    times = Interval(300_000)
    assert times.next_after(ms(datetime(2026, 1, 1, 0, 0, 1, tzinfo=UTC))) == ms(
        datetime(2026, 1, 1, 0, 5, tzinfo=UTC)
    )
    assert times.last_until(900_000) == 900_000
    assert (times.count(900_000, 1_500_000), times.count(0, 10**12)) == (2, MOST_COUNTED)


@pytest.mark.parametrize(
    ("when", "zone", "words"),
    [
        ("0 4 * * *", "Europe/Berlin", "At 04:00 every day, Europe/Berlin"),
        ("@daily", "UTC", "At 00:00 every day, UTC"),
        ("@HOURLY", "UTC", "At the start of every hour, UTC"),
        ("0  9 * *  mon#1", "UTC", "At 09:00 on the first Monday of the month, UTC"),
        ("0 0 L * *", "UTC", "At 00:00 on the last day of every month, UTC"),
        ("5m", "UTC", "Every 5 minutes"),
        ("1 h", "UTC", "Every hour"),
        (timedelta(days=2), "UTC", "Every 2 days"),
        (timedelta(seconds=1.5), "UTC", "Every 1.5 seconds"),
    ],
)
def test_times_are_said_in_words_and_come_back_from_the_wire(
    when: str | timedelta, zone: str, words: str
) -> None:
    times = times_of(when, zone)
    assert times.words == words
    assert times_from(times.wire()) == times


@pytest.mark.parametrize(
    ("when", "zone", "said"),
    [
        ("61 * * * *", "UTC", r"no cron expression \(bad minute\); write a cron expression of five fields"),
        ("0 4 * *", "UTC", "neither five fields nor a unit"),
        ("* * * * * *", "UTC", "neither five fields nor a unit"),
        ("5", "UTC", "neither five fields nor a unit"),
        ("5x", "UTC", "no time to run at; write"),
        ("@dayly", "UTC", "no time to run at; write"),
        ("0 0 30 2 *", "UTC", "bad day-of-month"),
        ("0.5s", "UTC", "from a second to 366 days"),
        (timedelta(0), "UTC", "from a second to 366 days"),
        ("5m", "Europe/Berlin", "an interval, which no time zone changes; leave out tz"),
        ("0 4 * * *", "Europe/Berln", "no time zone; did you mean 'Europe/Berlin'"),
        ("0 4 * * *", "../etc/passwd", "no time zone; write one as"),
        ("0 4 * * *", "", "no time zone"),
    ],
)
def test_what_never_runs_is_refused_and_what_to_write_is_said(
    when: str | timedelta, zone: str, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        times_of(when, zone)


@pytest.mark.parametrize(("when", "zone"), [(300, "UTC"), (None, "UTC"), ("0 4 * * *", None)])
def test_another_type_is_refused(when: Any, zone: Any) -> None:
    with pytest.raises(TypeError, match=r"no time to run at|the name of a time zone"):
        times_of(when, zone)


@pytest.mark.parametrize("wire", [{"every": 5}, {"cron": "0 4 * * *"}, {"moon": "full"}, None, []])
def test_times_of_a_later_version_are_refused(wire: Any) -> None:
    with pytest.raises(ValueError, match="this version cannot read"):
        times_from(wire)


def test_a_cron_expression_is_a_value() -> None:
    assert times_of("0 4 * * *", "UTC") == Cron("0 4 * * *", "UTC")


def test_the_last_ticks_are_counted_back_to_a_moment() -> None:
    times, now = times_of("0 4 * * *", "UTC"), ms(datetime(2026, 11, 30, 4, tzinfo=UTC))
    assert ticks_before(times, now, 3, 0) == [now, now - 86_400_000, now - 2 * 86_400_000]
    assert ticks_before(times, now, 3, now - 86_400_000) == [now, now - 86_400_000]
    assert ticks_before(times_of("0 0 29 2 *", "UTC"), now, 3, now - 1) == []


@pytest.mark.parametrize("given", ["90s", "5m", "36h", "2d", "1.5s"])
def test_an_interval_is_told_as_it_could_be_given(given: str) -> None:
    times = times_of(given, "UTC")
    assert times_of(times.text, "UTC") == times
