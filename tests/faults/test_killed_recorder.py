"""The recorder in real worker processes: the one that leads writes the table, and the next one goes on."""

import json
import signal
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.integration.project import Project
from tests.servers import RedisServer
from tests.waiting import wait_until

KEY, SWITCH, LEADER = "rota:records", "rota:recording", "rota:leader"
Rows = Callable[[], dict[str, str]]


@pytest.fixture
def project(tmp_path: Path, capfd: pytest.CaptureFixture[str], own_server: RedisServer) -> Project:
    return Project(tmp_path, capfd, own_server.url)


@pytest.fixture
def client(own_server: RedisServer) -> Iterator[redis.Redis]:
    with own_server.client() as client:
        yield client


@pytest.fixture
def worker(project: Project, tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Return what starts a worker that may lead, and ends all of them with the test."""
    started: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        url = f"sqlite:///{tmp_path}/audit.db"
        started.append(project.process(METRICS_PORT="off", DATABASE_URL=url, LEADER_LEASE="1"))
        return started[-1]

    yield start
    for process in started:
        process.terminate()
        _, err = process.communicate(timeout=30)
        assert "Traceback" not in err


@pytest.fixture
def rows(tmp_path: Path) -> Rows:
    """Return what reads the status of each job."""

    def read() -> dict[str, str]:
        try:
            with sqlite3.connect(f"file:{tmp_path}/audit.db?mode=ro", uri=True) as database:
                return dict(database.execute("SELECT id, status FROM _jobs"))
        except sqlite3.OperationalError:
            return {}

    return read


def tell(client: Any, first: int, count: int) -> None:
    """Tell of jobs that were enqueued and completed, as the scripts do."""
    for number in range(first, first + count):
        events = [[kind, "email", f"email:{number}", "send", 1] for kind in ("enqueued", "completed")]
        client.xadd(KEY, {"e": json.dumps(events)})


def leader(client: Any) -> int:
    """Return the process id of the worker that leads, which is in its name; 0 where none does."""
    name = (client.get(LEADER) or b"").decode().partition(" ")[0]
    return int(name.split("-")[-2]) if name else 0


def test_the_worker_that_leads_writes_the_table_and_the_next_goes_on_where_it_was_killed(
    worker: Callable[[], subprocess.Popen[str]], client: redis.Redis, rows: Rows
) -> None:
    workers = {process.pid: process for process in (worker(), worker())}
    wait_until(lambda: client.get(SWITCH), "recording is switched on")
    tell(client, 0, 200)
    wait_until(rows, "rows are written")
    first = leader(client)
    workers[first].send_signal(signal.SIGKILL)
    workers[first].wait(10)
    tell(client, 200, 200)
    wait_until(lambda: len(rows()) == 400, "the other one has written the rest")
    assert leader(client) in workers.keys() - {first}
    assert rows() == {f"email:{number}": "COMPLETED" for number in range(400)}
    wait_until(lambda: client.xlen(KEY) == 1, "what is in the table has left Redis")


def test_a_leader_that_was_stopped_for_longer_than_its_lease_writes_nothing_twice(
    worker: Callable[[], subprocess.Popen[str]], client: redis.Redis, rows: Rows
) -> None:
    workers = {process.pid: process for process in (worker(), worker())}
    wait_until(lambda: client.get(SWITCH), "recording is switched on")
    tell(client, 0, 200)
    # SQLite's writers wait for each other: the leader is to stand still between its transactions.
    wait_until(lambda: len(rows()) == 200 and client.xlen(KEY) == 1, "rows are written")
    stopped = leader(client)
    workers[stopped].send_signal(signal.SIGSTOP)
    tell(client, 200, 200)
    wait_until(lambda: len(rows()) == 400, "the other one has written the rest")
    workers[stopped].send_signal(signal.SIGCONT)
    tell(client, 400, 200)
    wait_until(lambda: len(rows()) == 600 and client.xlen(KEY) == 1, "all is written")
    assert leader(client) in workers.keys() - {stopped}
    assert rows() == {f"email:{number}": "COMPLETED" for number in range(600)}
