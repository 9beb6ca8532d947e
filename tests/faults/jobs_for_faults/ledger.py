"""What a handler writes down, where no fault of Redis or of its worker can take it back."""

import os
import time
from functools import cache

from rota import Run

#: Names the file; set by the fleet for each of its workers.
VARIABLE = "FAULTS_LEDGER"


def note(run: Run, event: str) -> None:
    """Append one line: id, attempt, process, event, monotonic seconds. Lines of several processes do not mix."""
    line = f"{run.id} {run.attempt} {os.getpid()} {event} {time.monotonic():.6f}\n"
    os.write(_file(), line.encode())


def times(run: Run, event: str) -> int:
    """Count how often this job has noted `event` so far, in all processes."""
    with open(os.environ[VARIABLE], encoding="utf-8") as lines:
        return sum(line.startswith(f"{run.id} ") and line.split()[3] == event for line in lines)


@cache
def _file() -> int:
    return os.open(os.environ[VARIABLE], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
