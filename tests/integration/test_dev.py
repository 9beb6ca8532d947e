"""`rota dev`: started again when a file changes, with the settings as they are then; and it ends quietly."""

import json
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.project import Project
from tests.processes import start
from tests.servers import RedisServer
from tests.waiting import wait_until


class Dev:
    """A `rota dev` that runs, and what it and its workers have said."""

    def __init__(self, project: Project) -> None:
        self.folder = project.folder
        self._log = project.folder.parent / f"{project.folder.name}.log"
        with self._log.open("wb") as log:
            environment = project.environment(LOG_FORMAT="json", METRICS_PORT="off", API_PORT="0")
            self.process = start(
                "dev", cwd=self.folder, environment=environment, stdout=log, stderr=subprocess.STDOUT
            )

    @property
    def said(self) -> str:
        return self._log.read_text()

    def events(self, name: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.said.splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == name]

    def ready(self, times: int) -> dict[str, Any]:
        """Wait until this many workers have been ready, and return what the last one said."""
        wait_until(lambda: len(self.events("worker.ready")) >= times, f"worker {times} is ready")
        return self.events("worker.ready")[times - 1]


@pytest.fixture
def dev(tmp_path: Path, capsys: pytest.CaptureFixture[str], server: RedisServer) -> Iterator[Dev]:
    (tmp_path / "project").mkdir()
    running = Dev(Project(tmp_path / "project", capsys, server.url))
    yield running
    running.process.kill()
    running.process.wait()


def test_a_changed_setting_and_a_changed_job_start_the_worker_again(dev: Dev) -> None:
    assert set(dev.ready(1)["queues"].values()) == {10}
    env = dev.folder / ".env"
    env.write_text("QUEUE_CONCURRENCY=3\n")
    assert set(dev.ready(2)["queues"].values()) == {3}
    # As editors write: another file takes its place.
    (dev.folder / "new").write_text("QUEUE_CONCURRENCY=4\n")
    (dev.folder / "new").rename(env)
    assert set(dev.ready(3)["queues"].values()) == {4}
    with (dev.folder / "jobs" / "__init__.py").open("a") as jobs:
        jobs.write("\n\n@job\nasync def another(run: Run) -> None: ...\n")
    assert dev.ready(4)["jobs"] == dev.ready(1)["jobs"] + 1
    assert "changed: .env" in dev.said


def test_the_api_is_there_beside_the_worker(dev: Dev) -> None:
    dev.ready(1)
    (ready,) = dev.events("api.ready")
    with urllib.request.urlopen(f"http://127.0.0.1:{ready['port']}/queues", timeout=10) as reply:
        assert [one["name"] for one in json.load(reply)["items"]] == ["default", "email"]


def test_it_ends_quietly_and_tells_its_worker_once(dev: Dev) -> None:
    dev.ready(1)
    dev.process.send_signal(signal.SIGINT)
    assert dev.process.wait(20) == 0
    assert [line["status"] for line in dev.events("worker.stopped")] == [0]
    assert dev.events("worker.hurried") == []
    assert "Traceback" not in dev.said
    assert "Interrupt" not in dev.said
