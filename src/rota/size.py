"""Reads an amount of memory the way people write it: `512MB`, `1GB`, `1.5 GB`, `1048576`; a KB is 1024 bytes."""

import math
import re

LARGEST = 2**50

_BYTES = {"": 1, "b": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_WRITTEN = re.compile(
    r"(?P<number>\d+(?:\.\d+)?|\.\d+) ?(?:(?P<unit>[kmgt])(?:i?b)?|b)?", re.ASCII | re.IGNORECASE
)


class InvalidSize(ValueError):
    """Raised for what is no amount of memory, or more than a machine has."""


def parse_size(value: object) -> int:
    """Bytes of `value`, a number of bytes or text with a unit; else raises InvalidSize."""
    if isinstance(value, str) and (written := _WRITTEN.fullmatch(value.strip())):
        size = float(written["number"]) * _BYTES[(written["unit"] or "").lower()]
    elif isinstance(value, int | float) and not isinstance(value, bool):
        size = float(value)
    else:
        raise InvalidSize("it is not an amount of memory")
    if not (math.isfinite(size) and 0 <= size <= LARGEST):
        raise InvalidSize("it is not between 0 and 1024 TB")
    return round(size)


def format_size(size: int) -> str:
    """`size` bytes for people: `512 MB`, `1.5 GB`."""
    for unit, factor in (("GB", 2**30), ("MB", 2**20), ("KB", 2**10)):
        if size >= factor:
            return f"{size / factor:.4g} {unit}"
    return f"{size} B"
