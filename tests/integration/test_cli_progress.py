"""How far a long command has come: on a terminal, and nowhere else; and what it says after Ctrl-C."""

import asyncio
import json
import os
import pty
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from rota.cli import progress
from rota.cli.progress import Progress
from rota.wire.keys import QueueKeys, queue_key
from tests.integration.project import JOBS, Project
from tests.processes import start
from tests.servers import RedisServer
from tests.waiting import until

EMAIL = QueueKeys.of(queue_key("email"))
#: A purge whose portions take a while, from the third on far longer than the test.
SLOW = """
import asyncio

from rota.client.dead_letters import DeadLetters

delete = DeadLetters.delete_these
portions = 0

async def slow(self, queue, members):
    global portions
    portions += 1
    await asyncio.sleep({seconds} if portions < 3 else {later})
    return await delete(self, queue, members)

DeadLetters.delete_these = slow
"""


@pytest.fixture
def project(tmp_path: Path, capsys: pytest.CaptureFixture[str], server: RedisServer) -> Project:
    return Project(tmp_path, capsys, server.url)


@pytest.fixture
def letters(server: RedisServer) -> None:
    """Put a thousand dead letters, as the scripts do."""
    with server.client() as redis, redis.pipeline() as pipe:
        for number in range(1000):
            letter = {"task": "send", "reason": "failed", "cause": "3f9a1c0b77d2", "payload": "x"}
            pipe.hset(f"{EMAIL.dead}:{number}", mapping=letter)
            pipe.zadd(EMAIL.dead, {f"{number}": number})
        pipe.execute()


class Terminal:
    """A terminal that a process writes to, or this one."""

    def __init__(self) -> None:
        self._ours, self.theirs = pty.openpty()
        os.set_blocking(self._ours, False)
        self._seen = ""

    def shown(self) -> str:
        """Return all that was written to it."""
        try:
            while data := os.read(self._ours, 65536):
                self._seen += data.decode()
        except OSError:
            pass  # nothing more, or nobody has it open
        return self._seen

    def close(self) -> None:
        os.close(self._ours)
        os.close(self.theirs)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    terminal = Terminal()
    yield terminal
    terminal.close()


@pytest.mark.usefixtures("letters")
@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("retry", "email", "--all"), "of 1,000 dead letters brought back"),
        (("purge", "email", "--reason", "failed", "--yes"), "of 1,000 dead letters deleted"),
        (("failures", "email"), "of 1,000 dead letters read"),
        (("memory",), "keys looked at"),
        (("doctor",), "keys looked at"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_a_long_command_shows_on_a_terminal_how_far_it_is(
    project: Project,
    terminal: Terminal,
    monkeypatch: pytest.MonkeyPatch,
    command: tuple[str, ...],
    said: str,
) -> None:
    monkeypatch.setattr(Progress.__init__, "__kwdefaults__", {"quiet": False, "left": "", "after": 0.0})
    monkeypatch.setattr(progress, "EVERY", 0.0)
    with (
        open(terminal.theirs, "w", encoding="utf-8", closefd=False) as stream,
        monkeypatch.context() as patch,
    ):
        patch.setattr("sys.stderr", stream)
        project.rota(*command)
        lines = terminal.shown().split("\r\x1b[K")
        assert any(said in line for line in lines), lines
        assert said not in lines[-1], "it is gone at the end"
        before = len(terminal.shown())
        project.rota(*command, "--json")
        assert said not in terminal.shown()[before:]


@pytest.mark.usefixtures("letters")
def test_where_nobody_watches_nothing_is_shown(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Progress.__init__, "__kwdefaults__", {"quiet": False, "left": "", "after": 0.0})
    ran = project.rota("purge", "email", "--all", "--yes")
    assert (ran.out, ran.err) == ("1,000 deleted\n", "")


@pytest.mark.usefixtures("letters")
async def test_ctrl_c_leaves_the_rest_and_says_how_far_it_got(
    project: Project, terminal: Terminal, server: RedisServer
) -> None:
    project.write("jobs/__init__.py", JOBS + SLOW.format(seconds=0.4, later=60))
    command = ("purge", "email", "--all", "--yes")
    process = start(*command, cwd=project.folder, environment=project.environment(), stderr=terminal.theirs)
    try:
        await until(lambda: "400 of 1,000 dead letters deleted" in terminal.shown(), "it shows how far it is")
        process.send_signal(signal.SIGINT)
        assert await asyncio.to_thread(process.wait, 10) == 130
    finally:
        process.kill()
        process.wait()
    last = terminal.shown().split("\r\x1b[K")[-1].strip()
    assert last == (
        "stopped: 400 of 1,000 dead letters deleted; the others are as they were, and the same command goes on"
    )
    with server.client() as redis:
        assert redis.zcard(EMAIL.dead) == len(redis.keys(f"{EMAIL.dead}:*")) == 600


def test_what_is_left_of_jobs_that_are_gone_is_named(project: Project, server: RedisServer) -> None:
    with server.client() as redis:
        redis.set("arq:job:gone", b"p")
        redis.hset("rota:flow:f:plan", "n", 1)
        redis.sadd("arq:queue:email:workers", "dead")
        for number in range(2):
            redis.xadd("rota:records", {"e": f"[{number}]"})
    left = "plans and results of flows that are gone (1), payloads of jobs in no queue (1)"
    ran = project.rota("memory")
    assert f"left of jobs that are gone: {left}; the worker that leads removes this" in ran.err
    assert json.loads(project.rota("memory", "--json").out)["left"] == left
    said = {one["about"]: one for one in json.loads(project.rota("doctor", "--json").out)}
    assert left in said["leftovers"]["said"]
    quick = {one["about"] for one in json.loads(project.rota("doctor", "--json", "--quick").out)}
    assert quick == said.keys() - {"leftovers"}
    assert "nothing reads them" in said["records"]["said"]
    with server.client() as redis:
        assert redis.exists("arq:job:gone", "rota:flow:f:plan") == 2
        redis.delete("arq:job:gone", "rota:flow:f:plan", "rota:records")
    assert "left of jobs" not in project.rota("memory").err
    assert not {"leftovers", "records"} & {
        one["about"] for one in json.loads(project.rota("doctor", "--json").out)
    }
