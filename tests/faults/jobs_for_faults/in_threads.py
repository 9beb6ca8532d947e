"""Plain functions, which run in threads: they cannot be stopped, only told to stop."""

import multiprocessing
import subprocess
import time
from collections.abc import Callable

from rota import Run, job
from tests.faults.jobs_for_faults.ledger import note
from tests.processes import end_fork


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


def _by_multiprocessing() -> int | None:
    one = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
    one.start()
    one.terminate()
    one.join()
    return one.exitcode


def _by_subprocess() -> int:
    one = subprocess.Popen(["sleep", "60"])
    one.terminate()
    return one.wait()


STARTS: dict[str, Callable[[], int | None]] = {
    "multiprocessing": _by_multiprocessing,
    "fork": end_fork,
    "subprocess": _by_subprocess,
}


@job(max_attempts=1)
def end_another(run: Run, how: str) -> int | None:
    """Start another process from a thread, and end it with SIGTERM; return its status."""
    return STARTS[how]()


@job(max_attempts=1)
async def end_another_on_loop(run: Run, how: str) -> int | None:
    return STARTS[how]()


@job(max_attempts=1, process=True)
def end_another_in_process(run: Run, how: str) -> int | None:
    return STARTS[how]()
