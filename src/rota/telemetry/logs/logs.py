"""How logs look: for people on a terminal, as JSON lines in production. A line is an event's name and its fields.

JSON lines are written here. structlog renders those for people; without it (the base install) the standard library
does, plainly. Text that others wrote, such as an id, a message or an exception, stays within its field: a record is one
line, but for a traceback on a terminal, which is indented. Long values are cut, and a value that cannot be written
fails neither the line nor the job.
"""

import atexit
import json
import logging
import re
import sys
import traceback
from collections.abc import MutableMapping
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import Any, Literal

from rota.settings.load import is_without_colour
from rota.telemetry.logs.belonging import Belonging
from rota.telemetry.logs.escaping import cut, discreet, escaped, indented, plain, portable
from rota.telemetry.logs.outflow import Outflow
from rota.telemetry.logs.records import MOST, MOST_OF_BLOCK, adopt_structlog, fields_of

#: Keys that the renderer uses; a field of such a name gets a `_` behind it.
_RESERVED = frozenset({"event", "level", "logger", "timestamp", "exception", "_record", "_from_structlog"})
#: Fields of several lines, which the console shows below the event.
_BLOCKS = ("exception", "stack")
#: The loggers of the service, and of `run.log`.
_OURS = frozenset({"rota", "arq", "jobs"})
#: The handler that was set up, if there is one.
_made: list[Outflow] = []
_WORD = re.compile(r"[\w.-]+")

Fields = MutableMapping[str, Any]


def setup(level: str, style: Literal["console", "json"]) -> None:
    """Send all logs of the process to stderr, warnings too, in one shape. `level` is a name such as `info`."""
    handler = Outflow(sys.stderr)
    handler.setFormatter(_formatter(style))
    handler.addFilter(Belonging())
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    for earlier in _made:
        atexit.unregister(earlier.flush)
    _made[:] = [handler]
    # The standard library's own flush forgets the handler when the user's code calls dictConfig.
    atexit.register(handler.flush)
    root.setLevel(level.upper())
    logging.captureWarnings(True)


def write_json() -> bool:
    """Tell whether the logs of this process are set up, and JSON."""
    ours = [handler.formatter for handler in logging.root.handlers if handler in _made]
    return any(isinstance(formatter, Formatter) and formatter.is_json for formatter in ours)


def revive() -> None:
    """Turn the service's loggers on again, after code of the user's has run.

    `logging.config.dictConfig` turns off every logger that it does not name, unless it is told not to, and takes away
    the root's handlers where it sets no more than its level.
    """
    if not logging.root.handlers:
        logging.root.handlers[:] = _made
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if isinstance(logger, logging.Logger) and name.partition(".")[0] in _OURS:
            logger.disabled = False


class Formatter(logging.Formatter):
    """Writes lines as `inner` does, or a line `log.unwritable` where `inner` raises."""

    def __init__(self, inner: logging.Formatter, *, is_json: bool) -> None:
        super().__init__()
        self._inner = inner
        self._json = is_json

    @property
    def is_json(self) -> bool:
        """Whether lines are JSON."""
        return self._json

    def format(self, record: logging.LogRecord) -> str:
        """Return the line that shows one record."""
        try:
            return self._inner.format(record)
        except Exception as error:
            fields = {
                "event": "log.unwritable",
                "level": record.levelname.lower(),
                "logger": record.name,
                "text": cut(str(plain(record.msg)), MOST),
                "error": type(error).__name__,
            }
            if self._json:
                return json.dumps(fields)
            return " ".join(f"{name}={value!r}" for name, value in fields.items())


def _formatter(style: str) -> logging.Formatter:
    adopt_structlog()
    if style == "json":
        return Formatter(_Json(), is_json=True)
    inner = _Plain() if find_spec("structlog") is None else _ForPeople()
    return Formatter(inner, is_json=False)


def _in_colour() -> bool:
    """Tell whether stderr is a terminal that shows colours, and the user has not said NO_COLOR."""
    return sys.stderr is not None and sys.stderr.isatty() and not is_without_colour()


