"""Conditions of a list that each job is looked at for: no index and no list of Redis knows them."""

import operator
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from rota.model.state import State
from rota.names import short_name

_SIGNS: Mapping[str, Callable[[Any, Any], bool]] = {
    ":": operator.eq,
    "=": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}


class Condition(NamedTuple):
    """A condition of one job.

    :param path: of the payload, the names and the places that lead to the value.
    :param value: a number, a text, or of a payload what JSON can be.
    :param text: how it was written.
    """

    field: str
    path: tuple[str, ...]
    sign: str
    value: Any
    text: str = ""

    def fits(self, job: Mapping[str, Any]) -> bool:
        """Tell whether a job, as answers show it, meets the condition."""
        return _FIELDS[self.field](self, job)


def took(job: Mapping[str, Any]) -> float | None:
    """Return how many seconds the last attempt of a job took, or has taken by now; None where that is not known."""
    if job["started_at"] is None:
        return None
    end = job["finished_at"] or (datetime.now(UTC) if job["state"] == State.ACTIVE.value else None)
    return None if end is None else max(0.0, (end - job["started_at"]).total_seconds())


def is_of(wanted: str, job: Mapping[str, Any]) -> bool:
    """Tell whether a job has a name that is given with its queue or without."""
    name = job["name"] or ""
    return wanted in (name, short_name(job["queue"], name))


def _payload(condition: Condition, job: Mapping[str, Any]) -> bool:
    value: Any = job.get("payload")
    for name in condition.path:
        if isinstance(value, Mapping):
            if name not in value:
                return False
            value = value[name]
        elif isinstance(value, list) and name.isascii() and name.isdecimal() and int(name) < len(value):
            value = value[int(name)]
        else:
            return False
    if condition.sign == ":":
        return _same(value, condition.value)
    return _compared(condition, value)


def _same(value: Any, text: str) -> bool:
    """Tell whether a value is meant by a text: `42` is the number and the text, `true` also the truth."""
    if isinstance(value, list):
        return any(_same(one, text) for one in value)
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value] == text
    return str(value) == text


def _compared(condition: Condition, value: Any) -> bool:
    if value is None:
        return False
    try:
        return _SIGNS[condition.sign](value, condition.value)
    except TypeError:
        return False


def _words(condition: Condition, job: Mapping[str, Any]) -> bool:
    texts = (job["id"], job["name"], job["reason"], _error(job))
    return any(condition.value.casefold() in (text or "").casefold() for text in texts)


def _error(job: Mapping[str, Any]) -> str:
    error = job["error"]
    return "" if error is None else f"{error['type']}: {error['message']}"


#: How a job is looked at for each field.
_FIELDS: Mapping[str, Callable[[Condition, Mapping[str, Any]], bool]] = {
    "words": _words,
    "payload": _payload,
    "error": lambda wanted, job: wanted.value.casefold() in _error(job).casefold(),
    "id": lambda wanted, job: wanted.value.casefold() in job["id"].casefold(),
    "reason": lambda wanted, job: job["reason"] == wanted.value,
    "worker": lambda wanted, job: wanted.value in (job["worker"] or ""),
    "attempt": lambda wanted, job: _compared(wanted, job["attempt"]),
    "took": lambda wanted, job: _compared(wanted, took(job)),
}
