"""Makes values such that both databases take them: what payloads and strange clients bring is not always text."""

import math
import re
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from rota.store.schema import Row

#: NUL, which PostgreSQL does not take, and halves of UTF-16 pairs, which stand for bytes that are not UTF-8.
_ODD = re.compile("[\x00\ud800-\udfff]")
_BYTE = range(0xDC80, 0xDD00)
_IDS = frozenset({"id", "flow", "parent"})
#: What is in an index, whose entries have at most 2,704 bytes.
_INDEXED = frozenset({"id", "tenant", "queue", "name", "status", "error_key", "flow"})
_LONGEST = 900
#: The highest of PostgreSQL's integers.
_HIGHEST = 2**31 - 1


def clean(row: Row) -> Row:
    """Return a row with values that both databases take.

    What is not text becomes U+FFFD, in ids an escape, so that two ids stay two; numbers that are not finite are left
    out; times without a zone are in UTC; a long value of an index is cut, and ends in its digest.
    """
    cleaned = row.copy()
    for column, value in row.items():
        # Most values are as they should be.
        if value is None:
            continue
        kind = type(value)
        if kind is str:
            if len(value) * 4 <= _LONGEST and value.isascii() and "\0" not in value:
                continue
        elif kind is datetime and value.tzinfo is UTC:
            continue
        cleaned[column] = stored(column, value)
    return cleaned


def stored(column: str, value: Any) -> Any:
    """Return `value` as it stands in `column`, to be written or to be looked for."""
    if isinstance(value, str):
        if not value.isascii() or "\0" in value:
            value = _ODD.sub(_escaped if column in _IDS else "\ufffd", value)
        return _cut(value) if len(value) * 4 > _LONGEST and column in _INDEXED else value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int):
        return max(-_HIGHEST, min(value, _HIGHEST))
    if isinstance(value, datetime) and value.tzinfo is None:
        return value.replace(tzinfo=UTC)
    return value


def _escaped(odd: re.Match[str]) -> str:
    # As `rota.names.printable` writes them.
    number = ord(odd[0])
    return f"\\x{number & 0xFF:02x}" if number in _BYTE or number == 0 else f"\\u{number:04x}"


def _cut(text: str) -> str:
    data = text.encode()
    if len(data) <= _LONGEST:
        return text
    digest = sha256(data).hexdigest()[:16]
    return f"{data[: _LONGEST - 20].decode(errors='ignore')}…{digest}"


def moment_of(event: str) -> datetime:
    """Return the moment of an event, with whose milliseconds its position begins; now, if it does not."""
    try:
        return datetime.fromtimestamp(int(event.partition("-")[0]) / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.now(UTC)
