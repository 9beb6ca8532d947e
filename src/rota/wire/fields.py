"""Reads the fields of a JSON object that others may have written: each has its type, and numbers their bounds.

`members` are fields as they stand there: a float is not always what its text says.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic_core import to_json

from rota.errors import UnreadablePayload
from rota.wire import marks

#: The latest time, in milliseconds: the end of the year 9999, where datetime ends.
LAST_MS = 253_402_300_799_999
#: The most tries that a job may have had.
MOST_TRIES = 2**31 - 1

# Numbers stay text: one of five thousand digits is none that Python would read.
_skip = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str, strict=False).raw_decode
_space = re.compile(r"[ \t\n\r]*").match

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


def members(raw: bytes) -> dict[str, str]:
    """Return the members of a JSON object, the value of each as its text stands there; {} for what is none."""
    text = raw.decode("utf-8", "replace")
    found: dict[str, str] = {}
    try:
        at = _after_space(text, 0)
        if text[at : at + 1] != "{":
            return {}
        at = _after_space(text, at + 1)
        while text[at] != "}":
            if text[at] != '"':
                return {}
            name, at = _skip(text, at)
            start = _after_space(text, _after_space(text, at) + 1)
            _, end = _skip(text, start)
            found[name] = text[start:end]
            at = _after_space(text, end)
            if text[at] == ",":
                at = _after_space(text, at + 1)
    except (ValueError, IndexError, RecursionError):
        return {}
    return found


def shown(text: str | None) -> str | None:
    """Return the text of a value without the wrapping of what looks like a mark; None for no text, and for null.

    Text other than JSON, as another program may have written it, is returned as it is.
    """
    if text is None or text == "null":
        return None
    raw = text.encode("utf-8", "replace")
    if not marks.has_marks(raw):
        return text
    try:
        return to_json(marks.unescape(marks.loads(raw), revive=False)).decode()
    except UnreadablePayload:
        return text


def _after_space(text: str, at: int) -> int:
    found = _space(text, at)
    return at if found is None else found.end()
