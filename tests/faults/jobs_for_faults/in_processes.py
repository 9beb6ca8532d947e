"""Plain functions that run in child processes, and the ways in which they end."""

import os
import signal
import subprocess
import time
from typing import Literal

from rota import Cancel, Retry, Run, Snooze, job
from tests.faults.jobs_for_faults.ledger import note, times

Ending = Literal["retry", "snooze", "cancel", "key", "value", "lookup", "exit", "kill"]


@job(process=True)
def compute(run: Run, seconds: float) -> int:
    """Keep a processor busy, deaf to all that happens meanwhile; the child's process id."""
    note(run, "start")
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        sum(range(1000))
        time.sleep(0.005)
    note(run, "end")
    return os.getpid()


@job(process=True, retry_on=(LookupError,), give_up_on=(KeyError,))
def end(run: Run, first: Ending, then: Ending | None = None) -> int:
    """End in the way that is asked for the first time, later as `then` says; the attempt that went well."""
    note(run, "start")
    _end(first if times(run, "start") == 1 else then)
    return run.attempt


@job(process=True)
def die(run: Run, how: Ending) -> int:
    """End the process itself, the first time; the attempt that went well."""
    note(run, "start")
    _end(how if times(run, "start") == 1 else None)
    return run.attempt


@job(process=True)
def deaf_to_signals(run: Run) -> list[int]:
    """Send this process what a terminal or systemd sends to all; return how a program that it starts ends of each."""
    sent = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for signum in sent:
        os.kill(os.getpid(), signum)
    return [end_program(signum) for signum in sent]


def end_program(signum: signal.Signals) -> int:
    """Start a program, end it by a signal, and return its exit status."""
    program = subprocess.Popen(["sleep", "60"])
    program.send_signal(signum)
    return program.wait()


@job(process=True, max_attempts=1)
def run_program(run: Run, then: Literal["wait", "die"]) -> None:
    """Run a program, which starts another one, and wait for it, or die and leave it."""
    if os.fork() == 0:
        note(run, "forked")
        subprocess.run(["sh", "-c", "sleep 60; true"], check=False)
    note(run, "start")
    subprocess.run(["sh", "-c", "sleep 60; true"], check=False) if then == "wait" else os._exit(3)


@job(process=True)
def report_from_process(run: Run, seconds: float = 2) -> None:
    """Report progress, and stay until a reader had time to see it."""
    run.progress(60, "from a process")
    time.sleep(seconds)


def _end(how: Ending | None) -> None:
    match how:
        case "retry":
            raise Retry(0.05, "once more")
        case "snooze":
            raise Snooze(0.05)
        case "cancel":
            raise Cancel("not wanted")
        case "key":
            raise KeyError("gone")
        case "value":
            raise ValueError("wrong")
        case "lookup":
            raise LookupError("not yet")
        case "exit":
            os._exit(3)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
