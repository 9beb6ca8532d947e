"""An entry of a stream of events, read: which events it holds, and what is written of each, without what it means.

The scripts put the events of one call into one entry (`wire/lua/lib/events.lua`), in its field `e`, as a JSON list:

    [["started","email","email:u1","send",1,{"worker":"w-1","due":1767225600000}],["completed","email",…],…]

Each has its type, queue, id, task and attempt, and then, if there is more to say, an object. Of events that follow each
other and say the same there is one row, with a list of ids in place of the id, and a list of times as `due` if they
differ:

    [["completed","email",["email:u1","email:u2"],"send",1]]

In the stream of records (`NAMESPACE:records`) each event has a row of its own, and an entry has raw values in fields
beside the rows, by the number of the event in the entry: `p0` is a payload as it lies in Redis, `d0` is a whole result
or a whole error, JSON, and `l0` the whole log of the job (see `rota.wire.log.pieces`). `v` is the version of the code
of the worker whose call the entry is of.

Ids may be any bytes, which `encode_id` finds again. Elsewhere a character stands in for bytes that are not UTF-8.
"""

import json
import re
from collections.abc import Iterable, Mapping
from functools import partial
from itertools import chain
from types import MappingProxyType
from typing import Any, NamedTuple

_EVENTS = b"e"
# Bytes that are not UTF-8 become these, and so does "\ud800" in JSON. No UTF-8 can be written with them.
_NO_TEXT = re.compile("[\ud800-\udfff]")
_NOTHING: Mapping[str, Any] = MappingProxyType({})
_MOST_ATTEMPTS = 2**53
# What every event has: type, queue, id, task, attempt.
_LEAST, _ID = 5, 2
# The same, and what only some events say.
_Told = tuple[str, str, str, str, int, Mapping[str, Any]]


class RawEvent(NamedTuple):
    """One event as it is written: `position` is its place in the stream, `extras` what only some events say."""

    position: str
    type: str
    queue: str
    id: str
    task: str
    attempt: int
    extras: Mapping[str, Any]


class Record(NamedTuple):
    """One event of the stream of records, with all that it was about.

    :param position: its place in the stream, `<entry>.<number in the entry>`.
    :param extras: what only some events say: `worker`, `due` (ms), `reason`, `percent`, `message`, `flow`.
    :param payload: the job as it lies in Redis, of one that was enqueued, and of a stock client's that started.
    :param detail: JSON: the result of a job that completed, the error of an attempt that failed or of a job that died
        or was cancelled.
    :param version: of the code of the worker that told it; empty where that is unknown, or a client told it.
    :param log: the log of the job with all attempts so far, where an attempt has ended and something was logged.
    """

    position: str
    type: str
    queue: str
    id: str
    task: str
    attempt: int
    extras: Mapping[str, Any]
    payload: bytes | None
    detail: bytes | None
    version: str = ""
    log: bytes | None = None


def read_events(entry_id: bytes, fields: Mapping[bytes, bytes]) -> list[RawEvent]:
    """Return the events of an entry; none of one that cannot be read, as of an earlier or a later version."""
    entry, rows = entry_id.decode(), chain.from_iterable(map(_apart, _rows(fields)))
    return [
        RawEvent(f"{entry}.{number}", *told) for number, told in _numbered(fields, rows) if told is not None
    ]


def read_records(entry_id: bytes, fields: Mapping[bytes, bytes]) -> list[Record]:
    """Return the records of an entry; none of one that cannot be read, as of a later version."""
    entry = entry_id.decode()
    rows, version = _rows(fields), fields.get(b"v", b"").decode("utf-8", "backslashreplace")
    if len(fields) == (2 if version else 1):
        # Nothing lies beside the events, as where jobs start. What there is a row for is read as cheaply as it can be.
        return [
            _record((f"{entry}.{number}", *told, None, None, version, None))
            for number, told in _numbered(fields, rows)
            if told is not None
        ]
    get = fields.get
    return [
        _record(
            (
                f"{entry}.{number}",
                *told,
                get(b"p%d" % number),
                get(b"d%d" % number),
                version,
                get(b"l%d" % number),
            )
        )
        for number, told in _numbered(fields, rows)
        if told is not None
    ]


# As `Record._make`, which calls it through two functions more.
_record = partial(tuple.__new__, Record)


def _rows(fields: Mapping[bytes, bytes]) -> list[Any]:
    try:
        rows = json.loads(fields.get(_EVENTS, b"").decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError):
        return []
    return rows if isinstance(rows, list) else []


def _apart(row: Any) -> Iterable[Any]:
    """Yield a row for each event of a row, which may stand for many."""
    if type(row) is not list or len(row) < _LEAST or type(row[_ID]) is not list:
        yield row
        return
    kind, queue, ids, task, attempt, *more = row
    dues = more[0].get("due") if more and type(more[0]) is dict else None
    if type(dues) is not list or len(dues) != len(ids):
        for job_id in ids:
            yield [kind, queue, job_id, task, attempt, *more]
        return
    for job_id, due in zip(ids, dues, strict=True):
        yield [kind, queue, job_id, task, attempt, {**more[0], "due": due}]


def _numbered(fields: Mapping[bytes, bytes], rows: Iterable[Any]) -> Iterable[tuple[int, _Told | None]]:
    raw = fields.get(_EVENTS, b"")
    # Nearly every entry: what its texts hold need not be looked at.
    is_plain = raw.isascii() and b"\\u" not in raw
    return enumerate(map(_read if is_plain else _read_any, rows))


def _read(row: Any) -> _Told | None:
    # A `match` statement says this in two lines, and takes three times as long.
    if type(row) is not list or len(row) < _LEAST:
        return None
    kind, queue, job_id, task, attempt = row[:_LEAST]
    if not (type(kind) is type(queue) is type(job_id) is type(task) is str and type(attempt) is int):
        return None
    if not 0 <= attempt <= _MOST_ATTEMPTS:
        return None
    extras = row[_LEAST] if len(row) > _LEAST and type(row[_LEAST]) is dict else _NOTHING
    return kind, queue, job_id, task, attempt, extras


def _read_any(row: Any) -> _Told | None:
    told = _read(row)
    if told is None or not _is_id(told[2]):
        return None
    kind, queue, job_id, task, attempt, extras = told
    extras = {_text(name): _text(value) for name, value in extras.items()}
    return _text(kind), _text(queue), job_id, _text(task), attempt, extras


def _is_id(text: str) -> bool:
    """Tell whether a text is the id of something in Redis, which `encode_id` finds again."""
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


def _text(value: Any) -> Any:
    return _NO_TEXT.sub("\ufffd", value) if isinstance(value, str) and not value.isascii() else value
