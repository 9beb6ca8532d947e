"""Headers: short texts that travel with a job, and from the job to every job that it enqueues.

`with rota.headers(tenant="acme"):` adds them to every job that is enqueued inside the block. Tracers send the trace the
same way, in headers of their own names.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType

from rota.model.trace import TENANT, TRACE_HEADERS
from rota.names import check_tenant, is_tenant

#: The limit for the names and values of one job's headers, in bytes; the tracers' headers do not count.
MOST = 4096

_NAME = re.compile(r"[a-z][a-z0-9_.-]{0,63}", re.ASCII)
_CURRENT: ContextVar[Mapping[str, str]] = ContextVar("headers", default=MappingProxyType({}))


@contextmanager
def headers(given: Mapping[str, str] | None = None, /, **named: str) -> Iterator[None]:
    """Add these headers to every job that is enqueued inside, beside the headers of an enclosing block or job.

    A handler finds them in `run.headers`, and the jobs that it enqueues have them too. Names that are not Python names
    go into a dictionary: `rota.headers({"x-request-id": "7"})`. Raises ValueError for a name or a value that cannot
    travel, and for more than 4096 bytes of headers; TypeError for a value that is not text.
    """
    own = {**(given or {}), **named}
    for name, value in own.items():
        _check(name, value)
    together = {**_CURRENT.get(), **own}
    if (size := _size_of(together)) > MOST:
        raise ValueError(f"the headers of a job would have {size} bytes; {MOST} may travel with it")
    token = _CURRENT.set(together)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def current_headers() -> Mapping[str, str]:
    """Return the headers that a job enqueued here inherits."""
    return _CURRENT.get()


def has_headers() -> bool:
    """Tell whether a job enqueued here inherits any. Each enqueue asks."""
    return bool(_CURRENT.get())


def inherit(received: Mapping[str, str]) -> None:
    """Give the headers that a job came with, and no others, to all jobs that are enqueued in this context from now on.

    The context is that of an attempt's own task, and ends with it.
    """
    _CURRENT.set(_allowed(received))


@contextmanager
def inherited(received: Mapping[str, str]) -> Iterator[None]:
    """Give the headers that a job came with, and no others, to the jobs that its attempt enqueues."""
    token = _CURRENT.set(_allowed(received))
    try:
        yield
    finally:
        _CURRENT.reset(token)


def _allowed(received: Mapping[str, str]) -> Mapping[str, str]:
    """Drop the headers that `headers` would have refused: anyone can write a payload."""
    allowed = {name: value for name in TRACE_HEADERS if (value := received.get(name)) is not None}
    left = MOST
    for name, value in received.items():
        if name not in TRACE_HEADERS and _fault(name, value) is None:
            left -= _size_of({name: value})
            if left >= 0:
                allowed[name] = value
    return allowed


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
    if name == TENANT and not is_tenant(value):
        return f"the header 'tenant' names a tenant; {_why_not(value)}"
    return None


def _why_not(name: str) -> str:
    try:
        check_tenant(name)
    except ValueError as error:
        return str(error)
    return ""
