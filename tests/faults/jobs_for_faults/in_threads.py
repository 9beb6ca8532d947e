"""Plain functions, which run in threads: they cannot be stopped, only told to stop."""

import time

from rota import Run, job
from tests.faults.jobs_for_faults.ledger import note


@job
def nap(run: Run, seconds: float) -> None:
    """Sleep, deaf to all that happens meanwhile."""
    note(run, "start")
    time.sleep(seconds)
    note(run, "end")


@job
def listen(run: Run, seconds: float) -> None:
    """Work in small steps, and stop when told to."""
    note(run, "start")
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if run.cancelled:
            note(run, "stopped")
            raise RuntimeError("told to stop")
        time.sleep(0.02)
    note(run, "end")


@job
def report_from_thread(run: Run, seconds: float = 2) -> None:
    """Report progress, and stay until a reader had time to see it."""
    run.progress(40, "from a thread")
    time.sleep(seconds)
