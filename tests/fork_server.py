"""A process that has imported the engine, and forks the programs of rota that tests start; this file is both its ends.

Four fifths of a program's start are imports: a test run starts some two hundred programs, and all import the same. A
fork runs `python -m rota`, or another module, from its first line on, as a child of the test's process, in its own
environment. What a fork cannot be given is started as a new process, and with FORK_SERVER=0 everything is.
"""

import sys

if __name__ == "__main__":
    # The folder of this file, in which modules would be found that are not rota's.
    del sys.path[0]

import contextlib
import ctypes
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from inspect import signature
from pathlib import Path
from typing import Any

#: What programs of rota import sooner or later.
_MODULES = (
    "rota.cli.main",
    "rota.cli.modes",
    "rota.app.supervisor",
    "rota.telemetry.metrics.page",
    "structlog",
    "uvloop",
)
#: What those of some modes import beside, and those that have a database: loaded when the first such one is asked for.
_OF_MODE = {"api": ("rota.api.process",), "all": ("rota.api.process",)}
_OF_DATABASE = ("rota.services.recorder", "rota.services.outbox.relay", "rota.store.engine")
#: The longest request, in bytes.
_LONGEST = 100_000
#: Variables that Python, or the libraries that it loads, look at before the program's first line.
_EARLY = ("PYTHON", "LANG", "LC_", "LD_", "MALLOC_")
_UNDERSTOOD = frozenset({"PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "PYTHONIOENCODING"})
#: Who starts a program may have it ignore these; nohup does.
_INHERITED = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
#: Of prctl(2): orphans that this process is the ancestor of become its children.
_SET_CHILD_SUBREAPER = 36


# The test's end


class ForkServer:
    """The server of this process, started when it is first needed; it ends with this process."""

    def __init__(self, engine: Path) -> None:
        self._engine = str(engine)
        self._one_at_a_time = threading.Lock()
        self._socket: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def takes(self, environment: Mapping[str, str], streams: Mapping[str, Any]) -> bool:
        """Tell whether a fork is the same as a new process: with this environment, and these options of Popen."""
        early = {name for name in environment if name.startswith(_EARLY)} - _UNDERSTOOD
        engine = environment.get("PYTHONPATH", "").split(os.pathsep)[0] == self._engine
        wanted = os.environ.get("FORK_SERVER") != "0" and sys.platform == "linux"
        return wanted and engine and not early and streams.get("preexec_fn") is None

    def fork(self, request: dict[str, Any], streams: tuple[int, int, int]) -> int:
        """Fork a process that runs what `request` says, with these streams, and return its process id."""
        with self._one_at_a_time, _adopting():
            if self._socket is None:
                self._socket = self._start()
            socket.send_fds(self._socket, [json.dumps(request).encode()], streams)
            pid = self._socket.recv(20)
        assert pid, "the fork server has ended"
        return int(pid)

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                cwd="/",
                env={"PATH": os.environ["PATH"], "PYTHONPATH": self._engine},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
        return ours


@contextlib.contextmanager
def _adopting() -> Iterator[None]:
    """Make orphans that are left below this process its children while a block lasts."""
    prctl = ctypes.CDLL(None).prctl
    prctl(_SET_CHILD_SUBREAPER, 1)
    try:
        yield
    finally:
        prctl(_SET_CHILD_SUBREAPER, 0)


class Forked(subprocess.Popen[Any]):
    """A child of this process that a fork server has forked, as Popen knows one that it has started."""

    def __init__(self, server: ForkServer, module: str, arguments: tuple[str, ...], **options: Any) -> None:
        self._server, self._module = server, module
        super().__init__(arguments, **options)

    def _execute_child(self, *given: Any) -> None:
        # What Popen calls between the making of pipes and their use: in place of fork and exec.
        parent = subprocess.Popen._execute_child  # type: ignore[attr-defined]
        by_name = signature(parent).bind(self, *given).arguments
        pipes = [
            by_name[name] for name in ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
        ]
        inherited = zip((pipes[0], pipes[3], pipes[5]), range(3), strict=True)
        request = {
            "module": self._module,
            "arguments": list(by_name["args"]),
            "cwd": os.fspath(by_name["cwd"]),
            "environment": dict(by_name["env"]),
            "session": by_name["start_new_session"],
            "ignored": [number for number in _INHERITED if signal.getsignal(number) is signal.SIG_IGN],
        }
        try:
            streams = tuple(own if own != -1 else default for own, default in inherited)
            self.pid = self._server.fork(request, streams)  # type: ignore[arg-type]
            self._child_created = True
        finally:
            self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]


# The server's end


def serve(server: socket.socket) -> dict[str, Any]:
    """Fork a process for each request. Returns in each of them what it is to be, and never in the server."""
    with contextlib.suppress(KeyboardInterrupt):  # of the terminal, which tells the tests too
        while True:
            message, streams, _, _ = socket.recv_fds(server, _LONGEST, 3)
            if not message:
                break
            request: dict[str, Any] = json.loads(message)
            _load(_wanted(request["environment"]))
            said, says = os.pipe()
            if (between := os.fork()) == 0:
                if os.fork():
                    os._exit(0)
                server.close()
                os.close(said)
                _begin(request, says, streams)
                return request
            # The parent of the new process has ended after this, and the test's process is its parent.
            os.waitpid(between, 0)
            server.send(os.read(said, 20))
            for each in (said, says, *streams):
                os.close(each)
    os._exit(0)


def _wanted(environment: Mapping[str, str]) -> list[str]:
    """Return what a program with this environment imports, and not every one."""
    of_mode = _OF_MODE.get(environment.get("MODE", ""), ())
    return [*of_mode, *(_OF_DATABASE if "DATABASE_URL" in environment else ())]


def _load(modules: Iterable[str]) -> None:
    """Import these modules for this and all later forks, and take what they made from the garbage collector."""
    if new := [module for module in modules if module not in sys.modules]:
        for module in new:
            importlib.import_module(module)
        gc.freeze()


def _begin(request: dict[str, Any], says: int, streams: Iterable[int]) -> None:
    """Make of this process what it has to be before who asked for it hears of it."""
    if request["session"]:
        os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.write(says, str(os.getpid()).encode())
    os.close(says)


def become(request: dict[str, Any], base: list[str]) -> None:
    """Make of this process what Python makes of a new one before the program's first line."""
    for number in request["ignored"]:
        signal.signal(number, signal.SIG_IGN)
    os.chdir(request["cwd"])
    # Where no language is set, Python has set one at its start, which others inherit.
    language = {name: value for name, value in os.environ.items() if name == "LC_CTYPE"}
    os.environ.clear()
    os.environ.update(request["environment"] | language)
    time.tzset()
    sys.dont_write_bytecode = bool(os.environ.get("PYTHONDONTWRITEBYTECODE"))
    sys.path[:] = [os.getcwd(), *os.environ["PYTHONPATH"].split(os.pathsep), *base]
    sys.argv[:] = ["-m", *request["arguments"]]
    importlib.invalidate_caches()
    encoding, _, errors = os.environ.get("PYTHONIOENCODING", "").partition(":")
    # Streams remember what kind of file is beneath them.
    for name, mode, buffering in (("stdin", "r", -1), ("stdout", "w", -1), ("stderr", "w", 1)):
        old = getattr(sys, name)
        wrong = old.errors if name == "stderr" else errors or ("strict" if encoding else old.errors)
        # What is open as long as the process lives is closed by nobody.
        new = open(old.fileno(), mode, buffering, encoding or old.encoding, wrong, closefd=False)  # noqa: SIM115
        setattr(sys, name, new)
        setattr(sys, f"__{name}__", new)


if __name__ == "__main__":
    gc.disable()
    _load(_MODULES)
    # All but the engine, which is on the path of each process.
    program = serve(socket.socket(fileno=int(sys.argv[1])))
    become(program, sys.path[1:])
    runpy.run_module(program["module"], run_name="__main__", alter_sys=True)
