"""Asks a child process where its handler is, and is answered also where the handler never leaves C code.

The parent sends a signal, on which the interpreter itself, by `faulthandler`, writes the calls of the main thread into
a pipe. No Python code runs for that in the child, and the event loop of the parent may be blocked.
"""

import contextlib
import faulthandler
import os
import re
import select
import signal
import subprocess
import threading
from collections.abc import Iterator
from traceback import FrameSummary

#: The signal that asks. Handlers that use signals use others.
ASK = signal.SIGRTMIN + 6 if hasattr(signal, "SIGRTMIN") else signal.SIGUSR2
#: How long the child may take to begin its answer, and from one part of that to the next, in seconds.
PATIENCE, PAUSE = 2.0, 0.05
#: The most bytes of an answer: a pipe holds no more.
_MOST = 65_536
_FRAME = re.compile(r'  File "(.*)", line (\d+) in (.*)')


def tell_stack(fd: int) -> None:
    """Let this process write its stack to `fd` whenever it is asked."""
    os.set_inheritable(fd, False)
    # A pipe that nobody reads must not hold up the handler.
    os.set_blocking(fd, False)
    faulthandler.register(ASK, file=fd, all_threads=False)


class Stacks:
    """The pipe from a child process, out of which its stack is read."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        self._lock = threading.Lock()
        self._is_open = True

    @contextlib.contextmanager
    def written_by_child(self) -> Iterator[int]:
        """Yield the end for the child, which is closed here when the block ends."""
        try:
            yield self._write
        finally:
            os.close(self._write)

    def ask(self, process: subprocess.Popen[bytes]) -> list[FrameSummary]:
        """Return the frames of the child's main thread, the outermost first; none where it does not answer in time."""
        with self._lock:
            if not self._is_open:
                return []
            self._read_for(0)  # what is left of an answer that came too late
            process.send_signal(ASK)
            text = self._read_for(PATIENCE).decode("utf-8", "replace")
        found = [_FRAME.fullmatch(line) for line in text.splitlines()]
        frames = [FrameSummary(one[1], int(one[2]), one[3], lookup_line=False) for one in found if one]
        return [frame for frame in reversed(frames) if frame.filename != "<string>"]

    def close(self) -> None:
        """Close the pipe, once the child has ended."""
        with self._lock:
            if self._is_open:
                self._is_open = False
                os.close(self._read)

    def _read_for(self, patience: float) -> bytes:
        """Return what comes, if it begins within `patience` seconds, until nothing more does."""
        parts: list[bytes] = []
        with contextlib.suppress(BlockingIOError):
            while select.select([self._read], [], [], PAUSE if parts else patience)[0]:
                part = os.read(self._read, _MOST)
                if not part:
                    break
                parts.append(part)
        return b"".join(parts)
