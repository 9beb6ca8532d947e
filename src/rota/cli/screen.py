"""The output of commands: tables for people, tab-separated lines for a pipe, and no control of the terminal.

Data of jobs (ids, errors, messages, payloads) is shown as text: without markup, and with control and bidirectional
characters escaped.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any

from pydantic_core import to_json

from rota.errors import JobError
from rota.model.info import FailureGroup, JobInfo
from rota.names import printable

#: The least width of a column of text that is folded.
_NARROW = 20


def say(line: str) -> None:
    """Print one line, with control characters escaped."""
    sys.stdout.write(safe(line) + "\n")


def safe(value: object) -> str:
    """Return `value` as text without control of the terminal."""
    text = printable(str(value))
    return "".join(char if char.isprintable() else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    return char.encode("unicode_escape", "backslashreplace").decode("ascii")


def value(result: Any) -> None:
    """Print a value as JSON, on one line, with what controls a terminal escaped as JSON escapes it."""
    text = to_json(result, fallback=str).decode()
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = "".join(one if one.isascii() else json.dumps(one)[1:-1] for one in text)
    sys.stdout.write("".join(one if one.isprintable() else json.dumps(one)[1:-1] for one in text) + "\n")


def flush() -> None:
    """Hand on what was printed, though more will follow."""
    sys.stdout.flush()


def answer(result: Any, said: str, as_json: bool) -> None:
    """Print what came of a command: for programs as JSON, for people as it is `said`."""
    if as_json:
        value(result)
    else:
        say(said)


def note(line: str) -> None:
    """Print a line beside the output, which a program that reads the output does not get."""
    sys.stderr.write(safe(line) + "\n")


def warn(line: str) -> None:
    """Print a warning of one line, beside the output."""
    note(f"rota: warning: {line}")


def as_json(info: JobInfo) -> dict[str, Any]:
    """Return everything that is known of a job as values of JSON."""
    known = {name: getattr(info, name) for name in JobInfo.__dataclass_fields__}
    known["job"] = info.job
    if info.error is not None:
        known["error"] = _error(info.error)
    known["refused"] = info.refused and info.refused.reason
    known["failures"] = [
        {"attempt": one.attempt, "at": one.at, "error": _error(one.error)} for one in info.failures
    ]
    return known


def group_as_json(group: FailureGroup) -> dict[str, Any]:
    """Return a group of dead letters as JSON shows it, its error without the traceback."""
    known = {one.name: getattr(group, one.name) for one in fields(group)}
    return known | {"error": {"type": group.error.type, "message": group.error.message}}


def _error(error: JobError) -> dict[str, str | None]:
    return {"type": error.type, "message": error.message, "traceback": error.traceback, "cause": error.cause}


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows under their columns; the first column is never cut."""
    shown = [[safe(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        for line in (columns, *shown):
            sys.stdout.write("\t".join(line) + "\n")
        return
    # Most commands draw no table, or none for a terminal, and these take as long to load as all else of this module.
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console = Console(highlight=False)
    if _needed(columns, shown) > console.width:
        _records(columns, shown)
        return
    grid = Table()
    for index, column in enumerate(columns):
        grid.add_column(column, no_wrap=index == 0, overflow="fold")
    for row in shown:
        grid.add_row(*(Text(cell) for cell in row))
    console.print(grid)


def _needed(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """Return the width below which a table is hard to read; the last column may be folded."""
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    return sum(width + 3 for width in (*widths[:-1], min(widths[-1], _NARROW))) + 1


def _records(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print each row as lines of its own, one for each column that has something to say."""
    broad = max(map(len, columns))
    for number, row in enumerate(rows):
        if number:
            sys.stdout.write("\n")
        for column, cell in zip(columns, row, strict=True):
            if cell:
                sys.stdout.write(f"{column:<{broad}}  {cell}\n")


def details(info: JobInfo) -> None:
    """Print everything that is known of one job, one field a line."""
    for field in JobInfo.__dataclass_fields__:
        # The name that the job has everywhere else.
        name = "job" if field == "task" else field
        found = getattr(info, name)
        if found not in (None, "", ()) and name != "failures":
            sys.stdout.write(f"{name:<12} {safe(f'{found:g}' if isinstance(found, float) else found)}\n")
    for failure in info.failures:
        sys.stdout.write(
            f"attempt {failure.attempt:<4} {failure.at:%Y-%m-%d %H:%M:%S} {safe(failure.error)}\n"
        )
    if info.error is not None and info.error.traceback:
        for line in info.error.traceback.splitlines():
            sys.stdout.write(f"  {safe(line)}\n")
