"""Jobs and results as they lie in Redis: JSON that stock arq programs, `redis-cli` and Lua all understand.

A job of ours, at `arq:job:<id>`; the letters are arq's own:

    {"v":1,"f":"send","t":null,"a":[],"k":{"to":"ann"},"et":1700000000000,"o":{"timeout":9},"h":{"tenant":"acme"}}

    v   the format; stock jobs have none     a, k  positional and named arguments
    f   the job's name                       et    when it was enqueued, ms by the enqueuer's clock
    t   the try to start at, or null         o, h  options and headers of this enqueue, if it has some

A final record, at `arq:result:<id>`, has `f`, `a`, `k` and `et` too. `t` is the attempt, `s` says whether the job was
completed, `r` is its result or its error (see `rota.wire.marks`), `st` and `ft` are when the attempt started and ended,
`q` is the key of the queue and `id` the job's id.

A stock arq client or worker takes the pair `job_serializer` and `job_deserializer`. Our own side writes the same fields
by concatenation behind a fixed head, so that a script knows our jobs, and their names, without parsing JSON.
"""

import re
from asyncio import CancelledError
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from pydantic_core import from_json, to_json

from rota.errors import JobError, UnreadablePayload
from rota.names import check_name, printable
from rota.wire import marks

#: Every job that we write begins with this. The job's name follows, up to the next quotation mark.
HEAD = b'{"v":1,"f":"'

#: An option in an envelope: the job's input lies in the flow that its id names.
FROM_FLOW = "flow"
#: An option in an envelope: a batch calls this job back, and the job gets the batch.
OF_BATCH = "batch"
#: The option of a job that runs on another queue than its own, which it names.
HOME = "home"
#: The options of jobs that get something from their flow.
FETCHED = frozenset({FROM_FLOW, OF_BATCH})
#: The names of rota's own two jobs, which expand lists and stop what is left of flows. No user's job has a name with
#: an underscore in front.
FAN_OUT, SWEEP = "_each", "_sweep"

# The text between the name and the arguments of a plain job of ours, and the most characters of its time.
_PLAIN = b'","t":null,"a":[],"k":'
_MOST_DIGITS = 15
# What else stands in a name's place was not written by us, and may be no text at all.
_PLAIN_NAME = re.compile(rb"[a-z_][a-z0-9_-]*").fullmatch

T = TypeVar("T")

_LAST_MS = 253_402_300_799_999  # the end of the year 9999, where datetime ends
_MOST_TRIES = 2**31 - 1


class Envelope(NamedTuple):
    """A job as it lies in Redis. `ours` says that our client wrote it, and not a stock one.

    `enqueued_ms` is by the enqueuer's clock, in milliseconds. `tries` is the try that a stock client asked to start at.
    `options` and `headers` are empty for a stock job. `raw_kwargs` is set by `open_job` alone: the named arguments as
    JSON that was not read yet, in place of `args` and `kwargs`.
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
    """A job's final record; times are in milliseconds.

    `result` is the JSON value that a completed job returned. Another job has either an `error`, if it died, or
    `cancelled` and the `reason` for that.
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
    """Return arq's dictionary of a job or a result as JSON: pass this function as arq's `job_serializer`.

    Raises TypeError for what JSON cannot carry; arq then writes a note of its own in place of the result.
    """
    result = data.get("r")
    if isinstance(result, BaseException):
        # Not left to the JSON writer: an exception may also be a dataclass or a string, and would be written as one.
        data = {**data, "r": marks.mark_of(result)}
    return marks.dumps(data)


def job_deserializer(raw: bytes) -> dict[str, Any]:
    """Read arq's dictionary of a job or a result: pass this function as arq's `job_deserializer`.

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
    """Return a job of ours as bytes; `arguments` is the JSON object that `PayloadType.bind` made.

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
    """Return a job that `encode_job` wrote without headers, with `headers` added."""
    return b'%b,"h":%b}' % (raw[:-1], encode_headers(headers)) if headers else raw


def encode_headers(headers: Mapping[str, str]) -> bytes:
    """Return headers as they stand in a job's envelope."""
    return marks.dumps(dict(headers))


def decode_headers(raw: bytes) -> dict[str, str]:
    """Read what `encode_headers` wrote. Raises UnreadablePayload for anything else."""
    return _headers(marks.unescape(marks.loads(raw), revive=False))


def decode_job(raw: bytes) -> Envelope:
    """Read a job of ours, or of a stock client with our serializer pair. Raises UnreadablePayload for anything else."""
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
    """Read a job as `decode_job` does, but leave the arguments of a plain job of ours as JSON, in `raw_kwargs`.

    The job's own form reads them later. Reading them twice, and writing them again into the record, was a tenth of a
    busy worker's time.
    """
    name, head, rest = raw[len(HEAD) :].partition(_PLAIN)
    kwargs, et, tail = rest.rpartition(b',"et":')
    plain = head and et and raw.startswith(HEAD) and tail[:-1].isdigit() and tail.endswith(b"}")
    if (
        not plain
        or not _PLAIN_NAME(name)
        or marks.has_marks(raw)
        or not kwargs.startswith(b"{")
        or len(tail) > _MOST_DIGITS
    ):
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
    """Return a job's final record, as arq keeps it.

    `result` is JSON: the handler's value, or what `encode_error` made. `arguments` is the job's envelope, or the JSON
    object of its named arguments. `queue` is the full key of the queue.
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
    """Read a final record of ours, or of a stock worker with our serializer pair. Raises UnreadablePayload."""
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


def encode_error(error: BaseException, *, failure: bool = False, most_of_trace: int | None = None) -> bytes:
    """Return `error` as JSON for a final record: its type, its message and its traceback, both capped.

    A cancellation, by asyncio or by `Cancel`, is written as such. With `failure` it is written as an error, because the
    job was not asked to stop. `most_of_trace` is how many characters of the traceback are kept, if not as many as in
    a record.
    """
    most = marks.TRACEBACK_LIMIT if most_of_trace is None else most_of_trace
    return marks.dumps(marks.mark_of(error, failure=failure, most_of_trace=most))


def error_of(raw: bytes) -> JobError:
    """Read the error that `encode_error` wrote. Anything else becomes an error of the type `unknown`."""
    try:
        error = marks.exception_of(marks.loads(raw))
    except UnreadablePayload:
        error = None
    if isinstance(error, JobError):
        return error
    return JobError("CancelledError" if error else "unknown", str(error or ""))


def begun_error_of(raw: bytes) -> JobError:
    """Read the beginning of an error, which is what an event has of it: its type, and its message as far as it goes."""
    whole = raw.decode("utf-8", "ignore").encode()
    try:
        error = marks.exception_of(from_json(whole, allow_partial="trailing-strings"))
    except ValueError:
        error = None
    if isinstance(error, JobError):
        return JobError(error.type, error.message)
    return JobError("CancelledError" if error else "unknown", str(error or ""))


def preview(raw: bytes, limit: int = 64) -> str:
    """Return the first `limit` bytes in hexadecimal, to show an unreadable payload."""
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
    # The whole head is compared, so that the name that scripts read there is the name that we run.
    if raw.startswith(b'%b%b","t":' % (HEAD, name.encode())):
        return True
    raise UnreadablePayload("a job of a format that this version does not know; it reads format 1")


def _failure(value: Any) -> JobError | CancelledError:
    # A stock worker writes a sentence in place of a result that its serializer refused.
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
