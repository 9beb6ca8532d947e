"""Reads lengths of time and amounts of memory the way people write them: `30s`, `5m`, `500ms`; `512MB`, `1.5 GB`."""

import math
import re

#: The longest time that can be set, in seconds: ten years.
LONGEST = 10 * 365 * 86_400.0
#: The largest amount of memory that can be set, in bytes: 1024 TB.
LARGEST = 2**50

_SECONDS = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_DURATION = re.compile(r"(?P<number>\d+(?:\.\d+)?|\.\d+) ?(?P<unit>ms|s|m|h|d|)", re.ASCII)
# A KB is 1024 bytes, as in Redis and Docker.
_BYTES = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_SIZE = re.compile(
    r"(?P<number>\d+(?:\.\d+)?|\.\d+) ?(?:(?P<unit>[kmgt])(?:i?b)?|b)?", re.ASCII | re.IGNORECASE
)


class InvalidDuration(ValueError):
    """Raised for a value that is not a length of time from 0 to ten years."""


class InvalidSize(ValueError):
    """Raised for a value that is not an amount of memory from 0 to 1024 TB."""


def parse_duration(value: object) -> float:
    """Read seconds from a number of seconds or from text with a unit. Raises InvalidDuration."""
    if isinstance(value, str) and (written := _DURATION.fullmatch(value.strip())):
        seconds = float(written["number"]) * _SECONDS[written["unit"]]
    elif isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
    else:
        raise InvalidDuration("it is not a length of time")
    if not (math.isfinite(seconds) and 0 <= seconds <= LONGEST):
        raise InvalidDuration("it is not between 0 and 10 years")
    return seconds


def parse_size(value: object) -> int:
    """Read bytes from a number of bytes or from text with a unit. Raises InvalidSize."""
    if isinstance(value, str) and (written := _SIZE.fullmatch(value.strip())):
        size = float(written["number"]) * _BYTES[(written["unit"] or "").lower()]
    elif isinstance(value, int | float) and not isinstance(value, bool):
        size = float(value)
    else:
        raise InvalidSize("it is not an amount of memory")
    if not (math.isfinite(size) and 0 <= size <= LARGEST):
        raise InvalidSize("it is not between 0 and 1024 TB")
    return round(size)


def format_size(size: int) -> str:
    """Write a number of bytes for people: `512 MB`, `1.5 GB`."""
    for unit, factor in (("GB", 2**30), ("MB", 2**20), ("KB", 2**10)):
        if size >= factor:
            return f"{size / factor:.4g} {unit}"
    return f"{size} B"
