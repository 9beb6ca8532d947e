"""The small process that runs a checkout's embedded server, and ends it when the last client has gone.

`rota.server.embedded` starts the guardian as a script, by its path, so that it needs the standard library alone and is
up in milliseconds. Three locks in the directory hold all of the state, and the kernel frees them however a process
ends:

* `clients.lock`   shared by every client; a process that gets it exclusively knows that no client is left
* `guardian.lock`  held for the guardian's life; the guardian inherits it, locked, from the client that started it
* `data.lock`      held by the server, which inherits it from the guardian; free means that no server has the data open
"""

import contextlib
import fcntl
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

CLIENTS_LOCK = "clients.lock"
DATA_LOCK = "data.lock"
STOP_TIMEOUT = 10.0
ADOPT_TIMEOUT = 5.0

log = logging.getLogger("rota.guardian")


def open_lock(path: Path) -> int:
    """Open a lock file. Each descriptor holds its own lock, even within one process."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def try_lock(descriptor: int, mode: int) -> bool:
    """Take the lock in this mode (`LOCK_SH` or `LOCK_EX`) if it is free, and tell whether it was; never wait."""
    try:
        fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def ask(socket_path: Path, command: str, *, timeout: float = 1.0) -> bytes:
    """Return a server's reply to an inline command, without RESP's framing; `timeout` in seconds.

    Raises OSError when no server answers at the socket.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout)
        connection.connect(str(socket_path))
        connection.sendall(command.encode() + b"\r\n")
        with connection.makefile("rb") as replies:
            line = replies.readline().strip()
            return replies.read(int(line[1:])) if line.startswith(b"$") else line


def server_pid(socket_path: Path, *, timeout: float) -> int | None:
    """Return the process id of the server at the socket, or None if none answers in `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            for line in ask(socket_path, "INFO server").splitlines():
                if line.startswith(b"process_id:"):
                    return int(line.removeprefix(b"process_id:"))
        time.sleep(0.02)
    return None


def server_command(binary: Path, socket_path: Path, data: Path) -> list[str]:
    """Return the server's command line: no network, and every write in the append-only file within a second."""
    options = {
        "port": "0",
        "unixsocket": str(socket_path),
        "unixsocketperm": "700",
        "dir": str(data),
        "pidfile": str(data.parent / "server.pid"),
        "appendonly": "yes",
        "appendfsync": "everysec",
        # The append-only file is flushed and synced on shutdown, so that snapshots would add nothing.
        "save": "",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
    }
    return [str(binary), *(word for name, value in options.items() for word in (f"--{name}", value))]


def start_server(directory: Path, socket_path: Path, binary: Path, data_lock: int) -> int:
    """Start a server that inherits `data_lock`, which must be held exclusively, and return its process id."""
    data = directory / "data"
    data.mkdir(exist_ok=True)
    process = subprocess.Popen(  # noqa: S603 - the binary and every option are ours
        server_command(binary, socket_path, data), stdin=subprocess.DEVNULL, pass_fds=[data_lock]
    )
    log.info("embedded.started pid=%d", process.pid)
    return process.pid


def find_or_start(
    directory: Path, socket_path: Path, binary: Path, *, patience: float = ADOPT_TIMEOUT
) -> int:
    """Return the process id of the one server on the data: an orphan of a killed guardian, or a new server."""
    data_lock = open_lock(directory / DATA_LOCK)
    try:
        if try_lock(data_lock, fcntl.LOCK_EX):
            return start_server(directory, socket_path, binary, data_lock)
    finally:
        os.close(data_lock)
    pid = server_pid(socket_path, timeout=patience)
    if pid is None:
        sys.exit(
            f"an earlier server still has {directory / 'data'} open but does not answer at {socket_path}"
        )
    log.info("embedded.adopted pid=%d", pid)
    return pid


def stop_server(pid: int) -> None:
    """Ask the server to save and exit, and kill it if it has not after `STOP_TIMEOUT` seconds."""
    os.kill(pid, signal.SIGTERM)
    time.sleep(STOP_TIMEOUT)
    os.kill(pid, signal.SIGKILL)


def stop_when_deserted(directory: Path, pid: int) -> None:
    """Wait until no client is left, keep new ones waiting meanwhile, and stop the server."""
    # The main thread runs the handler of SIGTERM; a signal that this thread gets would not wake it.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    clients = open_lock(directory / CLIENTS_LOCK)
    # Never unlocked: until this process has ended, no new client may join the server that is leaving.
    fcntl.flock(clients, fcntl.LOCK_EX)
    log.info("embedded.deserted pid=%d", pid)
    with contextlib.suppress(ProcessLookupError):
        stop_server(pid)


def guard(directory: Path, socket_path: Path, binary: Path) -> None:
    """Run one server until its clients are gone, or until it ends by itself."""
    pid = find_or_start(directory, socket_path, binary)
    signal.signal(signal.SIGTERM, lambda *_: os.kill(pid, signal.SIGTERM))
    threading.Thread(target=stop_when_deserted, args=(directory, pid), daemon=True).start()
    fcntl.flock(open_lock(directory / DATA_LOCK), fcntl.LOCK_EX)
    with contextlib.suppress(ChildProcessError):  # an adopted server is another's child
        os.waitpid(pid, 0)
    socket_path.unlink(missing_ok=True)
    log.info("embedded.ended pid=%d", pid)


def main(directory: str, socket_path: str, binary: str) -> None:
    """Detach from the client that started us, so that the client never has to reap us, and guard the server."""
    if os.fork():
        os._exit(0)
    os.umask(0o077)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(process)d guardian %(message)s")
    guard(Path(directory), Path(socket_path), Path(binary))


if __name__ == "__main__":
    main(*sys.argv[1:])
