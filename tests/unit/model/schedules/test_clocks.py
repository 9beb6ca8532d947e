"""The changes of a zone's clock that ticks fall into."""

from datetime import UTC, datetime

import pytest

from rota.model.schedules.clocks import change_at
from rota.model.schedules.times import times_of

DAILY, HOURLY = "30 2 * * *", "30 * * * *"


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("expression", "zone", "after", "told"),
    [
        # 02:30 is skipped in Berlin, and the run comes at 03:00.
        (DAILY, "Europe/Berlin", "2027-03-27T12:00", ("02:00", "03:00", "runs as it ends")),
        (DAILY, "Europe/Berlin", "2026-10-24T12:00", ("03:00", "02:00", "the first one counts")),
        (HOURLY, "Europe/Berlin", "2026-10-25T00:00", ("03:00", "02:00", "has its runs twice")),
        (HOURLY, "Europe/Berlin", "2026-10-25T01:00", ("03:00", "02:00", "has its runs twice")),
        ("0 * * * *", "Europe/Berlin", "2027-03-28T00:30", ("02:00", "03:00", "has no runs")),
        ("45 1 * * *", "Australia/Lord_Howe", "2027-04-03T00:00", ("02:00", "01:30", "the first one counts")),
    ],
)
def test_a_tick_that_a_change_of_the_clock_moves_or_repeats_is_told(
    expression: str, zone: str, after: str, told: tuple[str, str, str]
) -> None:
    times = times_of(expression, zone)
    tick = datetime.fromtimestamp(times.next_after(round(utc(after).timestamp() * 1000)) / 1000, UTC)
    change = change_at(times, tick)
    assert change
    assert (change.before, change.after) == told[:2]
    assert told[2] in change.means


@pytest.mark.parametrize(
    ("expression", "zone", "tick"),
    [
        (DAILY, "Europe/Berlin", "2027-03-27T01:30"),
        # The change is in the same night, and the run is beside it.
        ("30 3 * * *", "Europe/Berlin", "2027-03-28T01:30"),
        ("30 1 * * *", "Europe/Berlin", "2026-10-24T23:30"),
        (HOURLY, "Europe/Berlin", "2026-10-25T02:30"),
        (DAILY, "UTC", "2027-03-28T02:30"),
    ],
)
def test_a_tick_beside_a_change_is_as_it_always_is(expression: str, zone: str, tick: str) -> None:
    assert change_at(times_of(expression, zone), utc(tick)) is None


def test_an_interval_follows_no_clock() -> None:
    assert change_at(times_of("30m", "UTC"), utc("2026-10-25T00:30")) is None
