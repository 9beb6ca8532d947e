"""`rota enqueue --stdin`: a job for each line; all lines are checked before the first job is enqueued."""

import io
import json
import sys
from pathlib import Path

import pytest

from rota.cli.commands.putting import lines
from tests.integration.project import Project, Ran
from tests.servers import RedisServer, free_port


class Shell:
    """A project whose `rota enqueue` gets lines on stdin."""

    def __init__(self, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
        self.project = project
        self._monkeypatch = monkeypatch

    def enqueue(self, *arguments: str, given: str, **variables: str) -> Ran:
        self._monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given.encode())))
        return self.project.rota("enqueue", *arguments, "--stdin", **variables)

    def waiting(self, queue: str) -> list[dict[str, object]]:
        found: list[dict[str, object]] = json.loads(self.project.rota("jobs", queue, "--json").out)["jobs"]
        return found


@pytest.fixture
def shell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> Shell:
    return Shell(Project(tmp_path, capsys, server.url), monkeypatch)


def test_each_line_is_a_payload_of_the_job_that_is_named(shell: Shell) -> None:
    ran = shell.enqueue("send", "--priority", "3", given='{"to": "ann"}\n\n{"to": "bob"}\n{}\n')
    assert ran.err == "3 jobs were enqueued\n"
    printed = [line.split() for line in ran.out.splitlines()]
    waiting = shell.waiting("email")
    assert printed == [["email", one["id"]] for one in waiting]
    assert [one["payload"] for one in waiting] == [{"to": "ann"}, {"to": "bob"}, {}]


def test_lines_name_their_jobs_and_have_options_of_their_own(shell: Shell) -> None:
    given = (
        '{"name": "greet", "payload": {"name": "Ann"}, "options": {"id": "g1", "delay": "1h", "max_attempts": 2}}\n'
        '{"name": "email:send", "options": {"at": "2037-01-31T09:00:00+01:00", "tenant": "acme"}}\n'
    )
    ran = shell.enqueue("--json", given=given)
    first, second = map(json.loads, ran.out.splitlines())
    assert first == {"line": 1, "queue": "default", "id": "default:g1", "created": True}
    assert (second["line"], second["queue"], second["created"]) == (2, "email", True)
    shown = shell.project.rota("show", "email", second["id"]).out
    assert "2037-01-31 08:00:00" in shown
    # Sent again, what has an id is left as it is.
    again = shell.enqueue("--json", given=given.splitlines()[0])
    assert json.loads(again.out)["created"] is False
    assert again.err == "0 jobs were enqueued, 1 were there already\n"


def test_wrong_lines_are_said_by_their_numbers_and_nothing_is_enqueued(shell: Shell) -> None:
    wrong = {
        1: ('{"name": "send"}', ""),
        2: ('{"name": "sned"}', "did you mean email:send?"),
        3: ("nonsense", "expected ident"),
        4: ("[]", "it is a JSON list"),
        5: ('{"payload": {}}', "it names no job"),
        6: ('{"name": "send", "payload": {"too": 1}}', "wrong arguments of job email:send: too"),
        7: ('{"name": "send", "options": {"dely": 1}}', "there is no option 'dely'"),
        8: ('{"name": "send", "options": {"delay": "soon"}}', "delay is 'soon'"),
        9: ('{"name": "send", "options": {"priority": 12}}', "priority is 12"),
        10: ('{"name": "send", "options": {"on_taken": "refuse"}}', "on_taken is 'refuse'"),
        11: ('{"name": "send", "option": {}}', "there is no field 'option'"),
    }
    ran = shell.enqueue(given="\n".join(line for line, _ in wrong.values()))
    assert ran.status == 2
    head, *said = ran.err.splitlines()
    assert head == "rota: 10 of 11 lines cannot be enqueued, and nothing was; mend them and send all again"
    for line, (number, (_, why)) in zip(said, list(wrong.items())[1:], strict=True):
        assert line.startswith(f"line {number}: ")
        assert why in line
    assert shell.waiting("email") == []


def test_of_very_many_wrong_lines_some_are_said(shell: Shell) -> None:
    ran = shell.enqueue("send", given="x\n" * 1234)
    assert ran.err.splitlines()[-1] == "… and 1,214 more"


@pytest.mark.parametrize(
    "arguments",
    [("send", "{}", "--id", "one"), ("send", '{"to": "ann"}'), ("send", "--wait", "1"), ("--delay", "5")],
)
def test_what_is_about_one_job_is_refused(shell: Shell, arguments: tuple[str, ...]) -> None:
    shell.enqueue(*arguments, given="{}\n").refused("line has its own")


def test_a_name_is_needed_without_lines(shell: Shell) -> None:
    shell.project.rota("enqueue").refused("no job is named: rota enqueue NAME")


def test_a_redis_that_goes_away_leaves_it_said_how_far_it_came(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, server: RedisServer
) -> None:
    monkeypatch.setattr(lines, "PORTION", 2)
    with server.client() as admin:
        used = int(admin.info("memory")["used_memory"])
        admin.config_set("maxmemory", used + 300_000)
        try:
            many = "".join('{"to": "%s"}\n' % ("x" * 50_000) for _ in range(40))
            ran = shell.enqueue("send", given=many)
        finally:
            admin.config_set("maxmemory", 0)
    assert ran.status == 6
    done = len(ran.out.splitlines())
    assert 0 < done < 40
    assert done % 2 == 0
    assert (
        f"the jobs up to line {done} are enqueued, and of lines {done + 1} to {done + 2} some may be"
        in ran.err
    )
    assert len(shell.waiting("email")) == min(done, 20)


def test_nothing_is_enqueued_without_redis(shell: Shell) -> None:
    ran = shell.enqueue("send", given="{}\n", REDIS_URL=f"redis://127.0.0.1:{free_port()}/0")
    assert (ran.status, ran.out) == (6, "")
