"""The output of commands: tables for people, tab-separated lines for a pipe, and no control of the terminal.

Data of jobs (ids, errors, messages, payloads) is shown as text: without markup, and with control and bidirectional
characters escaped.
"""

import sys
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic_core import to_json
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rota.model.info import JobInfo
from rota.names import printable


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
    """Print a value as JSON, on one line."""
    say(to_json(result, fallback=str).decode())


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows under their columns; the first column is never cut."""
    shown = [[safe(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        for line in (columns, *shown):
            sys.stdout.write("\t".join(line) + "\n")
        return
    grid = Table()
    for index, column in enumerate(columns):
        grid.add_column(column, no_wrap=index == 0, overflow="fold")
    for row in shown:
        grid.add_row(*(Text(cell) for cell in row))
    Console(highlight=False).print(grid)


def details(info: JobInfo) -> None:
    """Print everything that is known of one job, one field a line."""
    for name in JobInfo.__dataclass_fields__:
        found = getattr(info, name)
        if found not in (None, ""):
            sys.stdout.write(f"{name:<12} {safe(f'{found:g}' if isinstance(found, float) else found)}\n")
    if info.error is not None and info.error.traceback:
        for line in info.error.traceback.splitlines():
            sys.stdout.write(f"  {safe(line)}\n")
