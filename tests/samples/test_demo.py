"""The demo: what a newcomer sees of it, and that it touches, and leaves, nothing that it should not."""

import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import httpx2
import psutil
import pytest
import redis as redis_py
from arq.connections import ArqRedis

from examples.demo import __main__ as demo
from examples.demo import stage as demo_stage
from jobs.samples.sleep import sleep
from rota import State
from rota.cli import redis_prompt
from rota.server.embedded import join
from rota.server.target import RedisTarget
from rota.settings.load import load
from tests.servers import RedisServer
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
COMMAND = re.compile(r"^\$ make redis-cli ARGS='(.*)'$", re.MULTILINE)


def environment(**variables: str) -> dict[str, str]:
    """Return this process's environment without settings, as a newcomer has it."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("REDIS_", "SMTP_"))
    }
    return {**inherited, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "COLUMNS": "80", **variables}


#: The demo with one job of each kind and each end, in place of the 28; without the film unless it is asked for.
SMALL_DEMO = """
import asyncio, sys
WITH_FILM = False
from examples.demo import __main__ as demo

small = {(item.call.job.name, item.state, item.attempts): item for item in demo.the_load()}
demo.the_load = lambda: [item for item in small.values() if item.queue != "media" or WITH_FILM]
sys.exit(asyncio.run(demo.main(stays="--stay" in sys.argv)))
"""


def run_demo(
    cwd: Path, root: Path = ROOT, *, program: str = "", **variables: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *(("-c", program) if program else ("-m", "examples.demo"))],
        cwd=cwd,
        env=environment(**{"PYTHONPATH": f"{root / 'src'}:{root}", **variables}),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def processes_of(folder: Path) -> list[str]:
    """List the processes that work in a folder, or whose command names it."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if str(folder) in " ".join(process.cmdline()) or process.cwd().startswith(str(folder)):
                found.append(" ".join(process.cmdline()))
    return found


def until_nothing_runs(folder: Path) -> None:
    wait_until(lambda: processes_of(folder) == [], f"nothing runs in {folder}")


def keys(server: RedisServer, db: int = 0) -> dict[bytes, bytes]:
    with redis_py.Redis(port=server.port, db=db) as client:
        return {key: client.dump(key) or b"" for key in client.scan_iter()}


