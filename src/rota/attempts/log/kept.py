"""The lines of one attempt that are kept: which ones, and which of them Redis has yet to be told of.

The first lines say what the attempt began with, and the last ones what it came to; those between them go where there
are too many. Lines go in pieces, each of them once: a piece that was handed out takes no more lines, and one that has
to go is removed as a whole.
"""

import threading
from collections import deque
from dataclasses import dataclass, field
from itertools import chain

from rota.wire.log.pieces import NOTHING_NEW, Piece, content, sent

#: The most that is kept of one attempt: lines, and bytes.
MOST_LINES, MOST_BYTES = 200, 65_536
#: The lines that an attempt begins with stay: as many as this, in this many bytes.
FIRST_LINES, FIRST_BYTES = 20, 16_384
#: The most lines of a piece, and the bytes with which it takes no more.
_LINES, _BYTES = 20, 4096


@dataclass(slots=True)
class _Piece:
    """Some lines in a row: `last` is the number of the last one, `name` its name once it was handed out."""

    lines: list[bytes] = field(default_factory=list)
    count: int = 0
    size: int = 0
    last: int = 0
    name: bytes = b""
    is_written: bool = False


class AttemptLog:
    """The log of one attempt; several threads may add to it.

    :param enqueued_ms: when the job was enqueued.
    :param started_ms: when the attempt was claimed.
    :param attempt: its number.
    """

    def __init__(self, enqueued_ms: int, started_ms: int, attempt: int) -> None:
        self._of = (enqueued_ms, started_ms, attempt)
        self._lock = threading.Lock()
        self._count = 0
        self._lines = 0
        self._bytes = 0
        self._heads: list[_Piece] = []
        self._tail: deque[_Piece] = deque()
        self._open: _Piece | None = None
        self._gone: list[bytes] = []
        self._under_way: list[_Piece] = []
        self._gone_under_way = 0
        self._closed = False

    def add(self, line: bytes) -> None:
        """Add a line, as JSON. What is logged once the attempt is settled comes too late."""
        with self._lock:
            if self._closed:
                return
            self._count += 1
            piece = self._open or self._begin(len(line))
            piece.lines.append(line)
            piece.count += 1
            piece.size += len(line) + 1
            piece.last = self._count
            self._lines += 1
            self._bytes += len(line) + 1
            if piece.count >= _LINES or piece.size >= _BYTES:
                self._open = None
            while self._tail and (self._lines > MOST_LINES or self._bytes > MOST_BYTES):
                self._drop()

    def unwritten(self) -> bytes:
        """Return what Redis has yet to be told, as the scripts take it; empty for nothing."""
        with self._lock:
            return self._unwritten()

    def answered(self, is_written: bool) -> None:
        """Take note whether Redis has what `unwritten` returned last. Without an answer it may have it or not."""
        with self._lock:
            if is_written:
                for piece in self._under_way:
                    piece.is_written = True
                    piece.lines = []
                del self._gone[: self._gone_under_way]
            else:
                self._take_back()
            self._under_way, self._gone_under_way = [], 0

    def close(self) -> bytes:
        """Take no more lines, and return what the settlement is to tell Redis."""
        with self._lock:
            self._closed = True
            return self._unwritten() or NOTHING_NEW

    def _begin(self, size: int) -> _Piece:
        piece = self._open = _Piece()
        is_first = not self._tail and self._count <= FIRST_LINES and self._bytes + size <= FIRST_BYTES
        (self._heads if is_first else self._tail).append(piece)
        return piece

    def _drop(self) -> None:
        piece = self._tail.popleft()
        self._lines -= piece.count
        self._bytes -= piece.size
        if piece.name:
            self._gone.append(piece.name)
        if piece is self._open:
            self._open = None

    def _take_back(self) -> None:
        # Else all that comes and goes while Redis is full would have to be removed once it takes logs again.
        names = {piece.name for piece in self._under_way}
        self._gone = [name for name in self._gone if name not in names]
        for piece in self._under_way:
            piece.name = b""

    def _unwritten(self) -> bytes:
        self._open = None
        self._under_way = [piece for piece in chain(self._heads, self._tail) if not piece.is_written]
        self._gone_under_way = len(self._gone)
        pieces = [(self._name(piece), content(piece.lines)) for piece in self._under_way]
        return sent((*pieces, *((name, b"") for name in self._gone)))

    def _name(self, piece: _Piece) -> bytes:
        piece.name = piece.name or Piece(*self._of, piece.last, piece.size + 1).wire()
        return piece.name
