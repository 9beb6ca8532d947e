"""Turns pydantic's errors into one line for each variable, which says what the variable may be.

No value of a REDIS_ or DATABASE_ variable is ever quoted: people paste a URL with its password into any of them.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from rota.model.policies.limits import InvalidRate
from rota.settings.queues import QUEUES, QueueOptions
from rota.settings.types import allowed
from rota.units import InvalidDuration, InvalidSize

_LONGEST_QUOTE = 40


def problems_of(error: ValidationError, model: type[BaseModel], values: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each variable whose value pydantic found wrong in `values` for `model`."""
    # A setting that may be of two kinds has an error for each of them.
    yield from dict.fromkeys(_lines(error, model, values))


def _lines(error: ValidationError, model: type[BaseModel], values: Mapping[str, Any]) -> Iterator[str]:
    for one in error.errors(include_url=False, include_input=False):
        if one["type"] == "default_factory_not_called":
            continue  # a default that depends on a wrong setting is not wrong itself
        place = _setting([str(part) for part in one["loc"]])
        own = one.get("ctx", {}).get("error")
        if not place:
            yield from str(own or one["msg"]).splitlines()
        elif own is not None and not isinstance(own, InvalidDuration | InvalidSize | InvalidRate):
            yield f"{variable_of(place)}: {own}"
        elif (field := _field(model, place)) is None:
            yield f"{variable_of(place)} is not a setting"
        else:
            yield f"{variable_of(place)} is {_quoted(place, values)}; it must be {allowed(field)}"


def variable_of(place: list[str]) -> str:
    """Return the name of the variable that sets the field at `place`."""
    if place[0] == "queues" and len(place) > 1:
        return QUEUES + "__".join(place[1:]).upper()
    return place[0].upper()


def _setting(place: list[str]) -> list[str]:
    """Return the part of a place that names the setting: behind it, pydantic names the kind that it tried."""
    return place[:3] if place[:1] == ["queues"] else place[:1]


def _field(model: type[BaseModel], place: list[str]) -> FieldInfo | None:
    if place[0] == "queues":
        return QueueOptions.model_fields.get(place[-1])
    return model.model_fields.get(place[0])


def _quoted(place: list[str], values: Mapping[str, Any]) -> str:
    if place[0].startswith(("redis_", "database_")):
        return "wrong"
    value: Any = values
    for part in place:
        value = value.get(part) if isinstance(value, Mapping) else None
    text = ascii(value)
    return text if len(text) <= _LONGEST_QUOTE else f"{text[:_LONGEST_QUOTE]}…"
