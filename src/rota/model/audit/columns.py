"""The columns of a job's row, made of what lies in Redis: texts, times, errors.

The store makes any text fit its database.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from rota.errors import JobError, UnreadablePayload
from rota.model.log.lines import later, lines_of
from rota.model.log.text import as_text
from rota.wire.envelopes import outlined
from rota.wire.log.pieces import received

#: The columns of a row that a job's beginning clears, with what they hold then.
BLANK: Mapping[str, Any] = {
    **dict.fromkeys(("tenant", "payload", "reason", "error", "error_key", "progress", "message", "result")),
    **dict.fromkeys(("log", "due_at", "started_at", "finished_at", "worker", "version", "flow", "parent")),
    "attempts": 0,
}

_TENANT = b'"tenant":'
_LAST_MS = 253_402_300_799_999  # the end of the year 9999, where datetime ends
_LAST_SEQUENCE = 9_999_999_999


def text_of(raw: bytes) -> str:
    """Return bytes as text: those that are not UTF-8 are escaped."""
    return raw.decode("utf-8", "backslashreplace")


def plain(value: Any) -> str | None:
    """Return a text that an event has as the column of a row has it; None for an empty one, and for anything else."""
    return value if isinstance(value, str) and value else None


def log_of(raw: bytes) -> str | None:
    """Return the log of a job as text; None for an empty one."""
    pieces = dict(received(raw))
    names = later(pieces)
    return as_text(lines_of(names, map(pieces.get, names))) or None


def time_of(ms: Any) -> datetime | None:
    """Return milliseconds as a time in UTC; None for anything else."""
    if type(ms) is not int:
        try:
            ms = float(ms)
        except (TypeError, ValueError, OverflowError):
            return None
    return datetime.fromtimestamp(ms / 1000, UTC) if 0 <= ms <= _LAST_MS else None


def number_of(value: Any) -> float | None:
    """Return a percentage as a number; None for anything else."""
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def place_of(position: str) -> str:
    """Return a record's position in the fixed width that sorts as the stream does."""
    entry, _, index = position.partition(".")
    return f"{entry_place_of(entry)}.{index:0>5}"


def entry_place_of(entry: str) -> str:
    """Return the id of an entry of a stream in the width with which the places of its records begin."""
    ms, _, sequence = entry.partition("-")
    return f"{min(int(ms), _LAST_MS):015}-{min(int(sequence), _LAST_SEQUENCE):010}"


def moment_of(entry: str) -> datetime:
    """Return when an entry of a stream was written, by the server's clock, as the entry's id says."""
    return datetime.fromtimestamp(min(int(entry.partition("-")[0]), _LAST_MS) / 1000, UTC)


def tenant_of(payload: bytes) -> str | None:
    """Return the tenant that a job's headers name, if they do."""
    if _TENANT not in payload:
        return None
    try:
        return plain(outlined(payload).headers.get("tenant"))
    except UnreadablePayload:
        return None


def enqueued_at(payload: bytes) -> datetime | None:
    """Return when a job was enqueued, by the clock of the client that enqueued it; None where that cannot be read."""
    try:
        return time_of(outlined(payload).enqueued_ms)
    except UnreadablePayload:
        return None


def told(error: JobError) -> str:
    """Return an error in one text: its type, and its message if there is one."""
    return f"{error.type}: {error.message}" if error.message else error.type
