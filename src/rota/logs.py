"""How logs look: for people on a terminal, as JSON lines in production. What is logged is an event's name and fields.

structlog renders; without it (the base install) the standard library does, plainly. Whatever a stranger wrote into an
id, a message or an exception stays within its field: one record is one line, but for a traceback on a terminal, which
is set in.
"""

import logging
import sys
import traceback
from collections.abc import MutableMapping
from importlib.util import find_spec
from typing import Any, Literal

from rota.escaping import escaped, indented, plain

#: What every record has; the rest are the fields that a call gave in `extra`.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
#: Fields of several lines, which a terminal shows below the event.
_BLOCKS = ("exception", "stack")

Fields = MutableMapping[str, Any]


def setup(level: str, style: Literal["console", "json"]) -> None:
    """Send all logs of the process to stderr, in one shape. `level` is a name such as `info`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_formatter(style))
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """The fields that were logged beside the event's name."""
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}


def _formatter(style: str) -> logging.Formatter:
    if find_spec("structlog") is None:
        return _Plain()
    import structlog  # noqa: PLC0415 - an extra

    json = style == "json"
    shared: list[Any] = [
        *([structlog.stdlib.add_logger_name] if json else []),
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso" if json else "%H:%M:%S", utc=json),
        _add_fields,
    ]
    # JSON escapes by itself: everything but ASCII.
    last: list[Any] = (
        [structlog.processors.JSONRenderer(default=plain)]
        if json
        else [
            _for_people,
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(),
                pad_event_to=18,
                exception_formatter=structlog.dev.plain_traceback,
            ),
        ]
    )
    remove = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared, processors=[remove, _add_exception, *last]
    )


def _add_fields(_: Any, __: str, event: Fields) -> Fields:
    record = event.get("_record")
    if record is not None:
        for name, value in fields_of(record).items():
            event.setdefault(name, value)
    return event


def _add_exception(_: Any, __: str, event: Fields) -> Fields:
    if raised := event.pop("exc_info", None):
        # Without the values of variables: there are secrets among them.
        event["exception"] = "".join(traceback.format_exception(*raised)).rstrip("\n")
    return event


def _for_people(_: Any, __: str, event: Fields) -> Fields:
    shown: Fields = {}
    for name, value in event.items():
        block = name in _BLOCKS and isinstance(value, str)
        shown[escaped(str(name))] = indented(value) if block else plain(value)
    return shown


class _Plain(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """One line: time, level, event, fields."""
        line = f"{self.formatTime(record)} {record.levelname.lower()} {escaped(record.getMessage())}"
        for name, value in fields_of(record).items():
            line += f" {escaped(name)}={value!r}"
        return line + (f"\n{indented(self.formatException(record.exc_info))}" if record.exc_info else "")
