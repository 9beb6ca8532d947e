"""A log record as the log of its job keeps it: a line of JSON, without secrets, and of bounded length."""

import json
import logging
import re
from collections.abc import Mapping
from typing import Any

from rota.telemetry.logs.escaping import cut, discreet, portable
from rota.telemetry.logs.records import fields_of, message_of, trace_of

#: The most characters of a message, of a field and of a traceback; the most fields.
MESSAGE, FIELD, BLOCK, FIELDS = 4000, 1000, 8000, 30
#: The most bytes of a line. A longer one loses its fields.
LONGEST = 16_000

#: What structlog says in fields of its own, and a line says anyway.
_OF_STRUCTLOG = frozenset({"event", "level", "logger", "timestamp", "exc_info"})
_SURROGATES = re.compile("[\ud800-\udfff]")
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def line_of(record: logging.LogRecord, known: Mapping[str, Any]) -> bytes:
    """Return a record as a line; the fields that are `known` of its attempt are left out."""
    said, beside = _told(record)
    message = cut(str(discreet("event", said)), MESSAGE)
    fields = {
        cut(str(name), FIELD): portable(discreet(name, value), FIELD)
        for name, value in list(beside.items())[: FIELDS + len(known)]
        if name not in known
    }
    if trace := trace_of(record):
        fields["exception"] = cut(str(discreet("exception", trace)), BLOCK)
    at, level = round(record.created * 1000), record.levelname.lower()
    line = _bytes([at, level, message, fields] if fields else [at, level, message])
    if len(line) <= LONGEST:
        return line
    return _bytes([at, level, cut(message, LONGEST // 8), {"left_out": f"{len(fields)} fields"}])


def _told(record: logging.LogRecord) -> tuple[str, Mapping[str, Any]]:
    """Return the message of a record and its fields."""
    if isinstance(record.msg, dict) and hasattr(record, "_logger"):
        # From a structlog that the user's code has configured, to leave the line to the handler.
        fields = {name: value for name, value in record.msg.items() if name not in _OF_STRUCTLOG}
        return str(record.msg.get("event", "")), fields
    return message_of(record), fields_of(record)


def _bytes(line: list[Any]) -> bytes:
    text = _encode(line)
    return (text if text.isascii() else _SURROGATES.sub("\ufffd", text)).encode()
