"""The lines of a job's log, read from the pieces that lie in Redis."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rota.wire.log.pieces import Piece, read_lines

_POSITION = re.compile(r"(\d{1,15})-(\d{1,9})")
#: The position before all lines.
START = "0-0"
_BEGIN = (0, 0)


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line that the handler of a job has logged. Times are in UTC.

    :param at: when it was logged, by the worker's clock.
    :param level: `info`, `warning`, `error` or `critical`.
    :param message: the text, or the event's name.
    :param fields: what was logged beside it; a traceback is in `exception`.
    :param attempt: the number of the attempt. An attempt that did not count (snoozed, interrupted, lost) and the next
        one have the same.
    :param started_at: when that attempt started, by the server's clock; this tells such attempts apart.
    :param number: counts the lines of an attempt from 1.
    :param left_out: how many lines of the attempt were between the line before this one and this one, and are not kept.
    :param position: the place of the line, from which `Client.log` reads on.
    """

    at: datetime
    level: str
    message: str
    fields: Mapping[str, Any]
    attempt: int
    started_at: datetime
    number: int
    left_out: int
    position: str


def place_of(position: str | None) -> tuple[int, int]:
    """Return a position as two numbers that sort as the lines do. Raises ValueError for another text."""
    if position is None:
        return _BEGIN
    found = _POSITION.fullmatch(position)
    if found is None:
        raise ValueError(
            f"the position {position!r} is not one of a line; take that of a line: line.position"
        )
    return int(found[1]), int(found[2])


def later(names: Iterable[bytes], after: tuple[int, int] = _BEGIN) -> list[bytes]:
    """Return the names of the pieces that have lines behind a place, in their order.

    Where a former job of the same id had a log, only the later job's is looked at.
    """
    known = [(piece, name) for name in names if (piece := Piece.read(name)) is not None]
    if not known:
        return []
    newest = max(known, key=lambda one: _place(one[0]))[0].enqueued_ms
    found = [one for one in known if one[0].enqueued_ms == newest and _place(one[0]) > after]
    return [name for _, name in sorted(found, key=lambda one: _place(one[0]))]


def lines_of(
    names: Sequence[bytes], contents: Iterable[bytes | None], after: tuple[int, int] = _BEGIN
) -> list[LogLine]:
    """Return the lines of pieces behind a place; the pieces are in their order, and those that are gone are None."""
    lines: list[LogLine] = []
    before = after
    for name, raw in zip(names, contents, strict=True):
        piece = Piece.read(name)
        if piece is None or raw is None:
            continue
        rows = read_lines(raw)
        for number, row in enumerate(rows, piece.last - len(rows) + 1):
            place = (piece.started_ms, number)
            if place <= before:
                continue
            known = before[1] if before[0] == piece.started_ms else 0
            lines.append(
                LogLine(
                    _time(row.at_ms),
                    row.level,
                    row.message,
                    row.fields,
                    piece.attempt,
                    _time(piece.started_ms),
                    number,
                    number - known - 1,
                    f"{piece.started_ms}-{number}",
                )
            )
            before = place
    return lines


def _place(piece: Piece) -> tuple[int, int]:
    return piece.started_ms, piece.last


def _time(ms: float) -> datetime:
    try:
        return datetime.fromtimestamp(ms / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(0, UTC)
