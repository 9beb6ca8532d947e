"""Builds the Sentry event of an error in a child process from its text: its type, its message and its frames."""

import re
from typing import Any

from rota.errors import RemoteError

_TRACEBACK = "Traceback (most recent call last):\n"
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


def frames_of(text: str) -> list[dict[str, Any]]:
    """Return the frames of the last exception in the text of a traceback."""
    return [_frame(*found.groups()) for found in _FRAME.finditer(text.rpartition(_TRACEBACK)[2])]


def _frame(path: str, line: str, function: str, source: str | None) -> dict[str, Any]:
    foreign = "site-packages" in path or path.startswith("<") or "/rota/attempts/child.py" in path
    frame = {
        "filename": path.rpartition("/")[2],
        "abs_path": path,
        "lineno": int(line),
        "function": function,
        "in_app": not foreign,
    }
    return frame if source is None else {**frame, "context_line": source}
