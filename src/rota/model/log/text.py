"""The log of a job as text for people: the audit table's column, and what `rota log` shows."""

from collections.abc import Iterable, Iterator
from typing import Any

from pydantic_core import to_json

from rota.model.log.lines import LogLine


def as_text(lines: Iterable[LogLine]) -> str:
    """Return lines as one text, of a row or more for each."""
    return "\n".join(rows_of(lines))


def rows_of(lines: Iterable[LogLine], last: LogLine | None = None) -> Iterator[str]:
    """Yield rows of text: a head for each attempt, a row for each line, and a row where lines were left out.

    `last` is the line that was shown before, of which the head need not be shown again. What goes on for several rows,
    as a traceback does, is indented.
    """
    for line in lines:
        if last is None or (last.attempt, last.started_at) != (line.attempt, line.started_at):
            yield f"attempt {line.attempt}, {line.started_at:%Y-%m-%d %H:%M:%S} UTC"
        if line.left_out:
            yield f"… {line.left_out} line{'s' if line.left_out > 1 else ''} left out …"
        yield from _rows(line)
        last = line


def _rows(line: LogLine) -> Iterator[str]:
    blocks = {name: value for name, value in line.fields.items() if isinstance(value, str) and "\n" in value}
    beside = "".join(f" {name}={_shown(value)}" for name, value in line.fields.items() if name not in blocks)
    first, *more = f"{line.message}{beside}".split("\n")
    yield f"{line.at:%H:%M:%S}.{line.at.microsecond // 1000:03} {line.level:<7} {first}"
    for row in more:
        yield f"    {row}"
    for block in blocks.values():
        for row in block.split("\n"):
            yield f"    {row}"


def _shown(value: Any) -> str:
    if isinstance(value, str) and value.isprintable() and not set(value) & set(' ="'):
        return value
    return to_json(value, fallback=str).decode()
