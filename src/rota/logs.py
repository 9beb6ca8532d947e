"""How logs look: for people on a terminal, as JSON lines in production. What is logged is an event's name and fields.

structlog renders; without it (the base install) the standard library does, plainly.
"""

import logging
import sys
from collections.abc import MutableMapping
from importlib.util import find_spec
from typing import Any, Literal

#: What every record has; the rest are the fields that a call gave in `extra`.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


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

    renderer: Any = (
        structlog.processors.JSONRenderer()
        if style == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=18)
    )
    shared: list[Any] = [
        structlog.stdlib.add_logger_name if style == "json" else _nothing,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso" if style == "json" else "%H:%M:%S", utc=style == "json"),
        _add_fields,
    ]
    last: list[Any] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if style == "json":
        last.append(structlog.processors.format_exc_info)
    return structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[*last, renderer])


def _nothing(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return event


def _add_fields(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    record = event.get("_record")
    if record is not None:
        for name, value in fields_of(record).items():
            event.setdefault(name, value)
    return event


class _Plain(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """One line: time, level, event, fields."""
        line = f"{self.formatTime(record)} {record.levelname.lower()} {record.getMessage()}"
        for name, value in fields_of(record).items():
            line += f" {name}={value!r}"
        return line + (f"\n{self.formatException(record.exc_info)}" if record.exc_info else "")