def _add_fields(_: Any, __: str, event: Fields) -> Fields:
    record = event.get("_record")
    if record is not None:
        for name, value in fields_of(record).items():
            event[f"{name}_" if name in _RESERVED else name] = value
        if record.exc_text and not record.exc_info:
            # A traceback that came as text, from a child process; the formatter takes it from the record after this.
            event["exception"] = record.exc_text
    return event


def _add_exception(_: Any, __: str, event: Fields) -> Fields:
    raised = event.pop("exc_info", None)
    if raised is True:
        raised = sys.exc_info()
    elif isinstance(raised, BaseException):
        raised = (type(raised), raised, raised.__traceback__)
    if isinstance(raised, tuple) and raised[0] is not None:
        # Without the values of local variables: there may be secrets among them.
        event["exception"] = "".join(traceback.format_exception(*raised)).rstrip("\n")
    if stack := event.pop("stack_info", None):
        event.setdefault("stack", stack)
    return event


def _for_machines(event: Fields) -> Fields:
    return {str(name): portable(discreet(name, value), _most(name)) for name, value in event.items()}


def _most(name: str) -> int:
    return MOST_OF_BLOCK if name in _BLOCKS else MOST


def _for_people(_: Any, __: str, event: Fields) -> Fields:
    return {_name(name): _shown(name, value) for name, value in event.items()}


def _name(name: object) -> str:
    """Return a field's name, quoted if it would look like several fields."""
    text = escaped(str.__str__(name) if isinstance(name, str) else repr(name))
    return cut(text if _WORD.fullmatch(text) else repr(text), MOST)


def _shown(name: str, value: Any) -> Any:
    value = discreet(name, value)
    if name in _BLOCKS and isinstance(value, str):
        return indented(cut(value, MOST_OF_BLOCK))
    shown = plain(value)
    return cut(shown, MOST) if isinstance(shown, str) else shown


class _ForPeople(logging.Formatter):
    """Has structlog render lines, which it loads for the first of them.

    With rich, which structlog loads, it is a fifth of a boot and 6 MB, and a worker may have nothing to say.
    """

    def __init__(self) -> None:
        super().__init__()
        self._colors = _in_colour()
        self._inner: logging.Formatter | None = None

    def format(self, record: logging.LogRecord) -> str:
        """Return one line, with a traceback and other blocks below it."""
        self._inner = self._inner or self._structlogs()
        return self._inner.format(record)

    def _structlogs(self) -> logging.Formatter:
        import structlog  # noqa: PLC0415 - an extra

        renderer = structlog.dev.ConsoleRenderer(
            colors=self._colors, pad_event_to=18, exception_formatter=structlog.dev.plain_traceback
        )
        return structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.stdlib.add_log_level,
                structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
                _add_fields,
            ],
            processors=[
                _add_exception,
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _for_people,
                renderer,
            ],
        )


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """Return one line of JSON: what happened, where, how bad it is and when, and the fields."""
        event: Fields = {
            "event": record.getMessage(),
            "logger": record.name,
            "level": record.levelname.lower(),
            "timestamp": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
            "exc_info": record.exc_info,
            "stack_info": record.stack_info,
            "_record": record,
        }
        if isinstance(record.msg, dict) and hasattr(record, "_logger"):
            # From a structlog that the user's code has configured, to leave the line to the handler.
            event.update(record.msg)
        else:
            event = _add_fields(None, "", event)
        del event["_record"]
        # JSON escapes by itself: everything but ASCII.
        return json.dumps(_for_machines(_add_exception(None, "", event)))


class _Plain(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """Return one line: time, level, event and fields."""
        level, event = escaped(record.levelname.lower()), cut(escaped(record.getMessage()), MOST)
        line = f"{self.formatTime(record)} {level} {event}"
        for name, value in fields_of(record).items():
            shown = repr(str.__str__(value)) if isinstance(value, str) else str(plain(value))
            line += f" {_name(name)}={cut(shown, MOST)}"
        exception = self.formatException(record.exc_info) if record.exc_info else record.exc_text
        for block in (exception, record.stack_info):
            if block:
                line += f"\n{indented(cut(block, MOST_OF_BLOCK))}"
        return line
