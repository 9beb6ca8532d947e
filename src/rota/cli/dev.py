"""`rota dev`: workers, and the API if it is installed, started again when a file of the project or `.env` changes."""

import signal
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from types import FrameType

from rota.app.recycling import EXIT_RECYCLE
from rota.cli import workers
from rota.errors import RotaError

#: How often the files beside the folder are looked at, in milliseconds.
_EVERY = 500
#: What is known of a file: when it was written, its size, and which file it is; None: it is not there.
Look = tuple[int, int, int] | None


class Development:
    """Keeps one worker running, with the code and the settings as they are now.

    :param folder: its source files are watched, with the folders in it.
    :param files: single files, there or not yet; the folder that they are in is not watched, as it may hold anything.
    :param patience: how long a worker may take to end, in seconds.
    :param say: called with the names of what has changed.
    """

    def __init__(
        self, folder: Path, files: Iterable[Path], patience: float, say: Callable[[list[str]], object]
    ) -> None:
        self._folder = folder
        self._files = tuple(files)
        self._patience = patience
        self._say = say

    def run(self) -> None:
        """Run until Ctrl-C or a signal. Raises RotaError where watchfiles is not installed."""
        changes = self._changes()
        worker = self._start()
        for signum in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(signum, _interrupt)
        try:
            for changed in changes:
                if changed:
                    self._say(changed)
                    self._stop(worker)
                if changed or worker.poll() == EXIT_RECYCLE:
                    worker = self._start()
        except KeyboardInterrupt:
            self._end(worker)

    def _changes(self) -> Iterator[list[str]]:
        try:
            from watchfiles import PythonFilter, watch  # noqa: PLC0415 - a development tool
        except ImportError:
            raise RotaError("`rota dev` needs watchfiles; install it with: pip install watchfiles") from None
        wanted = PythonFilter(extra_extensions=(".lua",))
        return self._seen(
            watch(self._folder, watch_filter=wanted, rust_timeout=_EVERY, yield_on_timeout=True)
        )

    def _seen(self, watched: Iterable[Iterable[tuple[object, str]]]) -> Iterator[list[str]]:
        """Yield what has changed of the folder and of the files, every half second: nothing, mostly."""
        before = self._look()
        for changes in watched:
            now = self._look()
            files = {str(file) for file in self._files if before[file] != now[file]}
            before = now
            yield sorted({path for _, path in changes} | files)

    def _look(self) -> Mapping[Path, Look]:
        return {file: _look(file) for file in self._files}

    def _start(self) -> "subprocess.Popen[bytes]":
        # In a session of its own, where Ctrl-C does not reach it a second time: two signals make a worker hurry.
        options = ["--api"] if find_spec("fastapi") else []
        return subprocess.Popen(workers.child(options), start_new_session=True)  # noqa: S603 - our own command

    def _stop(self, worker: "subprocess.Popen[bytes]") -> None:
        worker.terminate()
        try:
            worker.wait(self._patience)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()

    def _end(self, worker: "subprocess.Popen[bytes]") -> None:
        """Stop the worker for good; another Ctrl-C ends it at once."""
        try:
            self._stop(worker)
        except KeyboardInterrupt:
            worker.kill()
            worker.wait()


def _look(file: Path) -> Look:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _interrupt(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt
