"""The lines of a log, read from pieces: in their order, behind a place, and as text."""

from datetime import UTC, datetime

import pytest

from rota.model.log.lines import LogLine, later, lines_of, place_of
from rota.model.log.text import as_text, rows_of
from rota.wire.log.pieces import Piece, content

AT = 1_767_225_600_000


def piece(
    last: int, *messages: str, started: int = AT, attempt: int = 1, enqueued: int = 5
) -> tuple[bytes, bytes]:
    lines = [b'[%d,"info","%b"]' % (AT, message.encode()) for message in messages]
    return Piece(enqueued, started, attempt, last, 30).wire(), content(lines)


def read(pieces: dict[bytes, bytes], after: str | None = None) -> list[LogLine]:
    place = place_of(after)
    names = later(pieces, place)
    return lines_of(names, map(pieces.get, names), place)


def test_pieces_are_read_in_the_order_of_attempts_and_lines_whatever_order_they_lie_in() -> None:
    lines = read(
        dict(
            [
                piece(12, "k", "l", started=AT + 5),
                piece(2, "a", "b"),
                piece(1, "d", started=AT + 9, attempt=2),
            ]
        )
    )
    assert [(line.attempt, line.number, line.message, line.left_out) for line in lines] == [
        (1, 1, "a", 0),
        (1, 2, "b", 0),
        (1, 11, "k", 10),
        (1, 12, "l", 0),
        (2, 1, "d", 0),
    ]
    assert lines[0].at == lines[0].started_at == datetime.fromtimestamp(AT / 1000, UTC)


def test_behind_a_place_no_other_piece_is_looked_at() -> None:
    pieces = dict([piece(2, "a", "b"), piece(4, "c", "d"), piece(9, "i")])
    second = read(pieces)[1]
    assert len(later(pieces, place_of(second.position))) == 2
    assert [(line.number, line.left_out) for line in read(pieces, second.position)] == [
        (3, 0),
        (4, 0),
        (9, 4),
    ]
    assert [line.number for line in read(pieces, read(pieces)[2].position)] == [4, 9]
    assert read(pieces, read(pieces)[-1].position) == []


def test_of_two_jobs_with_one_id_the_later_one_s_is_read() -> None:
    lines = read(dict([piece(1, "former"), piece(1, "later", started=AT + 1, enqueued=6)]))
    assert [line.message for line in lines] == ["later"]


@pytest.mark.parametrize("raw", [b"", b"{}", b"[", b"[[]]", b'[["x","info","m"]]', b"\xff", b"[" * 100_000])
def test_what_cannot_be_read_stops_nothing(raw: bytes) -> None:
    good, (name, _) = piece(1, "a"), piece(2, "b")
    assert read({good[0]: good[1], name: raw, b"no name": b"[]"})[0].message == "a"
    assert lines_of([good[0], b"no name", name], [good[1], b"[]", None]) == read(dict([good]))


@pytest.mark.parametrize("position", ["", "1", "1-", "x-1", "1-1-1", "1" * 30 + "-1"])
def test_another_text_than_a_position_is_refused(position: str) -> None:
    with pytest.raises(ValueError, match=r"take that of a line: line\.position"):
        place_of(position)


def line(**changes: object) -> LogLine:
    at = datetime(2026, 1, 1, 0, 0, 0, 5000, UTC)
    fields = {"at": at, "level": "info", "message": "m", "fields": {}, "attempt": 1, "started_at": at}
    return LogLine(**{**fields, "number": 1, "left_out": 0, "position": "1-1", **changes})  # type: ignore[arg-type]


def test_the_text_has_a_head_for_each_attempt_and_says_what_is_left_out() -> None:
    later_start = datetime(2026, 1, 1, 0, 1, tzinfo=UTC)
    lines = [
        line(fields={"to": "ann", "text": "two words", "n": 1, "exception": "Traceback\n  File"}),
        line(left_out=12, message="a\nb"),
        line(attempt=2, started_at=later_start, left_out=1, level="warning"),
    ]
    assert as_text(lines).splitlines() == [
        "attempt 1, 2026-01-01 00:00:00 UTC",
        '00:00:00.005 info    m to=ann text="two words" n=1',
        "    Traceback",
        "      File",
        "… 12 lines left out …",
        "00:00:00.005 info    a",
        "    b",
        "attempt 2, 2026-01-01 00:01:00 UTC",
        "… 1 line left out …",
        "00:00:00.005 warning m",
    ]
    assert next(rows_of(lines[1:2], lines[0])) == "… 12 lines left out …"
