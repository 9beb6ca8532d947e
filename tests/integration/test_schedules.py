"""Schedules in real worker processes, one of which leads; and the command that shows and changes them."""

import contextlib
import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.project import Project
from tests.servers import RedisServer
from tests.waiting import wait_until

JOBS = '''
"""The jobs of a test."""

import os

from rota import Run, every, job


@every("1s", name="often", overlap="allow")
@job
async def note(run: Run) -> None:
    """Write down that it ran."""
    with open(os.environ["LEDGER"], "a") as ledger:
        ledger.write(f"{run.id}\\n")


@every("0 4 * * *", tz="Europe/Berlin", args={"to": "ann"})
@job(queue="email")
async def send(run: Run, to: str) -> None:
    """Nothing."""
'''


@pytest.fixture
def project(tmp_path: Path, capfd: pytest.CaptureFixture[str], own_server: RedisServer) -> Project:
    project = Project(tmp_path, capfd, own_server.url)
    project.write("jobs/__init__.py", JOBS)
    return project


@pytest.fixture
def worker(project: Project, tmp_path: Path) -> Iterator[Callable[[], "subprocess.Popen[str]"]]:
    """Start worker processes, which end with the test."""
    with contextlib.ExitStack() as stack:

        def start() -> "subprocess.Popen[str]":
            variables = {"LEDGER": str(tmp_path / "ledger"), "METRICS_PORT": "off", "LEADER_LEASE": "1s"}
            process = project.process("worker", **variables, BOOT_TIMEOUT="10")
            stack.callback(process.communicate, timeout=20)
            stack.callback(process.terminate)
            stack.callback(process.send_signal, signal.SIGCONT)
            return process

        yield start


def ran(tmp_path: Path) -> list[str]:
    """Return the ids of the jobs that ran."""
    ledger = tmp_path / "ledger"
    return ledger.read_text().splitlines() if ledger.exists() else []


def listed(project: Project) -> dict[str, Any]:
    answer = project.rota("schedules", "--json")
    assert answer.status == 0
    return {one["name"]: one for one in json.loads(answer.out)}


def test_ticks_run_once_each_whichever_process_leads(
    worker: Callable[[], "subprocess.Popen[str]"], tmp_path: Path
) -> None:
    first, second = worker(), worker()
    wait_until(lambda: len(ran(tmp_path)) > 1)
    for stopped in (first, second):
        # Whichever of them led: it stands still past its lease, and goes on as if it still led.
        stopped.send_signal(signal.SIGSTOP)
        before = len(ran(tmp_path))
        wait_until(lambda before=before: len(ran(tmp_path)) > before + 1)
        stopped.send_signal(signal.SIGCONT)
    ids = ran(tmp_path)
    assert len(ids) == len(set(ids))
    assert all(one.startswith("cron:often:") for one in ids)


def test_the_command_lists_runs_pauses_and_resumes(
    project: Project, worker: Callable[[], "subprocess.Popen[str]"], tmp_path: Path
) -> None:
    assert listed(project) == {}
    worker()
    wait_until(lambda: listed(project).get("often", {}).get("outcome") == "completed")
    found = listed(project)
    assert found["email:send"]["job"] == "email:send"
    assert found["email:send"]["words"] == "At 04:00 every day, Europe/Berlin"
    assert found["email:send"]["next"] is not None
    assert "At 04:00 every day, Europe/Berlin" in project.rota("schedules").out
    assert project.rota("schedules", "pause", "often").out == "often is paused\n"
    assert listed(project)["often"]["next"] is None
    assert "paused since" in project.rota("schedules").out
    handle = json.loads(project.rota("schedules", "run", "often", "--json").out)
    wait_until(lambda: handle["id"] in ran(tmp_path))
    assert project.rota("schedules", "resume", "often").out == "often goes on\n"
    before = len(ran(tmp_path))
    wait_until(lambda: len(ran(tmp_path)) > before)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("pause",), "write `rota schedules` alone, or `rota schedules pause NAME`"),
        (("list", "often"), "write `rota schedules` alone, or `rota schedules run NAME`"),
        (("run", "nightli"), "there is no schedule 'nightli'"),
        (("pause", "nightli"), "there is no schedule 'nightli'"),
    ],
)
def test_what_the_command_cannot_do_is_refused(
    project: Project, arguments: tuple[str, ...], said: str
) -> None:
    project.rota("schedules", *arguments).refused(said)


def test_a_burst_does_not_wait_for_ticks(project: Project, tmp_path: Path, own_server: RedisServer) -> None:
    own_server.client().zadd("arq:queue:default", {"cron:often:9999999999999": 9_999_999_999_999})
    variables = {"LEDGER": str(tmp_path / "ledger"), "METRICS_PORT": "off", "BOOT_TIMEOUT": "10"}
    project.write("jobs/__init__.py", JOBS.replace('"1s"', '"1h"'))
    process = project.process("worker", "--burst", **variables)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
