"""Builds the Sentry event of an error in a child process from its text: its type, its message and its frames.

What a child logs is sent when it is logged, and not once more when it ends the attempt.
"""

import re
from typing import Any

from rota.errors import RemoteError

_TRACEBACK = "Traceback (most recent call last):\n"
#: What was sent of attempts that have not ended, by id and number; the oldest are forgotten first.
_MOST = 1000
_sent: dict[tuple[str, int], str] = {}
_FRAME = re.compile(r'^ +File "(.+)", line (\d+), in (.+)(?:\n {4,}(.+))?', re.MULTILINE)


def event_of(error: RemoteError, mechanism: dict[str, Any]) -> dict[str, Any]:
    """Return a Sentry event with the child's frames. Sentry groups by frames, and the parent's are always the same."""
    module, _, kind = error.type.rpartition(".")
    value: dict[str, Any] = {"type": kind, "value": error.message, "mechanism": mechanism}
    if module:
        value["module"] = module
    if error.traceback:
        value["stacktrace"] = {"frames": frames_of(error.traceback)}
    return {"exception": {"values": [value]}, "extra": {"traceback": error.traceback or ""}}


def event_of_text(text: str, mechanism: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a Sentry event that shows an error of which the traceback is known, and no more."""
    kind, _, message = _last_line(text).partition(": ")
    module, _, kind = kind.rpartition(".")
    value = {"type": kind, "value": message, "module": module or None, "mechanism": mechanism}
    return {"exception": {"values": [{**value, "stacktrace": {"frames": frames_of(text)}}]}}


def remember(job_id: str, attempt: int, text: str) -> None:
    """Note that an error of an attempt was sent when its child process logged it; `text` is its traceback."""
    _sent[job_id, attempt] = _last_line(text)
    while len(_sent) > _MOST:
        del _sent[next(iter(_sent))]


def was_sent(job_id: str, attempt: int, error: RemoteError) -> bool:
    """Tell whether the error that ended an attempt was sent before, when it was logged."""
    sent = _sent.pop((job_id, attempt), None)
    return sent is not None and sent == _last_line(error.traceback or f"{error.type}: {error.message}")


def _last_line(text: str) -> str:
    return text.rstrip().rpartition("\n")[2]


def frames_of(text: str) -> list[dict[str, Any]]:
    """Return the frames of the last exception in the text of a traceback."""
    return [_frame(*found.groups()) for found in _FRAME.finditer(text.rpartition(_TRACEBACK)[2])]


def _frame(path: str, line: str, function: str, source: str | None) -> dict[str, Any]:
    foreign = "site-packages" in path or path.startswith("<") or "/rota/attempts/off_loop/child.py" in path
    frame = {
        "filename": path.rpartition("/")[2],
        "abs_path": path,
        "lineno": int(line),
        "function": function,
        "in_app": not foreign,
    }
    return frame if source is None else {**frame, "context_line": source}
