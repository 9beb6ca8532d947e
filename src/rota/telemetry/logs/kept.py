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

_SURROGATES = re.compile("[\ud800-\udfff]")
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def line_of(record: logging.LogRecord, known: Mapping[str, Any]) -> bytes:
    """Return a record as a line; the fields that are `known` of its attempt are left out."""
    message = cut(str(discreet("event", message_of(record))), MESSAGE)
    fields = {
        cut(str(name), FIELD): portable(discreet(name, value), FIELD)
        for name, value in list(fields_of(record).items())[: FIELDS + len(known)]
        if name not in known
    }
    if trace := trace_of(record):
        fields["exception"] = cut(str(discreet("exception", trace)), BLOCK)
    at, level = round(record.created * 1000), record.levelname.lower()
    line = _bytes([at, level, message, fields] if fields else [at, level, message])
    if len(line) <= LONGEST:
        return line
    return _bytes([at, level, cut(message, LONGEST // 8), {"left_out": f"{len(fields)} fields"}])


def _bytes(line: list[Any]) -> bytes:
    text = _encode(line)
    return (text if text.isascii() else _SURROGATES.sub("\ufffd", text)).encode()
