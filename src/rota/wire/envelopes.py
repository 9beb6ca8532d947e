"""The wire: jobs and results as JSON that stock arq readers, `redis-cli` and Lua all understand.

A stock arq client or worker takes the pair `job_serializer` and `job_deserializer`. Our own side writes the
same keys by concatenation behind a fixed head, so that a script knows our jobs and names without parsing.
"""

from asyncio import CancelledError
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from pydantic_core import to_json

from rota.errors import JobError, UnreadablePayload
from rota.names import check_name, printable
from rota.wire import marks

#: How every job that we write begins; its name follows, up to the next quotation mark.
HEAD = b'{"v":1,"f":"'

#: In an envelope's options: the job's input lies in the flow that its id names.
FROM_FLOW = "flow"
#: In an envelope's options: a batch calls this job back, which is told of the batch.
OF_BATCH = "batch"
FETCHED = frozenset({FROM_FLOW, OF_BATCH})
#: The names of rota's own two jobs, which expand lists and stop what is left of flows; no user's name begins so.
FAN_OUT, SWEEP = "_each", "_sweep"

# What stands between the name and the arguments of a job of ours, and how long its time may be.
_PLAIN = b'","t":null,"a":[],"k":'
_MOST_DIGITS = 15

T = TypeVar("T")

_LAST_MS = 253_402_300_799_999  # the end of the year 9999, where datetime ends
_MOST_TRIES = 2**31 - 1


class Envelope(NamedTuple):
    """A job as it lies in Redis; `ours` when our client wrote it, else a stock one.

    `options` and `headers` are empty for a stock job. `enqueued_ms` is the enqueuer's clock, in milliseconds.
    `raw_kwargs` are the arguments as they lie, unread, in place of `args` and `kwargs`: what `open_job` gives.
    """

    name: str
    args: list[Any]
    kwargs: dict[str, Any]
    enqueued_ms: int
    tries: int | None
    options: dict[str, Any]
    headers: dict[str, str]
    ours: bool
    raw_kwargs: bytes | None = None


@dataclass(frozen=True, slots=True)
class ResultRecord:
    """A job's final record. `result` is its JSON value; `error` is set for a dead job, else `cancelled`,
    and then `reason` says why.

    Times are in milliseconds.
    """

    attempt: int
    name: str
    args: list[Any]
    kwargs: dict[str, Any]
    enqueued_ms: int
    success: bool
    result: Any
    started_ms: int
    finished_ms: int
    queue: str
    id: str
    error: JobError | None = None
    cancelled: bool = False
    reason: str = ""


def job_serializer(data: dict[str, Any]) -> bytes:
    """JSON of arq's dictionary of a job or a result: pass it as arq's `job_serializer`.

    Raises TypeError for what JSON cannot carry; arq then writes its own note.
    """
    result = data.get("r")
    if isinstance(result, BaseException):
        # Not left to the writer: an exception may be a dataclass or a string besides.
        data = {**data, "r": marks.mark_of(result)}
    return marks.dumps(data)


def job_deserializer(raw: bytes) -> dict[str, Any]:
    """arq's dictionary of a job or a result from JSON: pass it as arq's `job_deserializer`.

    Errors come as `JobError`, cancellations as CancelledError. Raises UnreadablePayload.
    """
    data = _loads_object(raw)
    revived: dict[str, Any] = marks.unescape(data, revive=True) if marks.has_marks(raw) else data
    return revived


