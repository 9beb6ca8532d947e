"""The audit table from end to end: jobs that a real worker runs, and the rows that it writes while it leads."""

import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.project import JOBS, Project
from tests.servers import RedisServer
from tests.waiting import wait_until

MORE = '''
from rota import fixed

@job(max_attempts=2, backoff=fixed(0.05))
async def fail(run: Run) -> None:
    """Fails each time."""
    run.log.info("trying", extra={"user": 17})
    raise ValueError("no such user: 17")
'''
Row = dict[str, Any]
Rows = Callable[[str], list[Row]]


@pytest.fixture
def project(tmp_path: Path, capfd: pytest.CaptureFixture[str], own_server: RedisServer) -> Iterator[Project]:
    """Yield a project in which a worker runs that leads, and records."""
    project = Project(tmp_path, capfd, own_server.url)
    project.write("jobs/__init__.py", JOBS + MORE)
    worker = project.process(
        METRICS_PORT="off", DATABASE_URL=f"sqlite:///{tmp_path}/audit.db", APP_VERSION="1.4.2"
    )
    try:
        with own_server.client() as client:
            wait_until(lambda: client.get("rota:recording"), "recording is switched on")
        yield project
    finally:
        worker.terminate()
        _, err = worker.communicate(timeout=30)
    assert worker.returncode == 0, err


@pytest.fixture
def rows(tmp_path: Path) -> Rows:
    """Return what reads the rows of a job's name."""

    def read(name: str) -> list[Row]:
        with sqlite3.connect(f"file:{tmp_path}/audit.db?mode=ro", uri=True) as database:
            database.row_factory = sqlite3.Row
            # Recording begins before the tables are there.
            if not database.execute("SELECT 1 FROM sqlite_master WHERE name = '_jobs'").fetchall():
                return []
            return [dict(row) for row in database.execute("SELECT * FROM _jobs WHERE name = ?", (name,))]

    return read


def finished(rows: Rows, name: str) -> Row:
    def look() -> Row | None:
        found = rows(name)
        return found[0] if found and found[0]["finished_at"] else None

    row: Row = wait_until(look, f"{name} is over in the table")
    return row


def test_what_a_worker_does_is_in_the_table(project: Project, rows: Rows) -> None:
    assert project.rota("enqueue", "greet", '{"name": "ann"}').status == 0
    assert project.rota("enqueue", "fail").status == 0
    assert project.rota("enqueue", "send", "--delay", "600").status == 0
    row = finished(rows, "greet")
    assert (row["queue"], row["status"], row["attempts"], row["error"]) == ("default", "COMPLETED", 1, None)
    assert json.loads(row["result"]) == "hello ann"
    assert json.loads(row["payload"])["k"] == {"name": "ann"}
    assert row["enqueued_at"] <= row["started_at"] <= row["finished_at"]
    assert row["worker"]
    assert row["version"] == "1.4.2"
    row = finished(rows, "fail")
    assert (row["status"], row["reason"], row["attempts"]) == ("FAILED", "failed", 2)
    assert row["error"] == "ValueError: no such user: 17"
    assert row["error_key"]
    attempts = r"attempt 1, .* UTC\n.* info    trying user=17\nattempt 2, .* UTC\n.* info    trying user=17"
    assert re.fullmatch(attempts, row["log"])
    (group,) = json.loads(project.rota("failures", "--json").out)
    assert group["versions"] == ["1.4.2"]
    (row,) = wait_until(lambda: rows("send"), "send is in the table")
    assert (row["status"], row["started_at"]) == ("PENDING", None)
    assert row["due_at"] > row["enqueued_at"]
    assert project.rota("cancel", "email", row["id"]).status == 0
    assert finished(rows, "send")["status"] == "CANCELLED"
