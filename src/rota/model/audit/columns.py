"""The columns of a job's row, made of what lies in Redis: text that any database takes, times, errors."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from rota.errors import JobError, UnreadablePayload
from rota.wire.claims import encode_id
from rota.wire.envelopes import decode_job

#: The columns of a row that a job's beginning clears, with what they hold then.
BLANK: Mapping[str, Any] = {
    **dict.fromkeys(("tenant", "payload", "reason", "error", "error_key", "progress", "message", "result")),
    **dict.fromkeys(("log", "due_at", "started_at", "finished_at", "worker", "version", "flow", "parent")),
    "attempts": 0,
}

_TENANT = b'"tenant":'
_LAST_MS = 253_402_300_799_999  # the end of the year 9999, where datetime ends
_LAST_SEQUENCE = 9_999_999_999
_MOST_ATTEMPTS = 2**31 - 1


def text_of(raw: bytes) -> str:
    """Return bytes as text that a database takes: bytes that are not UTF-8, and NUL, are escaped."""
    return raw.decode("utf-8", "backslashreplace").replace("\0", "\\x00")


def key_of(job_id: str) -> str:
    """Return the id of a job as its row has it; it differs from the id only where that is not text."""
    return job_id if job_id.isascii() and "\0" not in job_id else text_of(encode_id(job_id))


def plain(value: Any) -> str | None:
    """Return a text that an event has as the column of a row has it; None for an empty one, and for what is none."""
    if not isinstance(value, str) or not value:
        return None
    return value.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def time_of(ms: Any) -> datetime | None:
    """Return milliseconds as a time in UTC; None for what is none."""
    try:
        ms = float(ms)
    except (TypeError, ValueError):
        return None
    return datetime.fromtimestamp(ms / 1000, UTC) if 0 <= ms <= _LAST_MS else None


def number_of(value: Any) -> float | None:
    """Return a percentage as a finite number; None for what is none."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def attempts_of(attempt: int) -> int:
    """Return the number of an attempt as far as the column reaches, and at least 0."""
    return min(max(attempt, 0), _MOST_ATTEMPTS)


def place_of(position: str) -> tuple[str, datetime]:
    """Return a record's position in the fixed width that sorts as the stream does, and its time."""
    entry, _, index = position.rpartition(".")
    ms, _, sequence = entry.partition("-")
    time = min(int(ms), _LAST_MS)
    place = f"{time:015}-{min(int(sequence), _LAST_SEQUENCE):010}.{int(index):05}"
    return place, datetime.fromtimestamp(time / 1000, UTC)


def tenant_of(payload: bytes) -> str | None:
    """Return the tenant that a job's headers name, if they do."""
    if _TENANT not in payload:
        return None
    try:
        return plain(decode_job(payload).headers.get("tenant"))
    except UnreadablePayload:
        return None


def enqueued_at(payload: bytes) -> datetime | None:
    """Return when a job was enqueued, by the clock of the client that enqueued it; None where that cannot be read."""
    try:
        return time_of(decode_job(payload).enqueued_ms)
    except UnreadablePayload:
        return None


def told(error: JobError) -> str:
    """Return an error in one text: its type, and its message if there is one."""
    return plain(f"{error.type}: {error.message}" if error.message else error.type) or "unknown"
