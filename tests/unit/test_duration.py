"""Times are written as people write them."""

import math

import pytest

from rota.duration import LONGEST, InvalidDuration, parse_duration


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("30", 30.0),
        ("0", 0.0),
        ("0.25", 0.25),
        (".5", 0.5),
        ("500ms", 0.5),
        ("30s", 30.0),
        ("5m", 300.0),
        ("2h", 7200.0),
        ("1.5h", 5400.0),
        ("30d", 2_592_000.0),
        (" 7 s ", 7.0),
        (12, 12.0),
        (1.5, 1.5),
    ],
)
def test_a_time_is_read_as_seconds(written: object, seconds: float) -> None:
    assert parse_duration(written) == seconds


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        " ",
        "abc",
        "-1",
        "+1",
        "1w",
        "1e3",
        "nan",
        "inf",
        "5 minutes",
        "1h30m",
        "٣s",
        "s",
        "1_000",
        True,
        None,
    ],
)
def test_anything_else_is_refused(wrong: object) -> None:
    with pytest.raises(InvalidDuration):
        parse_duration(wrong)


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -0.001, LONGEST + 1, "3651d", "9" * 400])
def test_a_time_is_between_nothing_and_ten_years(wrong: object) -> None:
    with pytest.raises(InvalidDuration):
        parse_duration(wrong)
