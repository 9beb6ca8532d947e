"""Workers and other programs of rota in processes of their own, `python -m rota`, as operators start them.

Most are forks of a process that has imported the engine, which differ from a new process in nothing but their start.
"""

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import Any

import psutil

import rota
from tests.fork_server import Forked, ForkServer
from tests.waiting import until

ROOT = Path(__file__).parents[1]
#: Programs run the engine that the tests import.
ENGINE = Path(rota.__file__).parents[1]
#: How the paths of the engine's own files begin: a checkout may lie in a folder of any name.
ENGINE_FILES = f"{Path(rota.__file__).parent}/"
FORKS = ForkServer(ENGINE)


def start(
    *arguments: str, cwd: Path, environment: dict[str, str], module: str = "rota", **streams: Any
) -> "subprocess.Popen[Any]":
    """Start `python -m rota`, or another module, with these arguments and no other environment.

    Without arguments, `rota` is a worker.
    """
    env = {"MODE": "worker", **environment}
    if FORKS.takes(env, streams):
        return Forked(FORKS, module, arguments, cwd=cwd, env=env, **streams)
    return subprocess.Popen([sys.executable, "-m", module, *arguments], cwd=cwd, env=env, **streams)


def environment(*folders: Path, **variables: str) -> dict[str, str]:
    """Return `variables` and what a program needs beside them; modules are found in `folders` too."""
    path = os.pathsep.join(map(str, (ENGINE, *folders)))
    return {"PATH": os.environ["PATH"], "PYTHONPATH": path, **variables}


def gone(pid: int) -> bool:
    """Tell whether no process runs under `pid`; a zombie, which its parent has not waited for, does not run."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def end_fork() -> int:
    """Fork a process that sleeps, end it by SIGTERM, and return what its parent learns of that."""
    pid = os.fork()
    if pid == 0:
        time.sleep(60)
        os._exit(0)
    os.kill(pid, signal.SIGTERM)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _take_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class Worker:
    """One process whose log a test reads: the events that it and its children wrote."""

    def __init__(
        self, log: Path, environment: dict[str, str], *arguments: str, terminal: str | None = None
    ) -> None:
        self.log = log
        with log.open("wb") if terminal is None else open(terminal, "r+b", buffering=0) as out:
            self._process = start(
                *arguments,
                cwd=log.parent,
                environment=environment,
                stdin=None if terminal is None else out,
                stdout=out,
                stderr=out,
                # A group of its own: a signal to the group is what a terminal sends.
                start_new_session=True,
                preexec_fn=None if terminal is None else _take_terminal,
            )
        self.pid = self._process.pid

    def events(self, name: str | None = None) -> list[dict[str, Any]]:
        """Return the log lines of one event, or of all, with their fields."""
        lines = (line for line in self.log.read_text("utf-8").split("\n") if line.startswith("{"))
        return [event for event in map(json.loads, lines) if name in (None, event["event"])]

    def says(self, name: str) -> bool:
        """Tell whether the log has a line of this event."""
        return bool(self.events(name))

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def send(self, signum: signal.Signals, *, group: bool = False) -> None:
        """Send a signal to the process or, with `group`, to the process and all its children."""
        (os.killpg if group else os.kill)(self.pid, signum)

    def kill(self) -> None:
        """Kill the process with SIGKILL, and wait for its end."""
        self._process.kill()
        self._process.wait(10)

    async def ended(self, seconds: float = 30.0) -> int:
        """Wait until the process has ended, and return its exit status."""
        await until(lambda: not self.alive, f"worker {self.pid} ends; its log: {self.log}", seconds)
        status: int = self._process.returncode
        return status

    def close(self) -> None:
        """End the process and every child that is left of it."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait(10)
