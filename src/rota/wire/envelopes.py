"""Jobs as they lie in Redis: JSON that stock arq programs, `redis-cli` and Lua all understand.

A job of ours, at `arq:job:<id>`; the letters are arq's own:

    {"v":1,"f":"send","t":null,"a":[],"k":{"to":"ann"},"et":1700000000000,"o":{"timeout":9},"h":{"tenant":"acme"}}

    v   the format; stock jobs have none     a, k  positional and named arguments
    f   the job's name                       et    when it was enqueued, ms by the enqueuer's clock
    t   the try to start at, or null         o, h  options and headers of this enqueue, if it has some

A stock arq client or worker takes the pair `job_serializer` and `job_deserializer`. Our own side writes the same fields
by concatenation behind a fixed head, so that a script knows our jobs, and their names, without parsing JSON.
"""

import re
from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Any, NamedTuple

from rota.errors import RefusedPayload, UnreadablePayload
from rota.names import check_name
from rota.wire import marks
from rota.wire.fields import LAST_MS, MOST_TRIES, field, loads_object, number
from rota.wire.sealing.seals import is_encrypted

#: Every job that we write begins with this. The job's name follows, up to the next quotation mark.
HEAD = b'{"v":1,"f":"'

#: An option in an envelope: the job's input lies in the flow that its id names.
FROM_FLOW = "flow"
#: An option in an envelope: a batch calls this job back, and the job gets the batch.
OF_BATCH = "batch"
#: An option in a signed envelope: the job is in the last stage of its pipeline.
LAST = "last"
#: An option in a signed envelope of the job that fans out: from what it makes the items' jobs.
RECIPE = "recipe"
#: The option of a job that runs on another queue than its own, which it names.
HOME = "home"
#: The options of jobs that get something from their flow.
FETCHED = frozenset({FROM_FLOW, OF_BATCH})
#: The names of rota's own jobs, which expand lists, stop what is left of flows, and deliver webhooks. No user's job has
#: a name with an underscore in front.
FAN_OUT, SWEEP, WEBHOOK = "_each", "_sweep", "_webhook"

# What else stands in a name's place was not written by us, and may be no text at all.
_PLAIN_NAME = re.compile(rb"[a-z_][a-z0-9_-]*").fullmatch
# What stands between the name of a plain job of ours and its arguments; the longest that is before it, up to a name of
# 100 characters, and after the arguments: the time, and what closes the job.
_TO_ARGUMENTS = b'","t":null,"a":[],"k":'
_LONGEST_BEGIN, _MOST_DIGITS = len(HEAD) + 100, 15


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


# As `Envelope._make`, which calls it through two functions more.
_envelope = partial(tuple.__new__, Envelope)


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
    data = loads_object(raw)
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
    begun, ended = around(name, options, headers)
    return put_between(begun, arguments, enqueued_ms, ended)


def around(
    name: str, options: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
) -> tuple[bytes, bytes]:
    """Return what stands before the arguments of a job of ours, and behind its time. Raises ValueError."""
    tail = b""
    if options:
        tail = b',"o":%b' % marks.dumps(dict(options))
    if headers:
        tail += b',"h":%b' % encode_headers(headers)
    return b'%b%b","t":null,"a":[],"k":' % (HEAD, _written(name)), tail


def put_between(begun: bytes, arguments: bytes, enqueued_ms: int, ended: bytes) -> bytes:
    """Return a job of ours as bytes, by what `around` returned of its name."""
    return b'%b%b,"et":%d%b}' % (begun, marks.escaped(arguments), enqueued_ms, ended)


@lru_cache(maxsize=1024)
def _written(name: str) -> bytes:
    """Return a job's name as it is written. Raises ValueError for one that jobs cannot have."""
    return (name if name == WEBHOOK else check_name("job", name)).encode()


def encode_fan_out(recipe: Mapping[str, Any], *, enqueued_ms: int) -> bytes:
    """Return rota's own job that fans out, with what it makes the items' jobs from."""
    options = marks.dumps({RECIPE: recipe})
    return b'%b%b","t":null,"a":[],"k":{},"et":%d,"o":%b}' % (HEAD, FAN_OUT.encode(), enqueued_ms, options)


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
    """Read a job of ours, or of a stock client with our serializer pair. Raises UnreadablePayload for anything else.

    Of one that is signed the seal is not looked at. Raises RefusedPayload for one that is encrypted.
    """
    if is_encrypted(raw):
        raise RefusedPayload("sealed")
    data = loads_object(raw)
    if marks.has_marks(raw):
        data = marks.unescape(data, revive=False)
    name = field(data, "f", str)
    return Envelope(
        name,
        field(data, "a", list),
        field(data, "k", dict),
        number(data, "et", LAST_MS),
        None if data.get("t") is None else number(data, "t", MOST_TRIES),
        field(data, "o", dict) if "o" in data else {},
        _headers(data["h"]) if "h" in data else {},
        _is_ours(raw, data, name),
    )


def open_job(raw: bytes) -> Envelope:
    """Read a job as `decode_job` does, but leave the arguments of a plain job of ours as JSON, in `raw_kwargs`.

    The job's own form reads them later. Reading them twice, and writing them again into the record, was a tenth of a
    busy worker's time.
    """
    begin, _, rest = raw.partition(_TO_ARGUMENTS)
    kwargs, _, end = rest.rpartition(b',"et":')
    enqueued = end[:-1]
    is_plain = enqueued.isdigit() and end[-1:] == b"}" and len(end) <= _MOST_DIGITS and kwargs[:1] == b"{"
    if not is_plain or len(begin) > _LONGEST_BEGIN or marks.HINT in raw or not (name := _begun(begin)):
        return decode_job(raw)
    return _envelope((name, [], {}, int(enqueued), None, {}, {}, True, kwargs))


@lru_cache(maxsize=1024)
def _begun(begin: bytes) -> str:
    """Return the name of a job of ours that begins with this and nothing more; empty for anything else."""
    name = begin[len(HEAD) :]
    return name.decode() if begin.startswith(HEAD) and _PLAIN_NAME(name) else ""


def outlined(raw: bytes) -> Envelope:
    """Return of a job what stays readable if it is encrypted: its name, when it was enqueued, and its tenant.

    Raises UnreadablePayload.
    """
    data = loads_object(raw)
    headers = _headers(data["h"]) if "h" in data else {}
    return Envelope(field(data, "f", str), [], {}, number(data, "et", LAST_MS), None, {}, headers, True)


def name_in(head: bytes) -> str:
    """Return the name of a job of ours, by the first bytes of its payload; empty for another program's."""
    name = head[len(HEAD) :].partition(b'"')[0]
    return name.decode() if head.startswith(HEAD) and _PLAIN_NAME(name) else ""


def preview(raw: bytes, limit: int = 64) -> str:
    """Return the first `limit` bytes in hexadecimal, to show an unreadable payload."""
    return raw[:limit].hex() + ("…" if len(raw) > limit else "")


def _is_ours(raw: bytes, data: Mapping[str, Any], name: str) -> bool:
    if "v" not in data:
        return False
    # The whole head is compared, so that the name that scripts read there is the name that we run.
    if raw.startswith(b'%b%b","t":' % (HEAD, name.encode())):
        return True
    raise UnreadablePayload("a job of a format that this version does not know; it reads format 1")


def _headers(value: Any) -> dict[str, str]:
    if isinstance(value, dict) and all(isinstance(text, str) for text in value.values()):
        return value
    raise UnreadablePayload("field 'h' must be an object of texts")