@pytest.mark.timeout(200)
def test_on_a_machine_with_nothing_every_job_ends_as_expected_and_what_is_shown_is_real(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = run_demo(tmp_path)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "\x1b" not in ran.stdout
    assert "not expected" not in ran.stdout
    assert re.search(r"^default:sleep-10 +1 .*completed +2\.3", ran.stdout, re.MULTILINE)
    assert re.search(r"^default:flaky-3 +2 .*completed", ran.stdout, re.MULTILINE)
    assert re.search(r"^default:broken-2 +3 .*dead +no answer to attempt 3", ran.stdout, re.MULTILINE)
    assert re.search(r"^email:email-7 +2 .*completed", ran.stdout, re.MULTILINE)
    assert re.search(r"^reports:data_processing-4 +1 .*completed +100,000 rows", ran.stdout, re.MULTILINE)
    assert "took 7 mails, refused 1, put off 1." in ran.stdout
    assert "28 jobs: 6 were tried again, 3 are dead." in ran.stdout
    stages = "write_script 1 of 1, paint_scene 6 of 6, merge 1 of 1."
    assert f"The film's pipeline: {stages}\n" in ran.stdout
    shown = re.search(r"^Its 2\.88 s: (.*)$", ran.stdout, re.MULTILINE)
    assert shown is not None
    assert Path(shown[1]).is_relative_to(tmp_path)
    assert Path(shown[1]).read_bytes()[8:16] == b"WEBPVP8X"
    assert "`make demo ARGS=--stay` opens the dashboard on them: http://127.0.0.1:8000/ui/" in ran.stdout
    assert re.search(r"MailRefused: 127.0.0.1:\d+ refuses this mail: 550 5.1.1", ran.stdout)
    until_nothing_runs(tmp_path)

    # The commands that the last part shows give the output that it shows.
    last_part = ran.stdout.partition("5. What Redis holds now")[2]
    commands = COMMAND.findall(last_part)
    assert len(commands) == 6
    server = join(tmp_path)
    first = subprocess.run(
        [sys.executable, "-m", "rota", "redis-cli", *commands[0].split()],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    answers = [first.stdout]
    capsys.readouterr()
    for command in commands[1:]:
        assert redis_prompt.run(RedisTarget.from_url(server.url), command.split()) == 0
        answers.append(capsys.readouterr().out)
    server.close()
    for command, answer in zip(commands, answers, strict=True):
        assert answer
        assert f"$ make redis-cli ARGS='{command}'\n{answer}" in last_part
    until_nothing_runs(tmp_path)


@pytest.mark.timeout(200)
def test_on_a_server_with_other_jobs_it_touches_none_of_them(tmp_path: Path, own_server: RedisServer) -> None:
    with own_server.client() as client:
        client.zadd("arq:queue:default", {"theirs": 1})
        client.set("arq:job:theirs", "x")
        client.zadd("arq:queue:email:dead", {"theirs": 1})
    before = keys(own_server)
    (tmp_path / ".env").write_text(
        f"REDIS_URL={own_server.url}\nMAX_ATTEMPTS=1\nSMTP_HOST=real.example.org\n"
    )
    ran = run_demo(tmp_path, program=SMALL_DEMO, QUEUES__EMAIL__CONCURRENCY="1", SMTP_HOST="real.example.org")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "7 jobs: 3 were tried again, 2 are dead." in ran.stdout
    assert keys(own_server) == before
    assert "the demo has database 15" in ran.stdout
    assert "redis> select 15\nOK\n" in ran.stdout
    assert keys(own_server, 15)
    with redis_py.Redis(port=own_server.port, db=15) as client:
        assert all(0 < client.ttl(key) <= 3600 for key in client.scan_iter())
    until_nothing_runs(tmp_path)


class OnATerminal:
    """The demo on a pseudo-terminal."""

    def __init__(self, cwd: Path, *words: str, **variables: str) -> None:
        self._terminal, theirs = pty.openpty()
        self._process = subprocess.Popen(
            [sys.executable, *(words or ("-m", "examples.demo"))],
            cwd=cwd,
            env=environment(TERM="xterm-256color", **variables),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self.shown = ""

    def until(self, text: str, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while text not in self.shown:
            assert time.monotonic() < deadline, self.shown
            self._read()

    def interrupt(self) -> None:
        """Ctrl-C, which goes to all processes of the terminal."""
        os.killpg(self._process.pid, signal.SIGINT)

    def status(self) -> int:
        """Wait until the demo has ended, and return its exit status."""
        deadline = time.monotonic() + 60
        while self._process.poll() is None:
            assert time.monotonic() < deadline, self.shown
            self._read()
        return self._process.returncode

    def close(self) -> None:
        os.close(self._terminal)
        if self._process.poll() is None:
            # The group: a worker that went on would take the jobs of the tests after this one.
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _read(self) -> None:
        if select.select([self._terminal], [], [], 0.1)[0]:
            with suppress(OSError):  # the demo has ended
                self.shown += os.read(self._terminal, 65536).decode("utf-8", "replace")


@pytest.fixture
def terminal(tmp_path: Path, server: RedisServer) -> Iterator[OnATerminal]:
    terminal = OnATerminal(tmp_path, REDIS_URL=server.url)
    yield terminal
    terminal.close()


def test_ctrl_c_leaves_no_process_and_no_job(
    terminal: OnATerminal, tmp_path: Path, server: RedisServer
) -> None:
    terminal.until("s left")  # a job is seen running, with its bar
    assert "\x1b[" in terminal.shown
    assert "━" in terminal.shown
    terminal.interrupt()
    assert terminal.status() == 130
    assert "demo: stopped" in terminal.shown
    assert "Traceback" not in terminal.shown
    assert not {key for key in keys(server) if b"demo" in key or key.startswith((b"arq:job", b"arq:result"))}
    assert not keys(server).keys() & {f"arq:queue:{queue}".encode() for queue in demo_stage.QUEUES}
    until_nothing_runs(tmp_path)


def test_asked_to_stay_it_keeps_the_dashboard_open_on_its_jobs(tmp_path: Path, server: RedisServer) -> None:
    terminal = OnATerminal(tmp_path, "-c", SMALL_DEMO, "--stay", REDIS_URL=server.url)
    try:
        terminal.until("The dashboard is open: ")
        terminal.until("Ctrl-C ends")
        (address,) = set(re.findall(r"http://127\.0\.0\.1:\d+/ui/", terminal.shown))
        assert "MailRefused" in httpx2.get(f"{address}failures").text
        assert "email-8" in httpx2.get(f"{address}jobs?queue=email&state=dead").text
        terminal.interrupt()
        assert terminal.status() == 0
        assert "Traceback" not in terminal.shown
    finally:
        terminal.close()
    until_nothing_runs(tmp_path)


def test_a_demo_after_another_has_the_same_database(tmp_path: Path, server: RedisServer) -> None:
    with_film = SMALL_DEMO.replace("WITH_FILM = False", "WITH_FILM = True")
    for _ in range(2):
        ran = run_demo(tmp_path, program=with_film, REDIS_URL=server.url)
        assert (ran.returncode, ran.stderr) == (0, "")
        assert "holds other things" not in ran.stdout


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Copy the sources, for a test to change."""
    copy = tmp_path / "copied"
    for name in ("src/jobs", "src/rota", "examples"):
        # With the bytecode: the copies are as old as what they were copied from, and need not be compiled.
        shutil.copytree(ROOT / name, copy / name)
    return copy


def test_without_the_samples_it_says_so_in_one_sentence(source: Path, server: RedisServer) -> None:
    shutil.rmtree(source / "src" / "jobs" / "samples")
    ran = run_demo(source, source, REDIS_URL=server.url)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == (
        "The demo shows the sample jobs at work, and they are gone: src/jobs/samples/ was deleted.\n"
    )


def test_a_worker_that_does_not_start_is_told_from_jobs_that_fail(source: Path, server: RedisServer) -> None:
    (source / "src" / "jobs" / "wrong.py").write_text('raise ValueError("no good")\n')
    ran = run_demo(source, source, REDIS_URL=server.url)
    assert ran.returncode == 2
    assert ran.stderr.startswith("demo: the worker ended before its jobs did; see ")
    assert ran.stderr.endswith("jobs/wrong.py:1 with ValueError: no good\n")
    assert keys(server) == {}


def test_settings_that_cannot_be_are_one_sentence(tmp_path: Path) -> None:
    ran = run_demo(tmp_path, REDIS_URL="redis://127.0.0.1:1", BOOT_TIMEOUT="0.1")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith("demo: ")
    assert len(ran.stderr.splitlines()) == 1


# In this process


@asynccontextmanager
async def a_place(target: RedisTarget) -> AsyncIterator[demo_stage.Place]:
    place = demo_stage.Place(target, [("default", "demo-sleep-1")], usual=True)
    try:
        yield place
    finally:
        await place.close()


async def test_an_empty_database_is_free_and_is_left_empty(target: RedisTarget, redis: ArqRedis) -> None:
    async with a_place(target) as place:
        assert await place.claim()
        assert await redis.keys("*") == [b"demo:running"]
        await place.release()
    assert await redis.keys("*") == []


async def test_one_that_a_demo_is_using_is_not_free(target: RedisTarget) -> None:
    async with a_place(target) as first, a_place(target) as second:
        assert await first.claim()
        assert not await second.claim()
        await first.release()
        assert await second.claim()


@pytest.mark.parametrize(
    "key", ["anything", "arq:queue:default", "arq:queue:other:seen", "arq:queue:default:dead", "arq:job:1"]
)
async def test_one_that_holds_anything_else_is_not_free(
    target: RedisTarget, redis: ArqRedis, key: str
) -> None:
    await redis.zadd(key, {"theirs": 1})
    async with a_place(target) as place:
        assert not await place.claim()
    assert await redis.zrange(key, 0, -1) == [b"theirs"]
    assert await redis.keys("*") == [key.encode()]


async def test_jobs_of_its_pipelines_and_ticks_of_schedules_are_of_the_demo(
    target: RedisTarget, redis: ArqRedis
) -> None:
    for job_id in ("0a1b.0.0", "cron:media:tidy:1"):
        await redis.zadd("arq:queue:media", {job_id: 1})
        await redis.set(f"arq:job:{job_id}", "x")
    await redis.set("arq:result:0a1b.1.0", "x")
    await redis.set("demo:flow:0a1b", "x")
    async with a_place(target) as place:
        assert await place.claim()
        assert await redis.keys("*") == [b"demo:running"]


async def test_one_that_there_is_not_is_not_free(target: RedisTarget) -> None:
    async with a_place(replace(target, db=1_000)) as place:
        assert not await place.claim()


@pytest.mark.timeout(200)
async def test_a_demo_removes_what_an_earlier_one_left_and_says_when_a_job_ends_otherwise(
    target: RedisTarget,
    redis: ArqRedis,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    item = demo.Item(sleep.options(id="demo-sleep-1").call(0.1))
    async with a_place(target) as place:
        assert await place.claim()
        assert await demo.play(place, [item])
        await place.release()
    assert b"arq:result:default:demo-sleep-1" in await redis.keys("*")
    async with a_place(target) as place:
        assert await place.claim()
        assert b"arq:result:default:demo-sleep-1" not in await redis.keys("*")
        assert not await demo.play(place, [replace(item, state=State.DEAD)])
    assert re.search(r"default:sleep-1 .*completed \(not expected\)", capsys.readouterr().out)


# The worker's environment


@pytest.mark.parametrize(
    "target",
    [
        RedisTarget(),
        RedisTarget("redis.example.org", 6380, db=3, username="u:s@r", password="p@/?#:%ss wörd"),
        RedisTarget(path="/tmp/a folder/s.sock", db=7),
        RedisTarget(
            sentinels=(("a", 1), ("b", 2)), master="my/master", db=2, password="x", sentinel_password="y"
        ),
    ],
)
def test_the_worker_is_told_where_redis_is(target: RedisTarget) -> None:
    variables = demo_stage.worker_variables(target, mail_port=25, folder=".")
    told = {name: value for name, value in variables.items() if name.startswith("REDIS_")}
    assert load(told).redis == target
