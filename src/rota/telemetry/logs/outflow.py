"""Writes log lines to stderr, and never waits for their reader.

A line is written where it is logged, so that a crash loses none, as long as its reader keeps up. Where the pipe is full
lines wait in a queue of bounded size, which a thread of its own writes. What does not fit is dropped, counted, and told
of by a line as soon as there is room again.
"""

import contextlib
import logging
import os
import select
import socket
import stat
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any, TextIO

#: The most that waits for a reader, in bytes.
ROOM = 4 * 2**20
#: At the end of the process the lines that wait are written for as long as they are read: the longest time without
#: progress, and the longest in all, in seconds.
STILL, ALL = 1.0, 5.0


class Outflow(logging.Handler):
    """The handler that writes the lines of a process to `stream`.

    :param room: the most bytes that wait while nobody reads.
    """

    def __init__(self, stream: TextIO | None, *, room: int = ROOM) -> None:
        super().__init__()
        #: How many lines were dropped since the process began.
        self.dropped = 0
        self._stream = stream
        self._room = room
        self._descriptor = _descriptor_of(stream)
        self._try = _tries(self._descriptor)
        self.renew()
        _outflows.add(self)

    def renew(self) -> None:
        """Begin with nothing that waits: a forked child has neither its parent's thread nor its parent's lines."""
        self._changed = threading.Condition()
        self._lines: deque[bytes] = deque()
        self._size = 0
        self._untold = 0
        self._written = 0
        self._given_up = -1
        self._thread: threading.Thread | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line of a record, or let it wait in its place."""
        line = f"{self.format(record)}\n"
        if self._descriptor is None:
            self._print(line)
            return
        with self._changed:
            self._put(self._encoded(line))

    def flush(self) -> None:
        """Wait until the lines that wait are written, at most for as long as they are being read."""
        end = time.monotonic() + ALL
        with self._changed:
            while self._lines and self._given_up != self._written and time.monotonic() < end:
                before = self._written
                self._changed.wait_for(lambda: self._written != before or not self._lines, STILL)  # noqa: B023
                if self._written == before:
                    self._given_up = before

    def _print(self, line: str) -> None:
        if self._stream is not None:
            with contextlib.suppress(OSError, ValueError):
                self._stream.write(line)
                self._stream.flush()

    def _encoded(self, line: str) -> bytes:
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        return line.encode(encoding, "backslashreplace")

    # Under the lock

    def _put(self, line: bytes) -> None:
        if not self._lines:
            line = self._told() + line
            try:
                line = line[self._try(line) :]
            except OSError:
                # The reader is gone, or the disk is full.
                self._drop()
                return
            self._untold = 0
        elif self._untold or self._size + len(line) > self._room:
            self._drop()
            return
        if line:
            self._keep(line)

    def _keep(self, line: bytes) -> None:
        self._lines.append(line)
        self._size += len(line)
        if self._thread is None:
            thread = threading.Thread(target=self._flow, name="rota-logs", daemon=True)
            # At the end of the interpreter no thread can be started.
            with contextlib.suppress(RuntimeError):
                thread.start()
                self._thread = thread
        self._changed.notify_all()

    def _drop(self) -> None:
        self._untold += 1
        self.dropped += 1

    def _told(self) -> bytes:
        """Return the line that says how many were dropped; nothing if none was."""
        if not self._untold:
            return b""
        fields = {
            "name": "rota.logs",
            "levelno": logging.WARNING,
            "levelname": "WARNING",
            "msg": "log.dropped",
        }
        record = logging.makeLogRecord({**fields, "lines": self._untold, "why": "nobody read them"})
        return self._encoded(f"{self.format(record)}\n")

    # The thread

    def _flow(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._lines)
                line = self._lines[0]
            # While it is being written it is still the first, so that no other line overtakes it.
            is_written = self._descriptor is not None and _write(self._descriptor, line)
            with self._changed:
                self._lines.popleft()
                self._size -= len(line)
                self._written += 1
                if not is_written:
                    self._drop()
                elif self._untold and self._size <= self._room // 2:
                    told, self._untold = self._told(), 0
                    self._keep(told)
                self._changed.notify_all()


#: The handlers of this process.
_outflows: "weakref.WeakSet[Outflow]" = weakref.WeakSet()


def dropped() -> int:
    """Return how many lines this process has dropped because nobody read them."""
    return sum(outflow.dropped for outflow in list(_outflows))


def _renew_all() -> None:
    for outflow in list(_outflows):
        outflow.renew()


os.register_at_fork(after_in_child=_renew_all)


def _write(descriptor: int, line: bytes) -> bool:
    """Write all of a line, however long its reader takes; return False if it cannot be written."""
    while line:
        try:
            line = line[os.write(descriptor, line) :]
        except BlockingIOError:
            # Another process has made the pipe one that does not wait.
            select.select([], [descriptor], [])
        except OSError:
            return False
    return True


def _descriptor_of(stream: Any) -> int | None:
    """Return the descriptor under a stream; None for a stream in memory."""
    try:
        return int(stream.fileno())
    except (AttributeError, OSError, ValueError):
        return None


def _tries(descriptor: int | None) -> Callable[[bytes], int]:
    """Return a function that writes as much as can be written without waiting, and returns how much that was.

    The mode of the descriptor itself is left alone: other processes have it too. Raises OSError where nothing can be
    written.
    """
    if descriptor is None:
        return len
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return lambda line: os.write(descriptor, line)
    try:
        write = _not_waiting(descriptor, is_socket=stat.S_ISSOCK(mode))
    except OSError:
        return lambda line: 0

    def attempt(line: bytes) -> int:
        try:
            return write(line)
        except BlockingIOError:
            return 0

    return attempt


def _not_waiting(descriptor: int, *, is_socket: bool) -> Callable[[bytes], int]:
    if is_socket:
        sock = socket.socket(fileno=os.dup(descriptor))
        return lambda line: sock.send(line, socket.MSG_DONTWAIT)
    # Linux opens the same pipe or terminal once more by this path, with a mode of its own.
    flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    own = os.open(f"/proc/self/fd/{descriptor}", flags)
    return lambda line: os.write(own, line)
