"""The guardian's own life, also when the guardian or its server is killed."""

import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from rota.server import guardian
from rota.server.embedded import join
from tests.waiting import wait_until

WAIT = 20.0


class Checkout:
    """A checkout's directory, and the two processes that belong to it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.socket_path = root / ".rota" / "server.sock"

    def server(self) -> int:
        pid = guardian.server_pid(self.socket_path, timeout=WAIT)
        assert pid is not None
        return pid

    def guardian(self) -> int:
        pids = [process.pid for process in self._processes() if process.info["cwd"] == "/"]
        assert len(pids) == 1
        return pids[0]

    def is_unguarded(self) -> bool:
        """Tell whether no guardian holds the lock: a killed one may be listed as a zombie before its locks are free."""
        held = guardian.open_lock(self.root / ".rota" / "guardian.lock")
        try:
            return guardian.try_lock(held, fcntl.LOCK_EX)
        finally:
            os.close(held)

    def is_empty(self) -> bool:
        return not self._processes()

    def _processes(self) -> list[psutil.Process]:
        directory = self.root / ".rota"
        return [
            process
            for process in psutil.process_iter(["cmdline", "cwd", "status"])
            if process.info["status"] != psutil.STATUS_ZOMBIE
            and (
                str(directory) in (process.info["cmdline"] or ())
                or process.info["cwd"] == str(directory / "data")
            )
        ]


@pytest.fixture
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    checkout = Checkout(tmp_path_factory.mktemp("c").resolve())
    yield checkout
    wait_until(checkout.is_empty)


def test_an_orphaned_server_is_adopted_by_the_next_client_and_ends_with_it(checkout: Checkout) -> None:
    with join(checkout.root):
        orphan, killed = checkout.server(), checkout.guardian()
        os.kill(killed, signal.SIGKILL)
        wait_until(checkout.is_unguarded)
        with join(checkout.root):
            assert checkout.server() == orphan
            assert checkout.guardian() != killed
    wait_until(checkout.is_empty)
    assert not checkout.socket_path.exists()


def test_an_orphan_without_clients_is_found_again(checkout: Checkout) -> None:
    with join(checkout.root):
        orphan, killed = checkout.server(), checkout.guardian()
        os.kill(killed, signal.SIGKILL)
        wait_until(checkout.is_unguarded)
    with join(checkout.root):
        assert checkout.server() == orphan


def test_an_orphan_that_does_not_answer_is_left_alone_and_reported(checkout: Checkout) -> None:
    directory = checkout.root / ".rota"
    directory.mkdir()
    held = guardian.open_lock(directory / guardian.DATA_LOCK)
    try:
        assert guardian.try_lock(held, fcntl.LOCK_EX)
        with pytest.raises(SystemExit, match="does not answer"):
            guardian.find_or_start(directory, checkout.socket_path, Path("/nowhere"), patience=0.05)
    finally:
        os.close(held)


def test_a_guardian_ends_with_its_server_and_the_next_client_gets_a_new_one(checkout: Checkout) -> None:
    with join(checkout.root):
        first = checkout.server()
        os.kill(first, signal.SIGKILL)
        wait_until(checkout.is_unguarded)
        with join(checkout.root):
            assert checkout.server() != first


def test_a_client_that_comes_while_the_server_dies_gets_the_next_one(checkout: Checkout) -> None:
    with join(checkout.root):
        first = checkout.server()
        os.kill(first, signal.SIGKILL)
        with join(checkout.root):
            assert checkout.server() != first


def test_a_guardian_that_is_asked_to_end_ends_its_server(checkout: Checkout) -> None:
    with join(checkout.root):
        os.kill(checkout.guardian(), signal.SIGTERM)
        wait_until(checkout.is_empty)


def test_a_server_that_does_not_leave_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guardian, "STOP_TIMEOUT", 0.05)
    ignore = "from signal import *; signal(SIGTERM, SIG_IGN); print('up', flush=True); pause()"
    with subprocess.Popen([sys.executable, "-c", ignore], stdout=subprocess.PIPE) as stubborn:
        assert stubborn.stdout is not None
        stubborn.stdout.readline()
        guardian.stop_server(stubborn.pid)
    assert stubborn.returncode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("reply", "understood"),
    [(b"+PONG\r\n", b"+PONG"), (b"$5\r\nab\r\nc\r\n", b"ab\r\nc"), (b"-LOADING data\r\n", b"-LOADING data")],
)
def test_a_reply_is_understood(tmp_path: Path, reply: bytes, understood: bytes) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        answer = threading.Thread(target=_answer_once, args=(listener, reply))
        answer.start()
        assert guardian.ask(path, "PING") == understood
        answer.join()


def _answer_once(listener: socket.socket, reply: bytes) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.recv(100)
        connection.sendall(reply)


def test_a_socket_without_a_server_has_no_process_id(tmp_path: Path) -> None:
    assert guardian.server_pid(tmp_path / "nothing", timeout=0.05) is None
