"""Results and errors as they lie in Redis, in the final record of a job.

A final record, at `arq:result:<id>`, has the fields `f`, `a`, `k` and `et` of the job (see `rota.wire.envelopes`). `t`
is the attempt, `s` says whether the job was completed, `r` is its result or its error (see `rota.wire.marks`), `st` and
`ft` are when the attempt started and ended, `q` is the key of the queue and `id` the job's id. Of its headers `h` has
the one that says whose it is: `{"tenant":"acme"}`.
"""

from asyncio import CancelledError
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pydantic_core import from_json, to_json

from rota.errors import JobError, UnreadablePayload
from rota.names import is_tenant, printable
from rota.wire import marks
from rota.wire.envelopes import Envelope
from rota.wire.fields import LAST_MS, MOST_TRIES, field, loads_object, number
from rota.wire.sealing.seals import is_encrypted


@dataclass(frozen=True, slots=True)
class ResultRecord:
    """A job's final record; times are in milliseconds.

    `result` is the JSON value that a completed job returned. Another job has either an `error`, if it died, or
    `cancelled` and the `reason` for that. `is_encrypted` says that its arguments and its result are not here, since
    the record was not opened.
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
    tenant: str | None = None
    is_encrypted: bool = False


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
    kwargs = None if isinstance(arguments, bytes) else arguments.raw_kwargs
    # A plain job's arguments were not read yet, and it has no headers.
    args, kwargs, owner = _parts(arguments) if kwargs is None else (b"[]", kwargs, b"")
    return b'{"t":%d,"f":%b,"a":%b,"k":%b,"et":%d,"s":%b,"r":%b,"st":%d,"ft":%d,"q":%b,"id":%b%b}' % (
        attempt,
        _name_bytes(name),
        args,
        kwargs,
        enqueued_ms,
        b"true" if success else b"false",
        marks.escaped(result) if success and marks.HINT in result else result,
        started_ms,
        finished_ms,
        _name_bytes(queue),
        to_json(id if id.isascii() else printable(id)),
        owner,
    )


def decode_result(raw: bytes) -> ResultRecord:
    """Read a final record of ours, or of a stock worker with our serializer pair. Raises UnreadablePayload."""
    data = loads_object(raw)
    success = field(data, "s", bool)
    encrypted = is_encrypted(raw)
    if encrypted:
        data = {"r": None, **data, "a": [], "k": {}}
    if "r" not in data:
        raise UnreadablePayload("the record has no field 'r'")
    failure = None if success else _failure(data["r"])
    if marks.has_marks(raw):
        data = marks.unescape(data, revive=False)
    return ResultRecord(
        attempt=number(data, "t", MOST_TRIES),
        name=field(data, "f", str),
        args=field(data, "a", list),
        kwargs=field(data, "k", dict),
        enqueued_ms=number(data, "et", LAST_MS),
        success=success,
        result=data["r"] if success else None,
        started_ms=number(data, "st", LAST_MS),
        finished_ms=number(data, "ft", LAST_MS),
        queue=field(data, "q", str) if "q" in data else "",
        id=field(data, "id", str) if "id" in data else "",
        error=failure if isinstance(failure, JobError) else None,
        cancelled=isinstance(failure, CancelledError),
        reason=str(failure) if isinstance(failure, CancelledError) else "",
        tenant=_owner(data.get("h")),
        is_encrypted=encrypted,
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
        return JobError(error.type, error.message, cause=error.cause)
    return JobError("CancelledError" if error else "unknown", str(error or ""))


# The names of a worker's jobs and its queue come again and again.
_name_bytes = lru_cache(256)(to_json)


def _parts(arguments: Envelope | bytes) -> tuple[bytes, bytes, bytes]:
    """Return the arguments as the record has them, positional and named ones, and whose the job is."""
    if isinstance(arguments, bytes):
        return b"[]", marks.escaped(arguments), b""
    args = marks.dumps(arguments.args) if arguments.args else b"[]"
    tenant = _owner(arguments.headers) if arguments.headers else None
    owner = b',"h":{"tenant":%b}' % to_json(tenant) if tenant else b""
    return args, marks.dumps(arguments.kwargs), owner


def _owner(headers: Any) -> str | None:
    """Return the tenant that these headers name, if they do."""
    name = headers.get("tenant") if isinstance(headers, dict) else None
    return name if is_tenant(name) else None


def _failure(value: Any) -> JobError | CancelledError:
    # A stock worker writes a sentence in place of a result that its serializer refused.
    note = value if isinstance(value, str) else "the worker wrote no error that can be read"
    return marks.exception_of(value) or JobError("SerializationError", note)
