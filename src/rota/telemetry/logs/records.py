"""Records of the log on their way: their fields, from structlog's loggers, and from a child process to its parent."""

import contextlib
import logging
import traceback
from collections.abc import Callable, MutableMapping
from typing import Any

from rota.telemetry.logs.escaping import cut, portable

#: What every record has; the rest are the fields that a call gave in `extra`.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
#: Of a field, and of a traceback, so many characters are shown.
MOST, MOST_OF_BLOCK = 10_000, 40_000


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """The fields that were logged beside the event's name."""
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}


class Teller(logging.Handler):
    """In a child process: sends every record to the parent, by `send`."""

    def __init__(self, send: Callable[[dict[str, Any]], None]) -> None:
        super().__init__()
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        """Send it; what cannot be sent is nobody's fault in the job."""
        with contextlib.suppress(Exception):
            self._send({"log": _told(record)})


def retell(told: dict[str, Any]) -> None:
    """In the parent: log what a child has told, as if it had happened here."""
    logger = logging.getLogger(told["name"])
    if logger.isEnabledFor(told["levelno"]):
        fields = told.pop("fields")
        logger.handle(
            logging.makeLogRecord({**fields, **told, "levelname": logging.getLevelName(told["levelno"])})
        )


def _told(record: logging.LogRecord) -> dict[str, Any]:
    try:
        message = record.getMessage()
    except Exception:
        message = f"{record.msg} (its arguments do not fit)"
    raised = record.exc_info
    error = "".join(traceback.format_exception(*raised)).rstrip("\n") if raised and raised[0] else None
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
    """What is logged by structlog itself goes the way of all records, unless the program configured it.

    By itself it would print the values of variables, and text as it is.
    """
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
    ways = {name: event.pop(name) for name in ("exc_info", "stack_info") if name in event}
    call = (event.pop("event", ""), *event.pop("positional_args", ()))
    fields = {f"{name}_" if name in _STANDARD else name: value for name, value in event.items()}
    return call, {**ways, "extra": fields}
