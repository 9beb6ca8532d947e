"""Log records on their way: the fields beside the event, records from structlog, records from a child process."""

import contextlib
import logging
import sys
import traceback
from collections.abc import Callable, MutableMapping
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

from rota.telemetry.logs.escaping import cut, portable

#: The attributes of every record; all others are fields that a call gave in `extra`.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
#: The most characters that are shown of a field, and of a traceback.
MOST, MOST_OF_BLOCK = 10_000, 40_000


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """Return the fields that were logged beside the event's name."""
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}


def write(
    logger: logging.Logger, level: int, name: str, fields: dict[str, Any], *, trace: str | None = None
) -> None:
    """Log one line, with a traceback that is text: without our own frames, or from a child process."""
    record = logger.makeRecord(logger.name, level, __file__, 0, name, (), None, extra=fields)
    record.exc_text = trace
    logger.handle(record)


class Teller(logging.Handler):
    """The handler of a child process: hands every record to `send`, for the parent."""

    def __init__(self, send: Callable[[dict[str, Any]], None]) -> None:
        super().__init__()
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        """Send the record. A record that cannot be sent must not fail the job."""
        with contextlib.suppress(Exception):
            self._send({"log": _told(record)})


def retell(told: dict[str, Any]) -> None:
    """Log, in the parent, a record that a child process sent."""
    logger = logging.getLogger(told["name"])
    if logger.isEnabledFor(told["levelno"]):
        fields = told.pop("fields")
        logger.handle(
            logging.makeLogRecord({**fields, **told, "levelname": logging.getLevelName(told["levelno"])})
        )


def message_of(record: logging.LogRecord) -> str:
    """Return the message of a record, also where its arguments do not fit."""
    try:
        return record.getMessage()
    except Exception:
        return f"{record.msg} (its arguments do not fit)"


def trace_of(record: logging.LogRecord) -> str | None:
    """Return the traceback of a record as text, if it has one."""
    raised = record.exc_info
    if raised and raised[0]:
        # Without the values of local variables: there may be secrets among them.
        return "".join(traceback.format_exception(*raised)).rstrip("\n")
    return record.exc_text


def _told(record: logging.LogRecord) -> dict[str, Any]:
    message, error = message_of(record), trace_of(record)
    return {
        "name": record.name,
        "levelno": record.levelno,
        "created": record.created,
        "msg": cut(message, MOST),
        "exc_text": error and cut(error, MOST_OF_BLOCK),
        "stack_info": record.stack_info and cut(record.stack_info, MOST_OF_BLOCK),
        "fields": {str(name): portable(value, MOST) for name, value in fields_of(record).items()},
    }


def adopt_structlog() -> None:
    """Route what is logged through structlog, now or once it is imported, into the standard library's logging.

    By default structlog would print the values of local variables, and text without escaping it. A program that has
    configured it keeps its own configuration.
    """
    if "structlog" in sys.modules:
        _configure()
    elif not any(isinstance(finder, _Import) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Import())


class _Import:
    """A finder of modules that waits for the import of structlog: a worker whose jobs do without it never loads it."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Find structlog as Python does, and have it configured once it is loaded; leave all else to other finders."""
        spec = PathFinder.find_spec(name) if name == "structlog" else None
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def load_and_configure(module: ModuleType) -> None:
                load(module)
                _configure()

            spec.loader.exec_module = load_and_configure  # type: ignore[method-assign]
        return spec


def _configure() -> None:
    import structlog  # noqa: PLC0415 - an extra

    if not structlog.is_configured():
        structlog.configure(
            processors=[
                structlog.stdlib.filter_by_level,
                structlog.contextvars.merge_contextvars,
                _as_record,
            ],
            wrapper_class=structlog.stdlib.BoundLogger,
            logger_factory=structlog.stdlib.LoggerFactory(),
        )


def _as_record(_: Any, __: str, event: MutableMapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    own = {name: event.pop(name) for name in ("exc_info", "stack_info") if name in event}
    call = (event.pop("event", ""), *event.pop("positional_args", ()))
    fields = {f"{name}_" if name in _STANDARD else name: value for name, value in event.items()}
    return call, {**own, "extra": fields}
