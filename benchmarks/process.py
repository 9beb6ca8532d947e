"""A worker in a process of its own: started, frozen while its backlog is made, asked for its CPU time, ended."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
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


class WorkerProcess:
    """One process with a worker; use it as an asynchronous context. `folder` takes its log and its ledger."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str], url: str, folder: Path) -> None:
        inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
        self._ledger = folder / "ledger"
        self._env = {
            **inherited,
            **env,
            "REDIS_URL": url,
            "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
            ledger.VARIABLE: str(self._ledger),
        }
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
        if self._popen.poll() is None:
            self._popen.send_signal(signal.SIGCONT)
            self._popen.kill()
        self._popen.wait()

    async def stop(self) -> list[int]:
        """End it as an orchestrator does; the numbers of the jobs that it ran. Raises WorkerFailed."""
        self._popen.send_signal(signal.SIGTERM)
        await self.until(lambda: self._popen.poll() is not None, "it did not end")
        if not self._ledger.exists():
            raise self.failed("it left no ledger")
        return ledger.read(self._ledger)

    async def freeze(self) -> None:
        """Let it stand still, so that what it did before and does next can be told apart."""
        self._popen.send_signal(signal.SIGSTOP)
        stopped = psutil.STATUS_STOPPED
        await self.until(lambda: self._process.status() == stopped, "it did not stand still")

    def send(self, signum: signal.Signals) -> None:
        """Send a signal; a frozen worker hears it when it thaws."""
        self._popen.send_signal(signum)

    def thaw(self) -> None:
        self._popen.send_signal(signal.SIGCONT)

    @property
    def pid(self) -> int:
        return self._popen.pid

    def cpu(self) -> float:
        """User and system time of all its threads so far, in seconds (in steps of 10 ms)."""
        times = self._process.cpu_times()
        return times.user + times.system

    def check(self) -> None:
        """Raise WorkerFailed if it has ended."""
        if self._popen.poll() is not None:
            raise self.failed(f"it ended with status {self._popen.returncode}")

    def failed(self, why: str) -> WorkerFailed:
        """Return the error to raise, with the end of the log."""
        tail = self._log.read_text("utf-8", "replace")[-2_000:]
        return WorkerFailed(f"the worker {' '.join(self._command[1:])}: {why}\n{tail}")

    async def until(self, condition: Callable[[], bool], otherwise: str) -> None:
        """Wait for what the worker should do soon. Raises WorkerFailed."""
        try:
            async with asyncio.timeout(STOP_WITHIN):
                while not condition():
                    await asyncio.sleep(0.005)
        except TimeoutError:
            raise self.failed(f"{otherwise} within {STOP_WITHIN:g} s") from None
