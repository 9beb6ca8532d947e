"""What a worker and its child processes write to each other: frames of JSON, nothing pickled.

A frame is the lengths of its two parts, a small JSON head, and a body that neither side encodes again.

    worker → child   {"module", "qualname", "run", "result_limit", "log_level"}, and the arguments
    child → worker   {"ready"}                 once, when it has booted
                     {"percent", "message"}    progress
                     {"checkpoint"}            and what the handler saved
                     {"log"}                   a log record
                     {"result"}                and the result: the end of the job
                     {"signal"} or {"error"}   and the error as a final record has it: the end of the job, too
"""

import json
import struct
from typing import Any

from rota.errors import (
    Cancel,
    InvalidPayload,
    InvalidResult,
    RemoteError,
    ResultTooLarge,
    Retry,
    Signal,
    Snooze,
)
from rota.model.job import Job
from rota.wire.results import error_of

#: The lengths that a frame begins with: of its head, and of its body.
LENGTHS = struct.Struct("!II")


def frame(head: dict[str, Any], body: bytes = b"") -> bytes:
    """Return one frame: the lengths, the head as JSON, the body."""
    raw = json.dumps(head).encode()
    return LENGTHS.pack(len(raw), len(body)) + raw + body


def describe(error: BaseException, job: Job[Any, Any] | None) -> dict[str, Any]:
    """Return what the worker must know of `error` to judge it: the classes of a child's errors are not sent."""
    match error:
        case Retry():
            return {"signal": "retry", "delay": error.delay, "reason": error.reason}
        case Snooze():
            return {"signal": "snooze", "delay": error.delay}
        case Cancel():
            return {"signal": "cancel", "reason": error.reason}
        case InvalidPayload() | InvalidResult():
            return {"error": type(error).__name__, "job": error.job, "problems": error.problems}
        case ResultTooLarge():
            return {"error": "ResultTooLarge", "job": error.job, "size": error.size, "limit": error.limit}
    hopeless = job is not None and isinstance(error, job.give_up_on)
    wanted = job is None or job.retry_on is None or isinstance(error, job.retry_on)
    return {"error": "", "may_retry": wanted and not hopeless}


def revive(head: dict[str, Any], body: bytes) -> Exception:
    """Return the exception that `describe` described; `body` is the error as `encode_error` wrote it."""
    return _signal(head) if "signal" in head else _error(head, body)


def _signal(head: dict[str, Any]) -> Signal:
    match head["signal"]:
        case "retry":
            return Retry(head["delay"], head["reason"])
        case "snooze":
            return Snooze(head["delay"])
    return Cancel(head["reason"])


def _error(head: dict[str, Any], body: bytes) -> Exception:
    match head["error"]:
        case "InvalidPayload":
            return InvalidPayload(head["job"], head["problems"])
        case "InvalidResult":
            return InvalidResult(head["job"], head["problems"])
        case "ResultTooLarge":
            return ResultTooLarge(head["job"], head["size"], head["limit"])
    error = error_of(body)
    return RemoteError(
        error.type, error.message, error.traceback, cause=error.cause, may_retry=head["may_retry"]
    )
