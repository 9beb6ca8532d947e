"""The command line where the code is not what Redis holds: queues that nothing names, jobs that cannot be imported."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from arq.connections import ArqRedis, RedisSettings, create_pool

from rota import Client
from rota.server import connections
from rota.server.target import RedisTarget
from tests.integration.project import Project
from tests.integration.test_cli import JOBS, enqueued, rows
from tests.servers import RedisServer


@pytest.fixture
def project(tmp_path: Path, capsys: pytest.CaptureFixture[str], server: RedisServer) -> Project:
    project = Project(tmp_path, capsys, server.url)
    project.write("jobs/__init__.py", "")
    project.write("jobs/mail.py", JOBS)
    return project


def put(server: RedisServer, *names: str, **options: Any) -> list[str]:
    """Enqueue jobs by name, as a process does that does not have their code."""

    async def go() -> list[str]:
        async with Client(connections.async_client(RedisTarget.from_url(server.url))) as client:
            return [(await client.enqueue_by_name(name, {}, **options)).id for name in names]

    return asyncio.run(go())


async def stock(server: RedisServer) -> None:
    pool: ArqRedis = await create_pool(
        RedisSettings.from_dsn(server.url), default_queue_name="arq:queue:emial"
    )
    await pool.enqueue_job("send")
    await pool.aclose()


# Jobs that no worker knows


def test_jobs_that_no_worker_knows_are_counted_and_named(project: Project, server: RedisServer) -> None:
    met = put(server, "email:former", "email:former", "email:misspelt")
    put(server, "email:not_met")
    with server.client() as client:
        # As a worker writes down that it has met them, and has no such job.
        client.hset("arq:queue:email:runs", mapping=dict.fromkeys(met, "-worker 0 0 0 1790000000000"))
    said = "email: 3 jobs wait for a worker that knows the name: former, misspelt"
    assert project.rota("queues").err.splitlines() == [f"rota: warning: {said}"]
    assert project.rota("queues", "--json").status == 0


# Queues that nothing names


def test_a_queue_that_nothing_names_is_listed_without_a_worker(project: Project, server: RedisServer) -> None:
    put(server, "emial:send")
    asyncio.run(stock(server))
    put(server, "reports:old", delay=60)
    ran = project.rota("queues")
    assert [row[0] for row in rows(ran.out)] == ["default", "email", "emial", "reports"]
    assert rows(ran.out)[2:] == [
        ["emial", "2", "0", "0", "0", "0", "no"],
        ["reports", "0", "1", "0", "0", "0", "no"],
    ]
    assert ran.err.splitlines() == [
        "rota: warning: no job and no setting of this code names the queue 'emial'; did you mean email?",
        "rota: warning: no job and no setting of this code names the queue 'reports'",
    ]
    known = {one["queue"]: one["known"] for one in json.loads(project.rota("queues", "--json").out)}
    assert known == {"default": True, "email": True, "emial": False, "reports": False}


def test_its_jobs_can_be_seen_and_cancelled_and_the_queue_then_is_none(
    project: Project, server: RedisServer
) -> None:
    (job_id,) = put(server, "emial:send")
    assert rows(project.rota("jobs", "emial").out)[0][:2] == [job_id, "emial:send"]
    assert project.rota("pause", "emial").out == "emial is paused\n"
    assert project.rota("resume", "emial").out == "emial goes on\n"
    assert project.rota("cancel", "emial", "--job", "send").out == "1 cancelled\n"
    for command in ("jobs", "pause"):
        project.rota(command, "emial").refused("there is no queue 'emial'", "did you mean email?")


@pytest.mark.parametrize("command", ["jobs", "pause", "resume"])
def test_a_name_that_no_queue_can_have_is_refused(project: Project, command: str) -> None:
    project.rota(command, "No Queue").refused("queue name 'No Queue' is not allowed")


# Jobs that cannot be imported


def test_what_needs_no_jobs_works_where_a_module_cannot_be_imported(
    project: Project, server: RedisServer
) -> None:
    (job_id,) = put(server, "reports:old")
    project.write("jobs/reports.py", "import nosuch_library\n")
    commands: list[tuple[str, ...]] = [
        ("queues",),
        ("list",),
        ("desired", "email", "--over", "0.1"),
        ("jobs", "reports"),
        ("show", "reports", job_id),
        ("pause", "reports"),
        ("resume", "reports"),
        ("cancel", "reports", job_id),
        ("cancel", "reports", "--job", "old"),
        ("retry", "reports", "--all"),
    ]
    for command in commands:
        ran = project.rota(*command)
        assert ran.status == 0, ran.err
        (warning,) = [line for line in ran.err.splitlines() if "names the queue" not in line]
        assert warning.startswith(
            "rota: warning: cannot collect the jobs of jobs.reports: its import failed at "
        )
        assert "reports.py:1 with ModuleNotFoundError: No module named 'nosuch_library'" in warning
    # The jobs of other modules are there all the same.
    assert [row[0] for row in rows(project.rota("list").out)] == ["default:greet", "email:send"]


def test_a_choice_of_queues_that_there_are_not_is_refused_where_all_is_known(project: Project) -> None:
    project.rota("queues", WORKER_QUEUES="emial").refused("WORKER_QUEUES: there is no queue emial")
    project.write("jobs/reports.py", "import nosuch_library\n")
    assert project.rota("queues", WORKER_QUEUES="email,reports").status == 0


def test_a_reserved_queue_s_name_in_the_code_stops_no_command_that_only_looks(project: Project) -> None:
    job_id = enqueued(project, "send")
    project.write("jobs/wrong.py", 'from rota import job\n\n@job(queue="active")\nasync def f(run): ...\n')
    ran = project.rota("show", "email", job_id)
    assert ran.status == 0, ran.err
    assert "queue name 'active' is reserved" in ran.err


def test_an_enqueue_needs_the_jobs(project: Project) -> None:
    project.write("jobs/reports.py", "import nosuch_library\n")
    project.rota("enqueue", "send").refused("jobs.reports", "nosuch_library")
