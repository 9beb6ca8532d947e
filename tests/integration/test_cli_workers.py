"""`rota workers`: the processes as a person and a program see them."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rota.fleet.heartbeat import Heartbeat
from rota.server import connections
from rota.server.target import RedisTarget
from rota.wire.leader import Place
from tests.integration.project import Project
from tests.servers import RedisServer
from tests.unit.fleet.test_heartbeat import EMAIL, Worker

Act = Callable[[Any], Any]


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
        await Heartbeat(redis, process, [worker], cap=8, version="1.4.2").beat()


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
