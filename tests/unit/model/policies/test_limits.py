"""Limits as values: what may be written, and the figures that keep a window of time from holding too many."""

from typing import Any

import pytest

from rota.model.policies.limits import RateLimit, SlotLimit, at_most, per_hour, per_minute, per_second


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("10/1s", RateLimit(10, 1)),
        ("10/s", RateLimit(10, 1)),
        ("100/m", RateLimit(100, 60)),
        ("100 / 5m", RateLimit(100, 300)),
        ("5/500ms", RateLimit(5, 0.5)),
        ("7/1h,burst=3", RateLimit(7, 3600, 3)),
        ("7/1h, burst = 3", RateLimit(7, 3600, 3)),
    ],
)
def test_a_limit_is_read_as_people_write_it(text: str, limit: RateLimit) -> None:
    assert RateLimit.parse(text) == limit
    assert RateLimit.parse(str(limit)) == limit


@pytest.mark.parametrize(
    "text", ["", "10", "10/", "/s", "x/s", "10/1x", "0/s", "10/0s", "10/s,burst=0", "-1/s", 5, None]
)
def test_a_malformed_limit_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match=r"written as a rate|whole number|number of seconds"):
        RateLimit.parse(text)


def any_value(value: Any) -> Any:
    """Past the type checker, as a user without one."""
    return value


def test_the_short_ways_to_write_one() -> None:
    assert [per_second(3).per, per_minute(3).per, per_hour(3).per] == [1, 60, 3600]
    assert per_second(3, burst=2, key=("a", "b.c"), name="n") == RateLimit(3, 1, 2, ("a", "b.c"), "n")
    assert at_most(2, key="a") == SlotLimit(2, "a")


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: per_second(0), "a rate limit's number of jobs is 0; it is a whole number from 1"),
        (lambda: per_second(any_value(1.5)), "is 1.5"),
        (lambda: per_second(True), "is True"),
        (lambda: per_second(1, burst=0), "burst is 0"),
        (lambda: RateLimit(1, 0), "time is 0"),
        (lambda: RateLimit(1, 100_000), "at most a day"),
        (lambda: at_most(0), "number of jobs is 0"),
        (lambda: per_second(1, key=""), "names no argument"),
        (lambda: per_second(1, key="a b"), "names no argument"),
        (lambda: per_second(1, key=()), "a key is"),
        (lambda: per_second(1, key=any_value(5)), "a key is 5"),
        (lambda: per_second(1, name="Big"), "limit name 'Big' is not allowed"),
    ],
)
def test_a_limit_that_cannot_be_is_refused_by_name(make: object, named: str) -> None:
    with pytest.raises((ValueError, TypeError), match=named):
        make()  # type: ignore[operator]


@pytest.mark.parametrize(
    "limit", [per_second(1), per_second(50), per_second(3), per_minute(7), per_second(1_000_000)]
)
def test_no_window_holds_more_than_the_limit_and_the_pace_is_near_it(limit: RateLimit) -> None:
    """Return when GCRA allows one start more than `most`: after `most` intervals, minus the tolerance."""
    window = limit.most * limit.interval_us - limit.tolerance_us
    assert window >= limit.per * 1_000_000 - 1
    assert limit.most * limit.interval_us <= limit.per * 1_000_000 * 1.02 + limit.most


def test_a_burst_comes_on_top() -> None:
    plain, bursting = per_second(10), per_second(10, burst=5)
    assert bursting.tolerance_us - plain.tolerance_us == 4 * plain.interval_us
