"""Headers: short texts that travel with a job, and on from it with every job that it enqueues.

`with rota.headers(tenant="acme"):` gives them to all that is enqueued inside. What a tracer says of a trace travels
the same way, under names of its own.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType

from rota.model.trace import TRACE_HEADERS

#: The headers of one job, names and values, in bytes; those of tracers do not count.
MOST = 4096

_NAME = re.compile(r"[a-z][a-z0-9_.-]{0,63}", re.ASCII)
_CARRIED: ContextVar[Mapping[str, str]] = ContextVar("carried", default=MappingProxyType({}))


@contextmanager
def headers(given: Mapping[str, str] | None = None, /, **named: str) -> Iterator[None]:
    """Every job that is enqueued inside gets these headers, besides those of a block or a job around it.

    A handler finds them in `run.headers`; what it enqueues has them too. Names that are no Python names go into a
    dictionary: `rota.headers({"x-request-id": "7"})`. Raises ValueError for a name or a value that cannot travel, and
    for more than 4096 bytes of them; TypeError for what is no text.
    """
    own = {**(given or {}), **named}
    for name, value in own.items():
        _check(name, value)
    together = {**_CARRIED.get(), **own}
    if (size := _size_of(together)) > MOST:
        raise ValueError(f"the headers of a job would have {size} bytes; {MOST} may travel with it")
    token = _CARRIED.set(together)
    try:
        yield
    finally:
        _CARRIED.reset(token)


def carried() -> Mapping[str, str]:
    """What travels with a job that is enqueued here."""
    return _CARRIED.get()


@contextmanager
def carrying(came_with: Mapping[str, str]) -> Iterator[None]:
    """For a job's attempt: what it came with travels on, and nothing else does."""
    token = _CARRIED.set(_fit(came_with))
    try:
        yield
    finally:
        _CARRIED.reset(token)


def _fit(came_with: Mapping[str, str]) -> Mapping[str, str]:
    """Whoever wrote a payload wrote its headers: what could not be given here does not travel on."""
    fit = {name: value for name in TRACE_HEADERS if (value := came_with.get(name)) is not None}
    room = MOST
    for name, value in came_with.items():
        if name not in TRACE_HEADERS and _fault(name, value) is None:
            room -= _size_of({name: value})
            if room >= 0:
                fit[name] = value
    return fit


def _size_of(given: Mapping[str, str]) -> int:
    own = (name + value for name, value in given.items() if name not in TRACE_HEADERS)
    return sum(len(text.encode()) for text in own)


def _check(name: str, value: str) -> None:
    if not isinstance(name, str) or not isinstance(value, str):
        raise TypeError(f"the header {name!r} is {type(value).__name__}; a header is a text by its name")
    if fault := _fault(name, value):
        raise ValueError(fault)


def _fault(name: str, value: str) -> str | None:
    if name in TRACE_HEADERS:
        return f"the header {name!r} belongs to the tracers, which write it"
    if not _NAME.fullmatch(name):
        shown = ascii(name[:64])
        return f"{shown} is no header's name; it has up to 64 of a-z, 0-9, '-', '_' and '.', and begins with a letter"
    if not value or not value.isprintable():
        what = "has a character that does not print" if value else "is empty"
        return f"the header {name!r} {what}; its value is a text of one line"
    return None
