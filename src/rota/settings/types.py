"""The types of settings: each kind of value with its bounds, and the words in which an error names them."""

import re
from types import UnionType
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

from annotated_types import Ge, Le
from pydantic import AfterValidator, BeforeValidator, Field
from pydantic.fields import FieldInfo

from rota.model.policies.limits import RateLimit
from rota.model.webhooks.destinations import Allowed
from rota.names import check_name
from rota.units import format_size, parse_duration, parse_size
from rota.wire.keys import check_queue

#: The values of MODE.
MODES: tuple[str, ...] = ("worker", "api", "all", "exporter", "autoscaler")


def _rate(value: object) -> object:
    return RateLimit.parse(value) if isinstance(value, str) else value


def _destinations(value: object) -> object:
    return Allowed.parse(value) if isinstance(value, str) else value


def _mode(value: str) -> str:
    if value not in MODES:
        raise ValueError(f"there is no mode {ascii(value)[:40]}; choose one of: {', '.join(MODES)}")
    return value


def _namespace(value: str) -> str:
    return check_name("namespace", value)


def _package(value: str) -> str:
    if not all(part.isidentifier() for part in value.split(".")):
        raise ValueError(f"{ascii(value)[:40]} is not the name of a Python package, such as jobs or app.jobs")
    return value


def _version(value: str) -> str:
    if not re.fullmatch(r"\S{1,100}", value):
        raise ValueError("it is at most 100 characters without spaces, such as 1.4.2 or a commit's hash")
    return value


def _listed(value: object) -> object:
    return tuple(name.strip() for name in value.split(",")) if isinstance(value, str) else value


def _port(value: object) -> object:
    return "off" if isinstance(value, str) and value.lower() == "off" else value


def _small(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


#: Seconds as a float; text may carry a unit.
Duration = Annotated[float, BeforeValidator(parse_duration)]
#: Bytes; text may carry a unit.
Size = Annotated[int, BeforeValidator(parse_size)]
#: Bytes of one value in Redis, which takes at most 512 MB.
ValueSize = Annotated[Size, Field(ge=1, le=512 * 1024 * 1024)]
PositiveDuration = Annotated[Duration, Field(ge=0.001)]
Concurrency = Annotated[int, Field(ge=1, le=10_000)]
Attempts = Annotated[int, Field(ge=1, le=10_000)]
Factor = Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)]
Weight = Annotated[float, Field(ge=0.01, le=10_000, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
#: A port to listen on; 0 is any free one, `off` none.
Port = Annotated[Annotated[int, Field(ge=0, le=65_535)] | Literal["off"], BeforeValidator(_port)]
Rate = Annotated[RateLimit, BeforeValidator(_rate)]
#: Networks and hosts that requests may go to beside public addresses.
Destinations = Annotated[Allowed, BeforeValidator(_destinations)]
Mode = Annotated[str, AfterValidator(_mode)]
Namespace = Annotated[str, AfterValidator(_namespace)]
Package = Annotated[str, AfterValidator(_package)]
Version = Annotated[str, AfterValidator(_version)]
QueueName = Annotated[str, AfterValidator(check_queue)]
QueueNames = Annotated[tuple[QueueName, ...], BeforeValidator(_listed)]
LogLevel = Annotated[Literal["debug", "info", "warning", "error", "critical"], BeforeValidator(_small)]

_NOUNS: dict[Any, str] = {int: "a whole number", float: "a number", bool: "true or false"}


def allowed(field: FieldInfo) -> str:
    """Return what the variable of `field` may be, to follow "must be": `a whole number from 1 to 10000`."""
    kind, metadata = _unwrapped(field.annotation, list(field.metadata))
    if get_origin(kind) is Literal:
        return f"one of: {', '.join(get_args(kind))}"
    if kind is RateLimit:
        return "a number of jobs and a time, as 10/1s, 100/m or 100/m,burst=20"
    bounds = _bounds(metadata)
    if any(getattr(item, "func", None) is parse_duration for item in metadata):
        return f"a time {bounds or 'of 0 or more'} seconds, written 0.5, 30, 500ms, 30s, 5m, 2h or 30d"
    if any(getattr(item, "func", None) is parse_size for item in metadata):
        most = next(
            (f", at most {format_size(cast(int, one.le))}" for one in _flat(metadata) if isinstance(one, Le)),
            "",
        )
        return f"an amount of memory{most}, written 512MB, 1.5GB or in bytes; a KB is 1024 bytes"
    return f"{_NOUNS.get(kind, 'text')} {bounds}".rstrip() + _words(field.annotation)


def unit_of(field: FieldInfo) -> Literal["seconds", "bytes", ""]:
    """Return the unit in which the value of `field` is kept; "" for neither a time nor an amount of memory."""
    _, metadata = _unwrapped(field.annotation, list(field.metadata))
    reads = {getattr(item, "func", None) for item in metadata}
    return "seconds" if parse_duration in reads else "bytes" if parse_size in reads else ""


def _words(annotation: Any) -> str:
    """Return the words that a setting takes in place of its value: `, or off`."""
    words = [word for one in get_args(annotation) if get_origin(one) is Literal for word in get_args(one)]
    return f", or {', '.join(words)}" if words else ""


def _unwrapped(kind: Any, metadata: list[Any]) -> tuple[Any, list[Any]]:
    origin = get_origin(kind)
    if origin is Annotated:
        inner, *more = get_args(kind)
        return _unwrapped(inner, [*metadata, *more])
    if origin in (Union, UnionType):
        return _unwrapped(next(one for one in get_args(kind) if one is not type(None)), metadata)
    return kind, metadata


def _bounds(metadata: list[Any]) -> str:
    low = next((item.ge for item in _flat(metadata) if isinstance(item, Ge)), None)
    high = next((item.le for item in _flat(metadata) if isinstance(item, Le)), None)
    if low is not None and high is not None:
        return f"from {low} to {high}"
    return "" if low is None else f"of {low} or more"


def _flat(metadata: list[Any]) -> list[Any]:
    return [one for item in metadata for one in (item.metadata if isinstance(item, FieldInfo) else [item])]
