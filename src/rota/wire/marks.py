"""Marks: how exceptions are written as JSON, and kept apart from users' dictionaries of the same shape.

An exception becomes `{"__error__": {"type", "cause", "message", "traceback"}}`, a cancellation
`{"__cancelled__": reason}`. A user's dictionary that looks like one of these marks is wrapped: `{"__escaped__": …}`.
"""

import secrets
from asyncio import CancelledError
from typing import Any

from pydantic_core import from_json, to_json

from rota.errors import Cancel, JobError, UnreadablePayload
from rota.errors.causes import cause_of
from rota.errors.traces import message_of, written

ERROR = "__error__"
CANCELLED = "__cancelled__"
ESCAPED = "__escaped__"

_MARKS = frozenset({ERROR, CANCELLED, ESCAPED})

#: Every text with a mark contains this, and almost no other text does: only such a text is walked through.
HINT = b'"__'

# While a value is written, our marks have a random name, which no user's dictionary can have.
_SECRET = secrets.token_hex(12)
_SECRET_ERROR = f"error-{_SECRET}"
_SECRET_CANCELLED = f"cancelled-{_SECRET}"
_SECRET_BYTES = _SECRET.encode()

_MESSAGE_LIMIT = 2_000
#: The most characters of a traceback that are stored.
TRACEBACK_LIMIT = 8_000


def dumps(value: Any) -> bytes:
    """Return `value` as JSON, its exceptions as marks. Raises TypeError for what JSON cannot carry.

    Tuples and sets become lists; dates, UUIDs and decimals text; bytes base64; NaN and infinity their names.
    """
    try:
        raw = to_json(value, bytes_mode="base64", inf_nan_mode="strings", fallback=_mark)
        raw = escaped(raw)
    except ValueError as error:
        raise TypeError(f"not a value that JSON can carry: {error}") from error
    return _revealed(raw) if _SECRET_BYTES in raw else raw


def _revealed(raw: bytes) -> bytes:
    raw = raw.replace(_SECRET_ERROR.encode(), ERROR.encode())
    return raw.replace(_SECRET_CANCELLED.encode(), CANCELLED.encode())


def loads(raw: bytes) -> Any:
    """Return the JSON value of `raw`, with its marks as they are. Raises UnreadablePayload for anything else."""
    try:
        return from_json(raw, allow_inf_nan=False)
    except (ValueError, TypeError) as error:
        kind = "a pickle" if raw[:1] == b"\x80" else "not JSON"
        raise UnreadablePayload(
            f"{len(raw)} bytes that are {kind}, where rota's serializer pair writes JSON ({error})"
        ) from None


def has_marks(raw: bytes) -> bool:
    """Tell whether `raw` may hold a mark. False is certain."""
    return HINT in raw


def escaped(raw: bytes) -> bytes:
    """Wrap what looks like a mark in the JSON of a user's value; return the same bytes if nothing does."""
    return to_json(_escape(from_json(raw))) if HINT in raw else raw


def _escape(value: Any) -> Any:
    if isinstance(value, list):
        return [_escape(item) for item in value]
    if not isinstance(value, dict):
        return value
    inner = {key: _escape(item) for key, item in value.items()}
    return {ESCAPED: inner} if _is_marked(inner) else inner


def unescape(value: Any, *, revive: bool) -> Any:
    """Unwrap users' dictionaries and, with `revive`, turn marks into exceptions."""
    if isinstance(value, list):
        return [unescape(item, revive=revive) for item in value]
    if not isinstance(value, dict):
        return value
    if not _is_marked(value):
        return {key: unescape(item, revive=revive) for key, item in value.items()}
    ((mark, inner),) = value.items()
    if mark == ESCAPED and isinstance(inner, dict):
        return {key: unescape(item, revive=revive) for key, item in inner.items()}
    return (exception_of(value) if revive else None) or value


def _is_marked(value: dict[str, Any]) -> bool:
    return len(value) == 1 and not _MARKS.isdisjoint(value)


def exception_of(value: Any) -> JobError | CancelledError | None:
    """Return the exception that a mark stands for, None for any other value."""
    if not isinstance(value, dict) or len(value) != 1:
        return None
    if isinstance(reason := value.get(CANCELLED), str):
        return CancelledError(reason)
    match value.get(ERROR):
        case {"type": str(kind), "message": str(message), **rest}:
            trace, cause = rest.get("traceback"), rest.get("cause")
            return JobError(
                kind,
                message,
                trace if isinstance(trace, str) else None,
                cause=cause if isinstance(cause, str) else "",
            )
    return None


def mark_of(
    error: BaseException, *, failure: bool = False, most_of_trace: int = TRACEBACK_LIMIT
) -> dict[str, Any]:
    """Return the value that `dumps` writes as the mark of `error`. With `failure` a cancellation is an error too.

    `most_of_trace` is how many characters of its traceback are kept.
    """
    if isinstance(error, CancelledError | Cancel) and not failure:
        return {_SECRET_CANCELLED: _text(error)}
    if isinstance(error, JobError):
        kind, message = _encodable(error.type), _encodable(_capped(error.message, _MESSAGE_LIMIT))
        trace = None if error.traceback is None else _encodable(error.traceback[:most_of_trace])
    else:
        kind, message, trace = _name(error), _text(error), _trace(error, most_of_trace)
    # What is long comes last: the cause is found in the beginning of an error, too.
    return {
        _SECRET_ERROR: {"type": kind, "cause": cause_of(error, kind), "message": message, "traceback": trace}
    }


def _mark(value: Any) -> dict[str, Any]:
    if isinstance(value, BaseException):
        return mark_of(value)
    raise TypeError(f"{type(value).__qualname__} has no form in JSON")


def _name(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _text(error: BaseException) -> str:
    try:
        text = message_of(error)
    except BaseException:  # the handler's own code, which may raise anything
        text = "(its message could not be made)"
    return _encodable(_capped(text, _MESSAGE_LIMIT))


def _trace(error: BaseException, most: int) -> str | None:
    # Each part is capped by itself, so that a message of a megabyte leaves room for the frames.
    text = written(error, most, _MESSAGE_LIMIT)
    return None if text is None else _encodable(text)


def _capped(text: str, limit: int, end: str = "") -> str:
    return text if len(text) <= limit else f"{text[: limit - 1 - len(end)]}…{end}"


def _encodable(text: str) -> str:
    # Half a surrogate pair, as in a file name of odd bytes, has no UTF-8.
    return text.encode("utf-8", "backslashreplace").decode()
