"""Whether a value comes back from JSON as it was sent: of the same type, with the same value."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from pydantic import BaseModel

#: Where in a value something is: names of fields, and numbers of items.
Location = tuple[int | str, ...]

_ALIKE = "because the annotation does not tell them apart"
_OTHER_VALUE = "would arrive with another value"
_GONE = object()

#: Simple values, of which a subclass without fields of its own (a date of another library) is as good as the type.
_SIMPLE = (str, int, float, bytes, datetime, date, time, timedelta, UUID, Decimal)
_EXACT = frozenset({str, int, bool, float, type(None), date, timedelta, UUID})
_JSON = (str, int, float, bool, type(None), list, dict)
_ITEMS = (list, tuple, deque)


def change(
    given: Any, arrived: Any, *, sequences: bool = False, as_json: bool = False
) -> tuple[Location, str] | None:
    """Return where a value changes on its way and how, without the value; None if it arrives as it was given.

    With `sequences` any sequence may arrive as a list; with `as_json` everything may arrive as a plain JSON value.
    """
    if _is_surely_same(given, arrived):
        return None
    return next(_Comparison(sequences, as_json).changes(given, arrived, ()), None)


class _Comparison:
    __slots__ = ("_as_json", "_sequences")

    def __init__(self, sequences: bool, as_json: bool) -> None:
        self._sequences = sequences
        self._as_json = as_json

    def changes(self, given: Any, arrived: Any, at: Location) -> Iterator[tuple[Location, str]]:
        kind, into = type(given), type(arrived)
        if kind is not into and not self._is_allowed(given, arrived):
            yield at, f"{kind.__name__} would arrive as {into.__name__}, {_ALIKE}"
        elif kind is not into and self._as_json and into in _JSON:
            return
        elif isinstance(arrived, _ITEMS):
            yield from self._of_items(given, arrived, at)
        elif isinstance(arrived, Mapping):
            yield from self._of_mapping(given, arrived, at)
        elif isinstance(arrived, set | frozenset):
            yield from self._of_set(given, arrived, at)
        elif isinstance(arrived, BaseModel) or is_dataclass(arrived):
            yield from self._of_fields(given, arrived, at)
        elif not _equal(given, arrived):
            yield at, _OTHER_VALUE

    def _is_allowed(self, given: Any, arrived: Any) -> bool:
        into = type(arrived)
        if self._as_json and into in _JSON:
            return True
        if self._sequences and into is list:
            return True
        # An int is welcome where a float is declared, as type checkers say too.
        if type(given) is int and into is float:
            return True
        simple = into in _SIMPLE and isinstance(given, into)
        return simple and not isinstance(given, Enum | bool) and not getattr(given, "__dict__", None)

    def _of_items(self, given: Any, arrived: Any, at: Location) -> Iterator[tuple[Location, str]]:
        if len(given) != len(arrived):
            yield at, _OTHER_VALUE
            return
        for number, (one, other) in enumerate(zip(given, arrived, strict=True)):
            if not _is_plainly_same(one, other):
                yield from self.changes(one, other, (*at, number))

    def _of_mapping(self, given: Any, arrived: Any, at: Location) -> Iterator[tuple[Location, str]]:
        yield from self._of_set(given, arrived, at, what="a key of type ")
        for key, one in given.items():
            other = arrived.get(key, _GONE)
            if other is not _GONE and not _is_plainly_same(one, other):
                yield from self.changes(one, other, (*at, key if isinstance(key, str) else ""))

    def _of_set(
        self, given: Any, arrived: Iterable[Any], at: Location, *, what: str = ""
    ) -> Iterator[tuple[Location, str]]:
        there = {item: item for item in arrived}
        if len(there) != len(given):
            yield at, _OTHER_VALUE
            return
        missing = [item for item in given if item not in there]
        if missing:
            kind, into = type(missing[0]), type(next(iter(there.keys() - set(given))))
            yield (
                at,
                _OTHER_VALUE if kind is into else f"{what}{kind.__name__} would arrive as {into.__name__}",
            )
            return
        for item in given:
            for _, how in self.changes(item, there[item], at):
                yield at, what + how

    def _of_fields(self, given: Any, arrived: Any, at: Location) -> Iterator[tuple[Location, str]]:
        for name in _field_names(arrived):
            one, other = getattr(given, name, _GONE), getattr(arrived, name, _GONE)
            if one is _GONE or other is _GONE:
                yield (*at, name), _OTHER_VALUE
            elif not _is_plainly_same(one, other):
                yield from self.changes(one, other, (*at, name))
        if isinstance(arrived, BaseModel):
            yield from self.changes(given.model_extra, arrived.model_extra, at)


def _field_names(value: Any) -> Iterable[str]:
    if isinstance(value, BaseModel):
        return type(value).model_fields
    return [field.name for field in fields(value) if field.compare]


def _is_surely_same(given: Any, arrived: Any) -> bool:
    """Tell quickly, of what is usual, whether nothing changes; False where that takes a closer look."""
    kind = type(given)
    if kind is not type(arrived):
        return False
    if kind in _EXACT:
        return bool(given == arrived)
    if kind is dict:
        pairs = zip(given.items(), arrived.items(), strict=False)
        return len(given) == len(arrived) and all(
            type(key) is type(name) is str and key == name and _is_surely_same(one, other)
            for (key, one), (name, other) in pairs
        )
    if kind is list or kind is tuple:
        return len(given) == len(arrived) and all(map(_is_surely_same, given, arrived))
    if issubclass(kind, BaseModel):
        extra = _is_surely_same(given.__pydantic_extra__, arrived.__pydantic_extra__)
        return extra and _is_surely_same(given.__dict__, arrived.__dict__)
    return kind is datetime and bool(given == arrived) and bool(given.utcoffset() == arrived.utcoffset())


def _is_plainly_same(given: Any, arrived: Any) -> bool:
    """Tell whether two values are equal ones of a simple type: most are, and this is the quick way to see it."""
    kind = type(given)
    return kind is type(arrived) and (kind is str or kind is int or kind is bool) and bool(given == arrived)


def _equal(given: Any, arrived: Any) -> bool:
    if isinstance(given, datetime) and isinstance(arrived, datetime):
        # Not by ==, for which a time of the hour that a zone has twice equals no time of another zone.
        return _clock(given) == _clock(arrived)
    if getattr(type(given), "__eq__", None) is object.__eq__:
        return True
    try:
        return bool(given == arrived) or (given != given and arrived != arrived)  # noqa: PLR0124 (not a number)
    except Exception:
        return True


def _clock(when: datetime) -> tuple[datetime, timedelta | None]:
    return when.replace(tzinfo=None, fold=0), when.utcoffset()
