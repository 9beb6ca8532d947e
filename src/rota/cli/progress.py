"""How far a long command has come: a line on the terminal, written over and over; and what is said at Ctrl-C."""

import sys
import time
from asyncio import CancelledError
from types import TracebackType
from typing import Self

from rota.cli import screen

#: For how long nothing is shown, and how often the line is written at most, in seconds.
AFTER, EVERY = 0.5, 0.1
_ERASE = "\r\x1b[K"


class Progress:
    """The line of one command. It is shown on a terminal alone, beside the output, and is gone when the command ends.

    :param doing: what is counted, as "dead letters brought back".
    :param quiet: show nothing and say nothing, as for programs.
    :param left: what is said of the rest where the command is stopped by Ctrl-C.
    :param after: a command that is done within this time shows nothing, in seconds.
    """

    def __init__(self, doing: str, *, quiet: bool = False, left: str = "", after: float = AFTER) -> None:
        self._doing = doing
        self._quiet = quiet
        self._left = left
        self._after = after
        self._is_watched = not quiet and sys.stderr.isatty()
        self._done, self._of = 0, 0
        self._due = 0.0
        self._is_shown = False

    def __enter__(self) -> Self:
        self._due = time.monotonic() + self._after
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_shown:
            sys.stderr.write(_ERASE)
            sys.stderr.flush()
        if kind is not None and issubclass(kind, CancelledError | KeyboardInterrupt) and not self._quiet:
            screen.note(f"stopped: {self._said()}{self._left}")

    def counted(self, more: int) -> None:
        """Add so much to what is done, of what nobody knows how much there is."""
        self.moved(self._done + more)

    def moved(self, done: int, of: int = 0) -> None:
        """Say that so much is done, of so much in all (0: that is not known)."""
        self._done, self._of = done, max(of, done) if of else 0
        if not self._is_watched or time.monotonic() < self._due:
            return
        self._due = time.monotonic() + EVERY
        self._is_shown = True
        sys.stderr.write(f"{_ERASE}{screen.safe(self._said())}")
        sys.stderr.flush()

    def _said(self) -> str:
        of = f" of {self._of:,}" if self._of else ""
        return f"{self._done:,}{of} {self._doing}"
