"""Amounts of memory are written as people write them."""

import math

import pytest

from rota.size import LARGEST, InvalidSize, format_size, parse_size


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
def test_anything_else_is_refused(wrong: object) -> None:
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
