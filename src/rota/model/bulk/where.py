"""The conditions of a filter as they are written on a command line: `name=email:send error~"timed out" since=2h`.

Conditions have blanks between them. Each is a field, `=` or, for text within an error, `~`, and a value: a word, or a
text in quotation marks, in which a backslash stands before a quotation mark or a backslash.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from typing import Any, NamedTuple

from rota.errors import InvalidFilter, RotaError
from rota.model.bulk.filters import Filter
from rota.units import InvalidDuration, parse_duration

#: The fields that can be written; each goes with `=`, and `error` with `~` too.
FIELDS = ("queue", "state", "status", "name", "error", "reason", "flow", "tenant", "since", "until", "id")
_TIMES = ("since", "until")
_BLANK = re.compile(r"\s*")
_FIELD = re.compile(r"[A-Za-z_]+")
_VALUE = re.compile(
    r"""(?P<word>[^\s"'][^\s]*)|"(?P<double>(?:[^"\\]|\\.)*)"|'(?P<single>(?:[^'\\]|\\.)*)'"""
)


class InvalidWhere(RotaError):
    """Raised for conditions that cannot be read: what is wrong, and at which character, counted from one."""

    def __init__(self, place: int, why: str) -> None:
        self.place = place
        super().__init__(place, why)

    def __str__(self) -> str:
        return f"--where cannot be read at character {self.place}: {self.args[1]}"


class _Condition(NamedTuple):
    """One condition and the character at which it begins, counted from one."""

    place: int
    field: str
    sign: str
    value: str


def filter_of(text: str, now: datetime) -> Filter:
    """Return the filter that is written so; a time such as `2h` counts back from `now`. Raises InvalidWhere."""
    fields: dict[str, Any] = {}
    places: dict[str, int] = {}
    for one in _conditions(text):
        field = "error_contains" if one.sign == "~" else one.field
        if field in fields:
            raise InvalidWhere(
                one.place, f"{one.field}{one.sign} was said before; each condition is said once"
            )
        fields[field] = _time(one, now) if field in _TIMES else one.value
        places[field] = one.place
    if not fields:
        raise InvalidWhere(1, "it has no condition; write name=email:send, or state=dead")
    try:
        return Filter.of(fields)
    except InvalidFilter as error:
        name, why = next(iter(error.problems.items()))
        raise InvalidWhere(places.get(name, 1), f"{name}: {why}") from None


def _conditions(text: str) -> Iterator[_Condition]:
    at = _skip(text, 0)
    while at < len(text):
        begin = at
        field = _FIELD.match(text, at)
        if field is None:
            raise InvalidWhere(at + 1, f"a condition begins with one of: {', '.join(FIELDS)}")
        if field[0] not in FIELDS:
            raise InvalidWhere(at + 1, f"there is no field {field[0]!r}; {_advice(field[0])}")
        at = field.end()
        sign = text[at : at + 1]
        if sign != "=" and not (sign == "~" and field[0] == "error"):
            allowed = "= or ~" if field[0] == "error" else "="
            raise InvalidWhere(at + 1, f"{allowed} stands behind {field[0]}")
        value = _VALUE.match(text, at + 1)
        if value is None:
            is_open = text[at + 1 : at + 2] in ('"', "'")
            raise InvalidWhere(
                at + 2, "the quotation mark is not closed" if is_open else "a value is missing"
            )
        at = value.end()
        if at < len(text) and not text[at].isspace():
            raise InvalidWhere(at + 1, "a blank stands between two conditions")
        yield _Condition(begin + 1, field[0], sign, _unquoted(value))
        at = _skip(text, at)


def _skip(text: str, at: int) -> int:
    blank = _BLANK.match(text, at)
    return blank.end() if blank else at


def _unquoted(value: re.Match[str]) -> str:
    if value["word"] is not None:
        return value["word"]
    quoted = value["double"] if value["double"] is not None else value["single"]
    return re.sub(r"\\(.)", r"\1", quoted)


def _advice(field: str) -> str:
    close = get_close_matches(field.lower(), FIELDS, n=1)
    return f"did you mean {close[0]}?" if close else f"choose one of: {', '.join(FIELDS)}"


def _time(one: _Condition, now: datetime) -> str:
    try:
        return (now - timedelta(seconds=parse_duration(one.value))).isoformat()
    except InvalidDuration:
        pass
    try:
        at = datetime.fromisoformat(one.value)
    except ValueError:
        at = None
    if at is None or at.utcoffset() is None:
        why = f"{one.field} is a time back from now, as 2h, or one with its zone, as 2027-01-31T09:00:00Z"
        raise InvalidWhere(one.place, why)
    return at.astimezone(UTC).isoformat()
