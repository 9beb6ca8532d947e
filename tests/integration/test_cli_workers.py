"""`rota workers`: the processes as a person and a program see them."""

import asyncio
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rota.fleet.heartbeat import About, Heartbeat
from rota.server import connections
from rota.server.target import RedisTarget
from rota.wire.leader import Place
from tests.integration.project import Project
from tests.servers import RedisServer
from tests.unit.fleet.test_heartbeat import EMAIL, Worker
from tests.waiting import wait_until

Act = Callable[[Any], Any]

ABOUT = About("shop", 17, 60, 2**27, 0.25)


@pytest.fixture
def project(tmp_path: Path, capsys: pytest.CaptureFixture[str], server: RedisServer) -> Project:
    return Project(tmp_path, capsys, server.url)


@pytest.fixture
def doing(server: RedisServer) -> Callable[[Act], None]:
    """Return a call that does something with a client on the server."""

    def do(act: Act) -> None:
        async def go() -> None:
            async with connections.async_client(RedisTarget.from_url(server.url)) as redis:
                await act(redis)

        asyncio.run(go())

    return do


async def at_work(redis: Any) -> None:
    for process in ("host-1", "host-2"):
        worker = Worker(EMAIL.queue, running=2)
        await Heartbeat(redis, process, [worker], cap=8, version="1.4.2", about=lambda: ABOUT).beat()


def test_it_lists_the_processes_and_says_which_one_leads(
    project: Project, doing: Callable[[Act], None], server: RedisServer
) -> None:
    doing(at_work)
    doing(Place("rota", "host-2", 30).take)
    head, *rows = [line.split("\t") for line in project.rota("workers").out.splitlines()]
    assert head == ["process", "queue", "status", "slots", "busy", "version", "leads"]
    assert [row[:6] for row in rows] == [
        [f"host-{n}", "email", "running", "10", "2", "1.4.2"] for n in (1, 2)
    ]
    assert rows[0][6] == ""
    assert rows[1][6].startswith("since 20")

    said = json.loads(project.rota("workers", "--json").out)
    assert said["leader"]["process"] == "host-2"
    assert said["workers"][0] == {
        "process": "host-1",
        "queue": "email",
        "status": "running",
        "slots": 10,
        "busy": 2,
        "worker_concurrency": 8,
        "version": "1.4.2",
        "leads": False,
        **{"host": "shop", "pid": 17, "up": 60, "memory": 2**27, "lag": 0.25},
    }
    assert said["workers"][1]["leads"]
    other = project.rota("workers", NAMESPACE="team")
    assert "no process leads" in other.err
    with server.client() as client:
        client.set("rota:leader", "elsewhere " + "9" * 15)
    assert "elsewhere leads, since nobody knows when; it serves none" in project.rota("workers").err


def test_where_nobody_works_it_says_so_in_its_own_way(project: Project) -> None:
    assert json.loads(project.rota("workers", "--json").out) == {"leader": None, "workers": []}
    assert project.rota("workers").out.splitlines() == ["process\tqueue\tstatus\tslots\tbusy\tversion\tleads"]


def test_a_worker_process_tells_where_it_runs_and_how_it_is(project: Project) -> None:
    project.write(
        "jobs/__init__.py", "from rota import Run, job\n\n\n@job\nasync def nothing(run: Run) -> None: ...\n"
    )
    process = project.process("worker", METRICS_PORT="off", BOOT_TIMEOUT="10")

    def told() -> dict[str, Any]:
        return next(iter(json.loads(project.rota("workers", "--json").out)["workers"]), {})

    try:
        wait_until(lambda: told().get("memory", 0) > 2**20, "it has told of itself")
        found = told()
        assert (found["host"], found["pid"]) == (socket.gethostname()[:64], process.pid)
        assert found["lag"] >= 0
    finally:
        process.terminate()
        process.communicate(timeout=20)