def encode_job(
    name: str,
    arguments: bytes,
    *,
    enqueued_ms: int,
    options: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> bytes:
    """A job of ours; `arguments` is the JSON object that `PayloadType.bind` made.

    Raises ValueError for a name that jobs cannot have.
    """
    tail = b""
    if options:
        tail = b',"o":%b' % marks.dumps(dict(options))
    if headers:
        tail += b',"h":%b' % encode_headers(headers)
    name_bytes = check_name("job", name).encode()
    kwargs = marks.escaped(arguments)
    return b'%b%b","t":null,"a":[],"k":%b,"et":%d%b}' % (HEAD, name_bytes, kwargs, enqueued_ms, tail)


def with_headers(raw: bytes, headers: Mapping[str, str]) -> bytes:
    """A job that `encode_job` wrote without headers, with these."""
    return b'%b,"h":%b}' % (raw[:-1], encode_headers(headers)) if headers else raw


def encode_headers(headers: Mapping[str, str]) -> bytes:
    """Headers as they stand in a job's envelope."""
    return marks.dumps(dict(headers))


def decode_headers(raw: bytes) -> dict[str, str]:
    """What `encode_headers` wrote. Raises UnreadablePayload for all else."""
    return _headers(marks.unescape(marks.loads(raw), revive=False))


def decode_job(raw: bytes) -> Envelope:
    """A job of ours, or of a stock client with our serializer pair; raises UnreadablePayload for all else."""
    data = _loads_object(raw)
    if marks.has_marks(raw):
        data = marks.unescape(data, revive=False)
    name = _field(data, "f", str)
    return Envelope(
        name,
        _field(data, "a", list),
        _field(data, "k", dict),
        _number(data, "et", _LAST_MS),
        None if data.get("t") is None else _number(data, "t", _MOST_TRIES),
        _field(data, "o", dict) if "o" in data else {},
        _headers(data["h"]) if "h" in data else {},
        _is_ours(raw, data, name),
    )


def open_job(raw: bytes) -> Envelope:
    """As `decode_job`, but the arguments of a plain job of ours are left unread, for the handler's own form to read.

    Reading them twice, and writing them once more into the record, was a tenth of a busy worker's time.
    """
    name, head, rest = raw[len(HEAD) :].partition(_PLAIN)
    kwargs, et, tail = rest.rpartition(b',"et":')
    plain = head and et and raw.startswith(HEAD) and tail[:-1].isdigit() and tail.endswith(b"}")
    if not plain or marks.has_marks(raw) or not kwargs.startswith(b"{") or len(tail) > _MOST_DIGITS:
        return decode_job(raw)
    return Envelope(name.decode(), [], {}, int(tail[:-1]), None, {}, {}, True, kwargs)


def encode_result(
    *,
    attempt: int,
    name: str,
    arguments: Envelope | bytes,
    enqueued_ms: int,
    success: bool,
    result: bytes,
    started_ms: int,
    finished_ms: int,
    queue: str,
    id: str,  # noqa: A002 (the wire's word)
) -> bytes:
    """A job's final record, as arq keeps it.

    `result` is JSON: the handler's value, or what `encode_error` made. `arguments` is the job's envelope, or
    the JSON object of its named arguments. `queue` is the queue's key in full.
    """
    args, kwargs = _argument_bytes(arguments)
    return b'{"t":%d,"f":%b,"a":%b,"k":%b,"et":%d,"s":%b,"r":%b,"st":%d,"ft":%d,"q":%b,"id":%b}' % (
        attempt,
        to_json(name),
        args,
        kwargs,
        enqueued_ms,
        b"true" if success else b"false",
        marks.escaped(result) if success else result,
        started_ms,
        finished_ms,
        to_json(queue),
        to_json(printable(id)),
    )


def decode_result(raw: bytes) -> ResultRecord:
    """A final record of ours or of a stock worker with our serializer pair. Raises UnreadablePayload."""
    data = _loads_object(raw)
    success = _field(data, "s", bool)
    if "r" not in data:
        raise UnreadablePayload("the record has no field 'r'")
    failure = None if success else _failure(data["r"])
    if marks.has_marks(raw):
        data = marks.unescape(data, revive=False)
    return ResultRecord(
        attempt=_number(data, "t", _MOST_TRIES),
        name=_field(data, "f", str),
        args=_field(data, "a", list),
        kwargs=_field(data, "k", dict),
        enqueued_ms=_number(data, "et", _LAST_MS),
        success=success,
        result=data["r"] if success else None,
        started_ms=_number(data, "st", _LAST_MS),
        finished_ms=_number(data, "ft", _LAST_MS),
        queue=_field(data, "q", str) if "q" in data else "",
        id=_field(data, "id", str) if "id" in data else "",
        error=failure if isinstance(failure, JobError) else None,
        cancelled=isinstance(failure, CancelledError),
        reason=str(failure) if isinstance(failure, CancelledError) else "",
    )


def encode_error(error: BaseException, *, failure: bool = False) -> bytes:
    """The JSON of `error` for a final record: its type, its message (capped) and its last 20 frames.

    A cancellation, by asyncio or by `Cancel`, is written as such, unless it is a `failure`: nobody had asked for it.
    """
    return marks.dumps(marks.mark_of(error, failure=failure))


def error_of(raw: bytes) -> JobError:
    """The error that `encode_error` wrote; one that says so where it is something else."""
    try:
        error = marks.exception_of(marks.loads(raw))
    except UnreadablePayload:
        error = None
    if isinstance(error, JobError):
        return error
    return JobError("CancelledError" if error else "unknown", str(error or ""))


def preview(raw: bytes, limit: int = 64) -> str:
    """The first `limit` bytes in hexadecimal, for a page or a log that shows an unreadable payload."""
    return raw[:limit].hex() + ("…" if len(raw) > limit else "")


def _argument_bytes(arguments: Envelope | bytes) -> tuple[bytes, bytes]:
    if isinstance(arguments, bytes):
        return b"[]", marks.escaped(arguments)
    if arguments.raw_kwargs is not None:
        return b"[]", arguments.raw_kwargs
    return marks.dumps(arguments.args) if arguments.args else b"[]", marks.dumps(arguments.kwargs)


def _loads_object(raw: bytes) -> dict[str, Any]:
    data = marks.loads(raw)
    if not isinstance(data, dict):
        raise UnreadablePayload(f"a JSON {type(data).__name__} where a job or a result is an object")
    return data


def _is_ours(raw: bytes, data: Mapping[str, Any], name: str) -> bool:
    if "v" not in data:
        return False
    # The whole head, so that a script that peeks at the name sees the name we run.
    if raw.startswith(b'%b%b","t":' % (HEAD, name.encode())):
        return True
    raise UnreadablePayload("a job of a format that this version does not know; it reads format 1")


def _failure(value: Any) -> JobError | CancelledError:
    # A stock worker leaves a sentence where its serializer failed.
    note = value if isinstance(value, str) else "the worker wrote no error that can be read"
    return marks.exception_of(value) or JobError("SerializationError", note)


def _field(data: Mapping[str, Any], key: str, kind: type[T]) -> T:
    value = data.get(key)
    if not isinstance(value, kind):
        raise UnreadablePayload(f"field {key!r} is {type(value).__name__} and must be {kind.__name__}")
    return value


def _number(data: Mapping[str, Any], key: str, most: int) -> int:
    value = data.get(key)
    if type(value) is not int or not 0 <= value <= most:
        raise UnreadablePayload(f"field {key!r} must be a whole number from 0 to {most}")
    return value


def _headers(value: Any) -> dict[str, str]:
    if isinstance(value, dict) and all(isinstance(text, str) for text in value.values()):
        return value
    raise UnreadablePayload("field 'h' must be an object of texts")
