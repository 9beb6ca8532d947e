"""The ledger: which jobs ran and when, written down outside Redis by the process that ran them.

Every job of a worker has a number of its own. Each process maps a file of its own into memory, which costs a job some
0.3 µs: the driver reads along while the jobs run, and what was written stays however the process ends.
"""

import mmap
import os
import time
from array import array
from itertools import count
from pathlib import Path

from benchmarks.failures import LedgerMismatch

#: The variable that names the folder of the files.
VARIABLE = "BENCH_LEDGER"
#: The most jobs of one process. The file has holes: it takes no more space than it has records.
MOST = 1 << 22
#: Bytes of a record: a job's number, and the monotonic clock in nanoseconds, which is written last and is never 0.
RECORD = 16

#: A job of one number, and when it ran.
Run = tuple[int, int]

_places = count()


def note(number: int) -> None:
    """Write down that the job of this number ran."""
    at = 2 * next(_places)
    _page[at] = number
    _page[at + 1] = time.monotonic_ns()


class Readings:
    """The files of a folder, read along while processes write them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[Path, int] = {}
        self.runs: list[Run] = []

    @property
    def processes(self) -> int:
        """The number of processes in which a job has run."""
        return sum(count > 0 for count in self._read.values())

    def go_on(self) -> int:
        """Read what is new; the number of runs so far."""
        for path in self._folder.iterdir():
            fresh = _records(path, self._read.get(path, 0))
            self._read[path] = self._read.get(path, 0) + len(fresh)
            self.runs += fresh
        return len(self.runs)


def read(folder: Path) -> list[int]:
    """Return the numbers that ran, in each process in the order in which they ran."""
    readings = Readings(folder)
    readings.go_on()
    return [number for number, _ in readings.runs]


def check(runs: list[int], enqueued: int) -> None:
    """Raise LedgerMismatch unless the jobs 0 to `enqueued` - 1 ran once each."""
    lost = enqueued - len(set(runs))
    doubled = len(runs) - len(set(runs))
    if lost or doubled or max(runs, default=-1) >= enqueued:
        raise LedgerMismatch(f"of {enqueued} jobs {lost} did not run and {doubled} ran again")


def _records(path: Path, skip: int) -> list[Run]:
    fresh: list[Run] = []
    with path.open("rb") as file:
        file.seek(skip * RECORD)
        while chunk := file.read(1 << 16):
            values = array("q", chunk[: len(chunk) // RECORD * RECORD])
            times = values[1::2]
            # Most often all are there, or none.
            whole = (
                len(times)
                if times and times[-1]
                else next((at for at, when in enumerate(times) if not when), 0)
            )
            fresh += zip(values[: 2 * whole : 2], times[:whole], strict=True)
            if whole * RECORD < len(chunk):
                break
    return fresh


class _Void:
    """A page that keeps nothing: that of a process without a ledger."""

    def __setitem__(self, at: int, value: int) -> None:
        pass


_page: "memoryview[int] | _Void" = _Void()


def _open() -> None:
    """Begin the file of this process; after a fork the child has one of its own."""
    global _page, _places  # noqa: PLW0603
    _places = count()
    if VARIABLE in os.environ:
        path = Path(os.environ[VARIABLE]) / str(os.getpid())
        with path.open("w+b") as file:
            file.truncate(MOST * RECORD)
            _page = memoryview(mmap.mmap(file.fileno(), 0)).cast("q")


_open()
os.register_at_fork(after_in_child=_open)
