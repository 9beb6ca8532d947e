"""The text by which lists of jobs are asked for: `name:greet attempt>2 since:1h payload.user_id:42 "timed out"`.

Terms are apart by blanks, and a job has to fit all of them. A term is a field, a sign and a value, or words that are
looked for in the id, the name and the error.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from typing import Any

from pydantic_core import from_json

from rota.api.asking.conditions import Condition
from rota.units import InvalidDuration, parse_duration

#: Fields that a list has parameters of, by the names of those.
PARAMETERS = {
    **{name: name for name in ("queue", "state", "name", "tenant", "since", "until", "flow")},
    "cause": "error",
}
#: Fields of which a text is compared, those in which one is looked for, and those that are numbers or times.
_TEXTS, _PARTS, _NUMBERS = ("worker", "reason"), ("id", "error"), ("attempt", "took")
FIELDS = (*PARAMETERS, *_TEXTS, *_PARTS, *_NUMBERS, "payload")
#: The longest text, in characters, and the most terms.
LONGEST, MOST = 2000, 30

_VALUE = r'"(?:[^"\\]|\\.)*"|[^\s"]+'
_TERM = re.compile(
    r'(?:(?P<field>[A-Za-z_][\w-]*(?:[.\[][^\s:<>="]*)?)(?P<sign>>=|<=|[:<>=])'
    rf"(?P<value>{_VALUE}|)|(?P<words>{_VALUE}))(?=\s|$)"
)


class Mistake(ValueError):
    """Raised for a text that is not understood: why, and from where to where."""

    def __init__(self, why: str, text: str, start: int, end: int) -> None:
        super().__init__(why)
        self.why = why
        self.text = text
        self.start, self.end = start, min(end, len(text))

    def __str__(self) -> str:
        return f"{self.wrong!r}, at character {self.start + 1}: {self.why}"

    @property
    def before(self) -> str:
        return self.text[: self.start]

    @property
    def wrong(self) -> str:
        """The piece of the text that is not understood."""
        return self.text[self.start : self.end]

    @property
    def after(self) -> str:
        return self.text[self.end :]


@dataclass(frozen=True, slots=True)
class Term:
    """One term of a text; words have no field.

    :param start: where it begins in the text; `end`: behind its last character.
    """

    field: str
    sign: str
    value: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Asked:
    """The conditions of a text, as they were read.

    :param parameters: what a list has parameters of, by their names.
    :param conditions: what each job is looked at for.
    """

    parameters: Mapping[str, Any]
    conditions: tuple[Condition, ...]


def read(text: str, now: datetime | None = None) -> Asked:
    """Return what a text asks for; `since:1h` counts from `now`. Raises Mistake."""
    parameters: dict[str, Any] = {}
    conditions = []
    for term in terms(text):
        try:
            if term.field in PARAMETERS:
                name = PARAMETERS[term.field]
                if name in parameters:
                    raise ValueError(f"{term.field} is asked for twice")
                parameters[name] = _parameter(term, now or datetime.now(UTC))
            else:
                conditions.append(_condition(term)._replace(text=text[term.start : term.end]))
        except ValueError as error:
            raise Mistake(str(error), text, term.start, term.end) from None
    return Asked(parameters, tuple(conditions))


def terms(text: str) -> Iterator[Term]:
    """Yield the terms of a text. Raises Mistake where one cannot be told apart."""
    if len(text) > LONGEST:
        raise Mistake(f"has more than {LONGEST} characters", text, LONGEST, len(text))
    at, count = 0, 0
    while text[at:].strip():
        at += len(text[at:]) - len(text[at:].lstrip())
        found = _TERM.match(text, at)
        if found is None:
            end = _word_end(text, at)
            why = "the quote is not closed" if '"' in text[at:end] else "this is not understood"
            raise Mistake(why, text, at, len(text) if '"' in text[at:end] else end)
        count += 1
        if count > MOST:
            raise Mistake(f"has more than {MOST} terms", text, at, len(text))
        value = found["value"] if found["words"] is None else found["words"]
        yield Term(found["field"] or "", found["sign"] or "", _unquoted(value), at, found.end())
        at = found.end()


def written(field: str, value: str) -> str:
    """Return the term that asks for a value of a field, or without one for words."""
    if not re.fullmatch(r"[\w-]+", value):
        value = '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return f"{field}:{value}" if field else value


def _unquoted(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value


def _word_end(text: str, start: int) -> int:
    found = re.compile(r"\s|$").search(text, start)
    return len(text) if found is None else found.start()


def _parameter(term: Term, now: datetime) -> Any:
    if term.sign not in (":", "="):
        raise ValueError(f"{term.field} takes no {term.sign}; write {term.field}:…")
    if not term.value:
        raise ValueError(f"what {term.field} is asked for is missing")
    return _moment(term.value, now) if term.field in ("since", "until") else term.value


def _condition(term: Term) -> Condition:
    root, path = _path(term.field)
    if root not in ("", "payload", *_TEXTS, *_PARTS, *_NUMBERS) or (path and root != "payload"):
        raise ValueError(_unknown(term.field))
    if root and not term.value:
        raise ValueError(f"what {term.field} is asked for is missing")
    if root == "":
        return Condition("words", (), ":", term.value)
    if root in _NUMBERS:
        return Condition(root, (), term.sign, _number(root, term.value))
    if root == "payload" and not path:
        raise ValueError("say which part of the payload: payload.user_id:42")
    if root == "payload":
        return Condition(root, path, term.sign, term.value if term.sign == ":" else _json(term.value))
    if term.sign not in (":", "="):
        raise ValueError(f"{term.field} takes no {term.sign}; write {term.field}:…")
    return Condition(root, (), ":", term.value)


def _unknown(field: str) -> str:
    near = get_close_matches(field.partition(".")[0], FIELDS, 1)
    if near:
        return f"there is no field {field!r}; is {near[0]} meant?"
    return f"there is no field {field!r}; put words with signs into quotes. Fields are {', '.join(FIELDS)}"


def _path(field: str) -> tuple[str, tuple[str, ...]]:
    root, *path = [part for part in re.split(r"[.\[\]]+", field) if part] or [""]
    return root, tuple(path)


def _json(value: str) -> Any:
    try:
        return from_json(value)
    except ValueError:
        return value


def _number(field: str, value: str) -> float:
    if field == "took":
        return _seconds(value)
    if not (value.isascii() and value.isdecimal()):
        raise ValueError("attempt is compared with a whole number: attempt>2")
    return float(value)


def _seconds(value: str) -> float:
    try:
        return parse_duration(value)
    except InvalidDuration:
        raise ValueError(f"{value!r} is not a length of time, such as 500ms, 30s, 5m, 1h, 7d") from None


def _moment(value: str, now: datetime) -> datetime:
    """Return the moment that is meant: so long ago, or a date, with a time and a zone if they are given."""
    try:
        return now - timedelta(seconds=parse_duration(value))
    except InvalidDuration:
        pass
    try:
        at = datetime.fromisoformat(value)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(
            f"{value!r} is neither a length of time, such as 1h, nor a date, such as 2026-07-01"
        ) from None
