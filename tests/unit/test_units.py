"""Times and amounts of memory are read the way people write them."""

import math

import pytest

from rota.units import (
    LARGEST,
    LONGEST,
    InvalidDuration,
    InvalidSize,
    format_size,
    parse_duration,
    parse_size,
)


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
def test_anything_else_is_not_a_time(wrong: object) -> None:
    with pytest.raises(InvalidDuration):
        parse_duration(wrong)


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -0.001, LONGEST + 1, "3651d", "9" * 400])
def test_a_time_is_between_nothing_and_ten_years(wrong: object) -> None:
    with pytest.raises(InvalidDuration):
        parse_duration(wrong)


@pytest.mark.parametrize(
    ("written", "size"),
    [
        ("1048576", 2**20),
        ("512MB", 512 * 2**20),
        ("512M", 512 * 2**20),
        ("512 mb", 512 * 2**20),
        ("512MiB", 512 * 2**20),
        ("1GB", 2**30),
        ("1.5g", 3 * 2**29),
        (".5k", 512),
        ("1TB", 2**40),
        ("7b", 7),
        (" 64KB ", 2**16),
        (4096, 4096),
        (0, 0),
    ],
)
def test_an_amount_is_read_as_bytes(written: object, size: int) -> None:
    assert parse_size(written) == size


@pytest.mark.parametrize(
    "wrong",
    ["", " ", "MB", "-1", "+1", "1e9", "nan", "1XB", "5 0MB", "1GB1", "٣MB", "1_000", True, None, "1ib"],
)
def test_anything_else_is_not_an_amount(wrong: object) -> None:
    with pytest.raises(InvalidSize):
        parse_size(wrong)


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -1, LARGEST + 1, "1025TB", "9" * 400])
def test_an_amount_is_one_that_a_machine_could_have(wrong: object) -> None:
    with pytest.raises(InvalidSize):
        parse_size(wrong)


@pytest.mark.parametrize(
    ("size", "shown"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KB"), (512 * 2**20, "512 MB"), (3 * 2**29, "1.5 GB")],
)
def test_an_amount_is_shown_with_a_unit(size: int, shown: str) -> None:
    assert format_size(size) == shown
