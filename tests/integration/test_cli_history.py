"""`rota history`: the last hours of a queue as a person and a program see them."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

import rota
from rota.app.connect import connect_sync
from rota.cli.commands.history import _line
from rota.settings.load import load
from tests.integration.project import Project
from tests.servers import RedisServer
from tests.unit.wire.lua.beds import real_bed
from tests.unit.wire.lua.test_history import Process


@pytest.fixture
def project(tmp_path: Path, capsys: pytest.CaptureFixture[str], server: RedisServer) -> Project:
    """Return a project whose queue `email` has completed three jobs, in a version that came then."""

    async def work() -> None:
        async with real_bed(server) as bed:
            await Process(bed, "host-1", "1.4.2").complete(3, seconds=7.0)

    asyncio.run(work())
    return Project(tmp_path, capsys, server.url)


def test_a_person_sees_a_row_a_step_the_deploys_and_what_it_comes_to(project: Project) -> None:
    ran = project.rota("history", "email")
    head, *rows = [line.split("\t") for line in ran.out.splitlines()]
    assert head == ["from", "completed", "retried", "dead", "wait p95", "run p95", "deployed"]
    assert len(rows) == 25
    # A full hour may begin between the work and the look.
    assert ["3", "0", "0", "0.0891 s", "7.08 s", "1.4.2"] in (rows[-1][1:], rows[-2][1:])
    assert rows[0][1:] == ["0", "0", "0", "", "", ""]
    assert rows[0][0].endswith(":00")
    started, line, times, mark = ran.err.splitlines()
    assert started == "24 h: 3 started, 3 completed"
    assert line.count("█") == 1
    assert times == "wait p50 0.0891 s, p95 0.0891 s, p99 0.0891 s; run p50 7.08 s, p95 7.08 s, p99 7.08 s"
    assert mark.endswith("1.4.2 began to run, on host-1")


def test_a_program_gets_everything(project: Project) -> None:
    found = json.loads(project.rota("history", "email", "--hours", "2", "--step", "1h", "--json").out)
    assert (found["queue"], found["step"], len(found["points"])) == ("email", 3600.0, 3)
    assert found["total"]["completed"] == found["total"]["run"]["count"] == 3
    assert sum(point["started"] for point in found["points"]) == 3
    assert [(mark["version"], mark["process"]) for mark in found["marks"]] == [("1.4.2", "host-1")]
    assert datetime.fromisoformat(found["marks"][0]["at"]).astimezone(UTC) <= datetime.now(UTC)


def test_where_nothing_happened_it_says_so(project: Project) -> None:
    ran = project.rota("history", "default", "--hours", "1")
    assert len(ran.out.splitlines()) == 1 + 13
    assert ran.err == "1 h: 0 started\n"


def test_what_cannot_be_asked_for_is_refused(project: Project) -> None:
    project.rota("history", "emial").refused("emial", "email")
    project.rota("history", "email", "--hours", "73").refused("--hours", "from 1 to 72")
    project.rota("history", "email", "--step", "90").refused("number of whole minutes")
    project.rota("history", "email", "--step", "soon").refused("--step")


def test_a_blocking_client_reads_the_same(project: Project, server: RedisServer) -> None:
    with connect_sync(load({"REDIS_URL": server.url})) as client:
        found = client.history("email", period=3600, step=60)
    assert isinstance(found, rota.QueueHistory)
    assert (found.total.completed, found.marks[0].version) == (3, "1.4.2")


def test_a_line_of_bars_shows_what_is_little_too() -> None:
    assert _line([0, 1, 400, 800]) == " ▁▄█"
    assert _line([5]) == "█"
