"""A program that the fork server has forked is what a new process is, to itself and to who started it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fork_server import Forked
from tests.processes import environment, start

#: A jobs package that writes down what it finds, and then waits, or ends as it is told.
TELLING = """
import gc, json, locale, logging, os, random, signal, sys, time

found = {
    "argv": sys.argv,
    "path": sys.path,
    "environment": dict(os.environ),
    "cwd": os.getcwd(),
    "parent": os.getppid(),
    "leads": os.getsid(0) == os.getpid(),
    "group": os.getpgid(0) == os.getpgid(os.getppid()),
    "signals": {int(one): str(signal.getsignal(one)).partition(" at ")[0] for one in signal.valid_signals()},
    "mask": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
    "open": sorted(name for name in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{name}")),
    "streams": [(one.encoding, one.errors, one.line_buffering) for one in (sys.stdout, sys.stderr)],
    "encodings": (sys.getfilesystemencoding(), locale.getpreferredencoding()),
    "zone": time.tzname,
    "bytecode": sys.dont_write_bytecode,
    "collects": gc.isenabled(),
    "flags": str(sys.flags),
    "loggers": [str(one) for one in logging.root.handlers],
    "main": sys.modules["__main__"].__spec__.name,
}
print(json.dumps(found), flush=True)
print("to stderr", file=sys.stderr)
if os.environ["END"] == "wait":
    sys.stdin.read()
if os.environ["END"] == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
print(random.random())
sys.exit(int(os.environ["END"]) if os.environ["END"].isdigit() else 0)
"""


def program(
    folder: Path, end: str, *arguments: str, encoding_of_streams: str = "", **options: Any
) -> "subprocess.Popen[str]":
    (folder / "jobs.py").write_text(TELLING, "utf-8")
    variables = environment(folder, END=end, TZ="Asia/Tokyo", REDIS_URL="redis://127.0.0.1:1/0")
    if encoding_of_streams:
        variables["PYTHONIOENCODING"] = encoding_of_streams
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return start(*arguments, cwd=folder, environment=variables, text=True, **pipes, **options)


def told(folder: Path, *arguments: str, **options: Any) -> tuple[dict[str, Any], str, int]:
    """Return what a program finds, what it writes to stderr, and its status."""
    with program(folder, "7", *arguments, **options) as process:
        out, err = process.communicate(timeout=30)
    return json.loads(out.splitlines()[0]), err, process.returncode


@pytest.fixture
def anew(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("FORK_SERVER", "0")
    return monkeypatch


@pytest.mark.parametrize(
    ("arguments", "options", "deaf"),
    [
        ((), {"encoding_of_streams": "ascii"}, False),
        (("exporter",), {"start_new_session": True, "encoding_of_streams": "ascii:replace"}, False),
        (("worker", "--parent", "1"), {}, True),
    ],
    ids=["with another encoding", "in a session of its own", "deaf to hangups"],
)
def test_a_forked_program_finds_what_a_new_one_finds(
    tmp_path: Path, anew: pytest.MonkeyPatch, arguments: tuple[str, ...], options: dict[str, Any], deaf: bool
) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN if deaf else signal.SIG_DFL)
    try:
        new = told(tmp_path, *arguments, **options)
        anew.delenv("FORK_SERVER")
        forked = told(tmp_path, *arguments, **options)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert {name: (forked[0][name], seen) for name, seen in new[0].items() if forked[0][name] != seen} == {}
    assert forked[1:] == new[1:]
    assert forked[0]["parent"] == os.getpid()


def test_its_start_is_a_fork_and_its_end_is_seen_as_that_of_a_child(tmp_path: Path) -> None:
    with program(tmp_path, "killed") as process:
        assert isinstance(process, Forked)
        assert process.wait(30) == -signal.SIGKILL
    with program(tmp_path, "wait") as process:
        assert json.loads(process.stdout.readline())["cwd"] == str(tmp_path)  # type: ignore[union-attr]
        assert process.poll() is None
        process.terminate()
        assert process.wait(30) == -signal.SIGTERM


def test_two_forks_draw_numbers_of_their_own(tmp_path: Path) -> None:
    drawn = [program(tmp_path, "0").communicate(timeout=30)[0].splitlines()[-1] for _ in range(2)]
    assert drawn[0] != drawn[1]


@pytest.mark.parametrize(
    ("variables", "options"),
    [
        ({"PYTHONPATH": "/nowhere"}, {}),
        ({"PYTHONWARNINGS": "error"}, {}),
        ({"LC_ALL": "C"}, {}),
        ({}, {"preexec_fn": os.setsid}),
    ],
    ids=["another engine", "python's", "the language", "a function"],
)
def test_what_a_fork_cannot_be_given_is_started_anew(
    tmp_path: Path, variables: dict[str, str], options: dict[str, Any]
) -> None:
    given = {**environment(), **variables}
    with start("--version", cwd=tmp_path, environment=given, stderr=subprocess.PIPE, **options) as process:
        assert type(process) is subprocess.Popen
        process.communicate(timeout=30)
    assert sys.platform == "linux"
