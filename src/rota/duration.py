"""Reads a length of time the way people write it: `30`, `30s`, `5m`, `2h`, `30d`, `500ms`."""

import math
import re

LONGEST = 10 * 365 * 86_400.0

_SECONDS = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_WRITTEN = re.compile(r"(?P<number>\d+(?:\.\d+)?|\.\d+) ?(?P<unit>ms|s|m|h|d|)", re.ASCII)


class InvalidDuration(ValueError):
    """Raised for what is no length of time between nothing and ten years."""


def parse_duration(value: object) -> float:
    """Seconds of `value`, a number of seconds or text with a unit; else raises InvalidDuration."""
    if isinstance(value, str) and (written := _WRITTEN.fullmatch(value.strip())):
        seconds = float(written["number"]) * _SECONDS[written["unit"]]
    elif isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
    else:
        raise InvalidDuration("it is not a length of time")
    if not (math.isfinite(seconds) and 0 <= seconds <= LONGEST):
        raise InvalidDuration("it is not between 0 and 10 years")
    return seconds
