"""`--where` on the command line, and the commands that show what was done to many jobs."""

import asyncio
import getpass
import json
import socket
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from rota import Client
from rota.server import connections
from rota.server.target import RedisTarget
from tests.integration.bulk.operating import bury, leading
from tests.integration.project import Project
from tests.servers import RedisServer


@pytest.fixture
def project(tmp_path: Path, capsys: pytest.CaptureFixture[str], server: RedisServer) -> Project:
    return Project(tmp_path, capsys, server.url)


@pytest.fixture
def leader(server: RedisServer) -> Iterator[None]:
    """Let a leader work in a thread, as commands block this one."""
    ended = threading.Event()

    async def lead() -> None:
        async with leading(server.url):
            await asyncio.to_thread(ended.wait)

    thread = threading.Thread(target=asyncio.run, args=(lead(),))
    thread.start()
    yield
    ended.set()
    thread.join()


def dead(server: RedisServer, ids: Sequence[str], **about: Any) -> None:
    async def go() -> None:
        async with Client(connections.async_client(RedisTarget.from_url(server.url))) as client:
            await bury(client, ids, **about)

    asyncio.run(go())


@pytest.mark.usefixtures("leader")
def test_what_meets_conditions_is_shown_then_brought_back_and_recorded(
    project: Project, server: RedisServer
) -> None:
    dead(server, ["mail:1", "mail:2"], error="timed out\x1b[31m")
    dead(server, ["mail:3"], error="no address")
    where = 'name=mail:send error~"timed out"'

    shown = project.rota("retry", "--where", where, "--dry-run")
    first, *rows = shown.out.splitlines()
    assert (first, [row.split("\t")[0] for row in rows]) == ("2 jobs", ["id", "mail:1", "mail:2"])
    found = json.loads(project.rota("retry", "mail", "--where", "reason=failed", "--dry-run", "--json").out)
    assert (found["count"], len(found["sample"])) == (3, 3)

    project.rota("retry", "--where", where).refused("retry 2 jobs? Nobody is there to say so: --yes says it")
    ran = project.rota("retry", "--where", where, "--yes")
    assert (ran.status, ran.out) == (0, "2 brought back\n")
    assert project.rota("delete", "mail", "--where", "state=dead", "--yes").out == "1 deleted\n"
    ran = project.rota("cancel", "--where", "queue=mail", "--yes", "--json")
    assert json.loads(ran.out)["done"] == 2
    assert project.rota("reschedule", "--where", "queue=mail", "--yes").out == "no job meets the conditions\n"

    listed = project.rota("actions").out.splitlines()[1:]
    who = f"{getpass.getuser()}@{socket.gethostname()}"
    assert [line.split("\t")[1:5] for line in listed] == [
        [who, "cancel", "2", "done"],
        [who, "delete", "1", "done"],
        [who, "retry", "2", "done"],
    ]
    assert len(json.loads(project.rota("actions", "--limit", "1", "--json").out)) == 1
    operations = json.loads(project.rota("bulk", "--json").out)
    assert [one["action"] for one in operations] == ["cancel", "delete", "retry"]
    assert project.rota("bulk", operations[0]["id"]).out.splitlines()[1].split("\t")[4] == "done"


@pytest.mark.usefixtures("leader")
def test_what_could_not_be_changed_is_said_beside_the_answer(project: Project, server: RedisServer) -> None:
    dead(server, ["mail:1"])
    with server.client() as redis:
        redis.hdel("arq:queue:mail:dead:mail:1", "payload")
    ran = project.rota("retry", "--where", "queue=mail", "--yes")
    assert (ran.out, ran.err) == (
        "0 brought back, 1 failed\n",
        "no worker leads at the moment; it is done as soon "
        "as one does\nmail mail:1: its payload is no longer kept\n",
    )


def test_what_other_commands_do_is_recorded_too(project: Project, server: RedisServer) -> None:
    dead(server, ["mail:1", "mail:2", "mail:3"])
    for arguments in (
        ("pause", "mail"),
        ("resume", "mail"),
        ("retry", "mail", "mail:1"),
        ("retry", "mail", "--job", "send"),
        ("retry", "mail", "--all"),
        ("cancel", "mail", "mail:1", "none"),
        ("cancel", "mail", "--all"),
    ):
        assert project.rota(*arguments).status in (0, 3)
    listed = json.loads(project.rota("actions", "--json").out)
    assert [(one["action"], one["count"], one["target"]) for one in reversed(listed)] == [
        ("pause", 1, {"queue": "mail"}),
        ("resume", 1, {"queue": "mail"}),
        ("retry", 1, {"queue": "mail", "id": "mail:1"}),
        ("retry", 2, {"queue": "mail", "name": "send"}),
        ("cancel", 1, {"queue": "mail", "ids": ["mail:1", "none"]}),
        ("cancel", 2, {"queue": "mail"}),
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("retry", "--where", "nme=x"), "at character 1: there is no field 'nme'; did you mean name?"),
        (("retry", "--where", "state=waiting", "--yes"), "retry is done to jobs that are dead"),
        (("retry", "mail", "mail:1", "--where", "queue=mail"), "--where goes with a queue alone"),
        (("retry", "other", "--where", "queue=mail"), "leave one of them out"),
        (("retry", "mail", "--all", "--dry-run"), "--dry-run goes with --where"),
        (("retry",), "retry takes a queue, or --where"),
        (("cancel",), "cancel takes a queue, or --where"),
        (("delete", "mail"), "delete takes the id of a job"),
        (("reschedule", "mail"), "reschedule takes the id of a job"),
        (("bulk", "--abort"), "--abort takes the ID"),
    ],
)
def test_what_cannot_be_done_is_refused(project: Project, arguments: tuple[str, ...], said: str) -> None:
    project.rota(*arguments).refused(said)


def test_an_operation_that_is_not_there_is_not_found(project: Project) -> None:
    project.rota("bulk", "none", "--abort").refused("there is no operation 'none'", status=3)
