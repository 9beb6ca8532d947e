"""What commands print: tables for people, tab-separated lines for a pipe, and nothing that a terminal would obey.

Whatever comes from jobs (ids, errors, messages, payloads) is shown as text: no markup, and control and bidirectional
characters spelt out.
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
    """One line."""
    sys.stdout.write(safe(line) + "\n")


def safe(value: object) -> str:
    """`value` as text that does nothing to a terminal."""
    text = printable(str(value))
    return "".join(char if char.isprintable() else _spelt(char) for char in text)


def _spelt(char: str) -> str:
    return char.encode("unicode_escape", "backslashreplace").decode("ascii")


def value(result: Any) -> None:
    """A JSON value, on one line."""
    say(to_json(result, fallback=str).decode())


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Rows under their columns; the first column is never cut."""
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
    """Everything that is known of one job, a line each."""
    for name in JobInfo.__dataclass_fields__:
        found = getattr(info, name)
        if found not in (None, ""):
            sys.stdout.write(f"{name:<12} {safe(f'{found:g}' if isinstance(found, float) else found)}\n")
    if info.error is not None and info.error.traceback:
        for line in info.error.traceback.splitlines():
            sys.stdout.write(f"  {safe(line)}\n")
