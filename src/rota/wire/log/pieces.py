"""The log of a job as it lies in Redis, at `arq:log:<id>`: a hash of pieces, each of which has lines of one attempt.

The name of a piece says which lines they are, so that nobody needs to read the others:

    <enqueued> <started> <attempt> <last> <bytes>

`enqueued` is the job's own time of enqueueing, which tells it from an earlier job of the same id; `started` is when the
attempt was claimed, by the server's clock (both in milliseconds); `last` is the number of the last line in the piece,
counted from 1 in each attempt. The piece is JSON, a list of lines, and has no newline:

    [[1767225600000,"info","mail.sent",{"server":"smtp-2"}],…]

What a worker sends has two lines for each piece, its name and its content; a piece without content is to be removed.
"""

import json
import re
from collections.abc import Iterable
from typing import Any, NamedTuple, Self

#: A settlement of a job that has a log says at least this: that the log is to expire when the job's record does.
NOTHING_NEW = b"-"

_NAME = re.compile(rb"(\d{1,15}) (\d{1,15}) (\d{1,9}) (\d{1,9}) (\d{1,9})")
#: A line is time, level and message, and fields if there are any.
_LEAST = 3


class Piece(NamedTuple):
    """The name of a piece, read."""

    enqueued_ms: int
    started_ms: int
    attempt: int
    last: int
    size: int

    @classmethod
    def read(cls, name: bytes) -> Self | None:
        """Read a name; None for what is none."""
        found = _NAME.fullmatch(name)
        return None if found is None else cls(*map(int, found.groups()))

    def wire(self) -> bytes:
        """Return the bytes that `read` reads."""
        return b"%d %d %d %d %d" % self


class RawLine(NamedTuple):
    """A line as it is written: `at_ms` is by the clock of the worker."""

    at_ms: float
    level: str
    message: str
    fields: dict[str, Any]


def content(lines: Iterable[bytes]) -> bytes:
    """Return the content of a piece of these lines, each as JSON."""
    return b"[%b]" % b",".join(lines)


def sent(pieces: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return pieces, name and content, as the scripts take them."""
    return b"".join(b"%b\n%b\n" % piece for piece in pieces)


def received(raw: bytes) -> list[tuple[bytes, bytes]]:
    """Return the pieces, name and content, in what `sent` made."""
    parts = raw.split(b"\n")
    return list(zip(parts[::2], parts[1::2], strict=False))


def read_lines(raw: bytes) -> list[RawLine]:
    """Read the content of a piece. What cannot be read, as of a later version, becomes an empty line in its place."""
    try:
        rows = json.loads(raw)
    except (ValueError, RecursionError):
        return []
    return [_read(row) for row in rows] if isinstance(rows, list) else []


def _read(row: Any) -> RawLine:
    if not (isinstance(row, list) and len(row) >= _LEAST and isinstance(row[0], int | float)):
        return RawLine(0, "", "", {})
    fields = row[_LEAST] if len(row) > _LEAST else None
    return RawLine(row[0], str(row[1]), str(row[2]), fields if isinstance(fields, dict) else {})
