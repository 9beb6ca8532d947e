"""Reads the fields of a JSON object that others may have written: each has its type, and numbers their bounds."""

from collections.abc import Mapping
from typing import Any, TypeVar

from rota.errors import UnreadablePayload
from rota.wire import marks

#: The latest time, in milliseconds: the end of the year 9999, where datetime ends.
LAST_MS = 253_402_300_799_999
#: The most tries that a job may have had.
MOST_TRIES = 2**31 - 1

T = TypeVar("T")


def loads_object(raw: bytes) -> dict[str, Any]:
    data = marks.loads(raw)
    if not isinstance(data, dict):
        raise UnreadablePayload(f"a JSON {type(data).__name__} where a job or a result is an object")
    return data


def field(data: Mapping[str, Any], key: str, kind: type[T]) -> T:
    value = data.get(key)
    if not isinstance(value, kind):
        raise UnreadablePayload(f"field {key!r} is {type(value).__name__} and must be {kind.__name__}")
    return value


def number(data: Mapping[str, Any], key: str, most: int) -> int:
    value = data.get(key)
    if type(value) is not int or not 0 <= value <= most:
        raise UnreadablePayload(f"field {key!r} must be a whole number from 0 to {most}")
    return value
