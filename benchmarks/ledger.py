"""The ledger: which jobs ran, written down outside Redis by the process that ran them.

Every job of a worker has a number of its own. The numbers are kept in memory, which costs each system's jobs the same
few nanoseconds, and written when the process ends.
"""

import atexit
import os
from array import array
from pathlib import Path

from benchmarks.failures import LedgerMismatch

#: The variable that names the file.
VARIABLE = "BENCH_LEDGER"

_runs = array("q")

#: Write down that the job of this number ran.
note = _runs.append


def read(path: Path) -> list[int]:
    """Return the numbers that ran, in the order in which they ran."""
    runs = array("q")
    runs.frombytes(path.read_bytes())
    return runs.tolist()


def check(runs: list[int], enqueued: int) -> None:
    """Raise LedgerMismatch unless the jobs 0 to `enqueued` - 1 ran once each."""
    lost = enqueued - len(set(runs))
    doubled = len(runs) - len(set(runs))
    if lost or doubled or max(runs, default=-1) >= enqueued:
        raise LedgerMismatch(f"of {enqueued} jobs {lost} did not run and {doubled} ran again")


def _write(path: Path) -> None:
    path.write_bytes(_runs.tobytes())


if VARIABLE in os.environ:
    atexit.register(_write, Path(os.environ[VARIABLE]))
