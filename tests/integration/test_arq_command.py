"""`rota arq` and `rota.run_worker`: a project's arq settings, as its owner has them, on our worker."""

import asyncio
import logging
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from arq.connections import ArqRedis
from arq.jobs import Job
from arq.version import VERSION

import rota
from rota.errors import DiscoveryFailed
from rota.worker.arq_settings import arguments_of
from tests.integration.arq_holes.side_by_side import echo, settings_of
from tests.processes import environment, start
from tests.servers import RedisServer, free_port
from tests.waiting import until

APP = """
import os
from arq.connections import RedisSettings

async def double(ctx, number):
    return number * 2

class Base:
    redis_settings = RedisSettings("127.0.0.1", int(os.environ["PORT"]), conn_retries=0)

class WorkerSettings(Base):
    functions = [double]
    queue_name = "apart"
    keep_result = 60

loud = {
    "version": 1, "disable_existing_loggers": False,
    "formatters": {"own": {"format": "OWN %(message)s"}},
    "handlers": {"own": {"class": "logging.StreamHandler", "formatter": "own"}},
    "loggers": {"arq": {"handlers": ["own"], "level": "INFO"}},
}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(APP)
    return tmp_path


class Command:
    """`rota arq` with some arguments, in the folder of a project."""

    def __init__(self, project: Path, server: RedisServer) -> None:
        self._project = project
        self.environment = environment(PORT=str(server.port))
        self.log = project / "log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *arguments: str) -> "subprocess.Popen[bytes]":
        with self.log.open("wb") as log:
            self.process = start(
                *("arq", *arguments),
                cwd=self._project,
                environment=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self.process

    def run(self, *arguments: str) -> tuple[int, str]:
        status = self.start(*arguments).wait(30)
        return status, self.said()

    def said(self) -> str:
        return self.log.read_text("utf-8")


@pytest.fixture
def command(project: Path, server: RedisServer) -> Iterator[Command]:
    command = Command(project, server)
    yield command
    if command.process is not None and command.process.poll() is None:
        os.killpg(command.process.pid, signal.SIGKILL)
        command.process.wait(10)


async def put(redis: ArqRedis, number: int) -> Job:
    job = await redis.enqueue_job("double", number, _queue_name="apart")
    assert job is not None
    return job


async def test_a_burst_runs_what_is_there_and_ends(command: Command, redis: ArqRedis) -> None:
    job = await put(redis, 4)
    status, said = await asyncio.to_thread(command.run, "app.WorkerSettings", "--burst")
    assert (status, await job.result(timeout=1)) == (0, 8)
    assert ": Starting worker for 1 functions: double\n" in said
    assert "jobs are unpickled" in said
    assert f"{job.job_id}:double(4)" in said
    assert "◆ 1 jobs complete ◆ 0 failed ◆ 0 retries ◆ 0 ongoing to cancel" not in said


async def test_it_works_until_a_signal_and_its_health_is_checked(command: Command, redis: ArqRedis) -> None:
    process = command.start("app.WorkerSettings", "-v")
    assert await (await put(redis, 1)).result(timeout=20) == 2
    await until(lambda: redis.exists("apart:health-check"))
    log, command.log = command.log, command.log.with_suffix(".check")
    status, said = await asyncio.to_thread(command.run, "app.WorkerSettings", "--check")
    assert status == 0
    assert "Health check successful: " in said
    process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(process.wait, 20) == 0
    assert (
        "shutdown on SIGTERM ◆ 1 jobs complete ◆ 0 failed ◆ 0 retries ◆ 0 ongoing to cancel"
        in log.read_text()
    )
    status, said = await asyncio.to_thread(command.run, "app.WorkerSettings", "--check")
    assert status == 1
    assert "Health check failed: no health check sentinel value found" in said


async def test_a_logging_dictionary_of_ones_own_is_used(command: Command, redis: ArqRedis) -> None:
    await put(redis, 1)
    options = ("app.WorkerSettings", "--burst", "--custom-log-dict", "app.loud")
    status, said = await asyncio.to_thread(command.run, *options)
    assert status == 0
    assert "OWN Starting worker for 1 functions: double\n" in said


async def test_a_changed_file_is_run_anew(command: Command, project: Path, redis: ArqRedis) -> None:
    code = project / "code"
    code.mkdir()
    (project / "app.py").rename(code / "app.py")
    command.environment["PYTHONPATH"] += os.pathsep + str(code)
    process = command.start("app.WorkerSettings", "--watch", "code")
    assert await (await put(redis, 1)).result(timeout=20) == 2
    # Of another length: by bytecode, a file of the same length and second would be the one before.
    (code / "app.py").write_text(APP.replace("number * 2", "number * (2 + 1)"))
    await until(lambda: command.said().count("Starting worker") == 2)
    assert await (await put(redis, 1)).result(timeout=20) == 3
    os.killpg(process.pid, signal.SIGINT)
    assert await asyncio.to_thread(process.wait, 20) == 0
    assert "files changed, reloading the worker" in command.said()


def test_its_version_is_rotas_and_arqs(command: Command) -> None:
    status, said = command.run("--version")
    assert (status, said) == (0, f"rota {rota_version()}, for arq {VERSION}\n")


def rota_version() -> str:
    from importlib.metadata import version

    return version("rota")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("app.WorkerSetting", "rota: cannot collect the jobs of app: it defines no WorkerSetting\n"),
        ("app.loud", "rota: cannot collect the jobs of app.loud: at least one function or cron_job must be"),
    ],
)
def test_what_cannot_be_run_is_said_in_a_sentence(command: Command, path: str, said: str) -> None:
    status, shown = command.run(path, "--burst")
    assert status == 2
    assert said in shown
    assert "Traceback" not in shown


def test_a_redis_that_is_away_is_said_in_a_sentence(command: Command) -> None:
    command.environment["PORT"] = str(free_port())
    status, shown = command.run("app.WorkerSettings")
    assert status == 6
    assert re.search(
        r"(?m)^rota: \S+127\.0\.0\.1:\d+/0 is not listening: start it, or correct redis_settings$", shown
    )
    assert "Traceback" not in shown


# Without the command


async def test_run_worker_takes_a_class_a_dictionary_and_a_path(
    redis: ArqRedis, server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    class WorkerSettings:
        functions = (echo,)
        redis_settings = settings_of(server)
        handle_signals = False

    given: dict[str, Any] = {name: value for name, value in vars(WorkerSettings).items() if name[0] != "_"}
    monkeypatch.setattr(f"{__name__}.found", WorkerSettings)
    for settings in (WorkerSettings, given, f"{__name__}.found"):
        job = await redis.enqueue_job("echo", 1)
        assert job is not None
        worker = await asyncio.to_thread(rota.run_worker, settings, burst=True)
        assert (worker.jobs_complete, await job.result(timeout=1)) == (1, 1)


found: Any = None


def test_inherited_settings_count_and_a_typing_error_is_told(caplog: pytest.LogCaptureFixture) -> None:
    class Base:
        functions = (echo,)
        max_jobs = 3

    class WorkerSettings(Base):
        keep_results = 60
        project = "ours"
        shared = "a name of their own"

    assert arguments_of(WorkerSettings) == {"functions": (echo,), "max_jobs": 3}
    (told,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert told == "the setting 'keep_results' is unknown, and was left out; did you mean 'keep_result'?"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("WorkerSettings", "a path such as app.WorkerSettings is needed"),
        ("nowhere_at_all.WorkerSettings", "there is no such package"),
        ("broken_app.WorkerSettings", r"its import failed at .*broken_app\.py:2 with ZeroDivisionError"),
        (f"{__name__}.Missing", "it defines no Missing"),
    ],
)
def test_a_path_that_leads_nowhere_is_refused(
    path: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_app.py").write_text("import arq\n1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DiscoveryFailed, match=said):
        arguments_of(path)
