"""A worker in a process of its own: started, frozen while its backlog is made, asked for its CPU time, ended."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from benchmarks import ledger
from benchmarks.failures import WorkerFailed

ROOT = Path(__file__).resolve().parent.parent
STOP_WITHIN = 20.0
#: The variables that a worker inherits. Others, such as a developer's own settings, would make two runs differ.
INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR")


def environment(env: Mapping[str, str], url: str) -> dict[str, str]:
    """Return the whole environment of a process that works on the server at `url`."""
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    return {**inherited, **env, "REDIS_URL": url, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}


class WorkerProcess:
    """A worker, one process and what it starts; use it as an asynchronous context. `folder` takes log and ledger."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str], url: str, folder: Path) -> None:
        self.ledger = folder / "ledger"
        self.ledger.mkdir(exist_ok=True)
        self._env = {**environment(env, url), ledger.VARIABLE: str(self.ledger)}
        self._command = list(command)
        self._folder = folder
        self._log = folder / "worker.log"

    async def __aenter__(self) -> Self:
        with self._log.open("ab") as log:
            # In the folder, which has no `.env`, and in its own session, so that Ctrl-C reaches the harness only.
            self._popen = subprocess.Popen(
                self._command, cwd=self._folder, env=self._env, stdout=log, stderr=log, start_new_session=True
            )
        self._process = psutil.Process(self._popen.pid)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The whole group, which is of this worker alone, also where the first process has ended before the others.
        with suppress(ProcessLookupError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        self._popen.wait()

    async def stop(self) -> list[int]:
        """End it as an orchestrator does; the numbers of the jobs that it ran. Raises WorkerFailed."""
        self._popen.send_signal(signal.SIGTERM)
        await self.until(lambda: self._popen.poll() is not None, "it did not end")
        return ledger.read(self.ledger)

    async def freeze(self) -> None:
        """Let it stand still, so that what it did before and does next can be told apart."""
        os.killpg(self._popen.pid, signal.SIGSTOP)
        stopped = psutil.STATUS_STOPPED
        tree = self._tree()
        await self.until(lambda: all(one.status() == stopped for one in tree), "it did not stand still")

    def send(self, signum: signal.Signals) -> None:
        """Send a signal; a frozen worker hears it when it thaws."""
        self._popen.send_signal(signum)

    def thaw(self) -> None:
        os.killpg(self._popen.pid, signal.SIGCONT)

    @property
    def pid(self) -> int:
        return self._popen.pid

    def cpu(self) -> float:
        """User and system time of all its threads and processes so far, in seconds (in steps of 10 ms)."""
        return sum(times.user + times.system for times in (one.cpu_times() for one in self._tree()))

    def memory(self) -> int:
        """Return the resident bytes of all its processes; what several share counts for each."""
        return sum(one.memory_info().rss for one in self._tree())

    def _tree(self) -> list[psutil.Process]:
        return [self._process, *self._process.children(recursive=True)]

    def log(self) -> str:
        """Return what it has written to its output."""
        return self._log.read_text("utf-8", "replace")

    def check(self) -> None:
        """Raise WorkerFailed if it has ended."""
        if self._popen.poll() is not None:
            raise self.failed(f"it ended with status {self._popen.returncode}")

    def failed(self, why: str) -> WorkerFailed:
        """Return the error to raise, with the end of the log."""
        tail = self.log()[-2_000:]
        return WorkerFailed(f"the worker {' '.join(self._command[1:])}: {why}\n{tail}")

    async def until(self, condition: Callable[[], bool], otherwise: str) -> None:
        """Wait for what the worker should do soon. Raises WorkerFailed."""
        try:
            async with asyncio.timeout(STOP_WITHIN):
                while not condition():
                    await asyncio.sleep(0.005)
        except TimeoutError:
            raise self.failed(f"{otherwise} within {STOP_WITHIN:g} s") from None
