"""The command line: each command against a real server, with a jobs package of its own."""

import asyncio
import io
import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from rota import Client, Run, each, job, pipeline
from rota.app.respawn import EXIT_AWAY, EXIT_WRONG
from rota.cli import exits, screen, workers
from rota.errors import (
    InvalidPayload,
    JobCancelled,
    JobExists,
    JobFailed,
    JobNotFound,
    NoDeadLetter,
    ResultTimeout,
    RotaError,
)
from rota.server import connections
from rota.server.embedded import EmbeddedServerError
from rota.server.faults import ServerError
from rota.server.target import RedisTarget
from rota.settings.settings import ConfigError, Settings
from rota.store.faults import SchemaBehind, StoreError
from rota.wire.claims import Claim, Settlement, Told
from rota.wire.keys import QueueKeys, queue_key
from rota.wire.queue import QueueScripts, ServiceRules
from rota.wire.results import encode_error
from tests.integration.project import Project
from tests.servers import RedisServer, free_port

JOBS = '''
"""The jobs of a test."""

from datetime import date

from pydantic import BaseModel

from rota import Run, job


class Greeting(BaseModel):
    """What a greeting is."""

    text: str
    on: date


@job
async def greet(run: Run, name: str) -> Greeting:
    """A greeting."""
    return Greeting(text=f"hello {name}", on=date(2026, 1, 2))


@job(queue="email", max_attempts=1)
async def send(run: Run, to: str = "ann") -> None:
    """Fail."""
    raise ValueError(f"no such person: {to}")
'''


#: A job that puts another one on another queue, when that has long been empty.
CHAIN = """
import asyncio

from rota import Run, connect, job


@job(queue="second")
async def end(run: Run) -> None: ...


@job(queue="first")
async def begin(run: Run) -> None:
    await asyncio.sleep(2)
    async with await connect() as client:
        await client.enqueue(end)
"""


@pytest.fixture
def project(tmp_path: Path, capsys: pytest.CaptureFixture[str], server: RedisServer) -> Project:
    project = Project(tmp_path, capsys, server.url)
    project.write("jobs/__init__.py", JOBS)
    return project


def enqueued(project: Project, *arguments: str) -> str:
    """Enqueue with `rota enqueue`; the id it printed."""
    ran = project.rota("enqueue", *arguments)
    assert ran.status == 0, ran.err
    (line,) = ran.out.splitlines()
    return line.split()[1]


@job
async def first(run: Run) -> list[str]:
    return []


@job
async def second(run: Run, item: str) -> None: ...


def rows(out: str) -> list[list[str]]:
    """Return the cells of a table as a pipe gets it, without its head."""
    return [line.split("\t") for line in out.splitlines()[1:]]


def test_enqueue_prints_the_queue_and_the_id(project: Project) -> None:
    ran = project.rota("enqueue", "send", '{"to": "bob"}')
    assert ran.status == 0
    assert re.fullmatch(r"email [0-9a-v]{20}\n", ran.out)
    job_id = ran.out.split()[1]
    shown = project.rota("show", "email", job_id).out
    assert re.search(r"state +waiting", shown)
    assert re.search(r"job +email:send", shown)
    assert '{"to": "bob"}' in shown.replace("'", '"')


def test_enqueue_takes_the_full_name_an_id_and_a_delay(project: Project) -> None:
    ran = project.rota("enqueue", "email:send", "--id", "one", "--delay", "60")
    assert ran.out == "email email:one\n"
    assert re.search(r"state +delayed", project.rota("show", "email", "email:one").out)
    project.rota("enqueue", "email:send", "--id", "one").refused(
        "there is a job with the id 'email:one' already", status=1
    )


def test_queues_counts_every_queue_that_there_is(project: Project) -> None:
    enqueued(project, "send")
    enqueued(project, "send", "--delay", "60")
    ran = project.rota("queues")
    assert rows(ran.out) == [
        ["default", "0", "0", "0", "0", "0", "no"],
        ["email", "1", "1", "0", "0", "0", "no"],
    ]
    restricted = project.rota("queues", QUEUES__REPORTS__CONCURRENCY="1", WORKER_QUEUES="reports")
    assert rows(restricted.out) == [["reports", "0", "0", "0", "0", "0", "no"]]
    limited = project.rota("queues", QUEUES__EMAIL__FLEET_CONCURRENCY="4")
    assert rows(limited.out)[1][3] == "0 of 4"


def test_enqueue_takes_another_queue_that_is_served(project: Project) -> None:
    ran = project.rota("enqueue", "send", "--queue", "default")
    assert re.fullmatch(r"default [0-9a-v]{20}\n", ran.out)
    project.rota("enqueue", "send", "--queue", "nosuch").refused("there is no queue 'nosuch'")
    bulk = project.rota("enqueue", "send", "--queue", "bulk", QUEUES__BULK__CONCURRENCY="1")
    assert bulk.out.startswith("bulk ")


def test_reschedule_lets_a_job_run_now_or_puts_it_off(project: Project) -> None:
    job_id = enqueued(project, "send", "--delay", "60")
    assert project.rota("reschedule", "email", job_id).out == "rescheduled\n"
    assert rows(project.rota("queues").out)[1][1:3] == ["1", "0"]
    assert project.rota("reschedule", "email", job_id, "--delay", "1h").out == "rescheduled\n"
    assert rows(project.rota("queues").out)[1][1:3] == ["0", "1"]
    assert json.loads(project.rota("reschedule", "email", job_id, "--json").out) == {"answer": "rescheduled"}
    missing = project.rota("reschedule", "email", "nosuch")
    assert (missing.status, missing.out) == (3, "not found\n")
    both = ("--delay", "1h", "--at", "2030-01-01T00:00:00Z")
    project.rota("reschedule", "email", job_id, *both).refused("--delay or --at")


def test_cancelled_jobs_are_listed_without_a_total(project: Project) -> None:
    job_id = enqueued(project, "send", "--delay", "60")
    project.rota("cancel", "email", job_id)
    shown = rows(project.rota("jobs", "email", "--state", "cancelled").out)
    assert [(row[0], row[1]) for row in shown] == [(job_id, "email:send")]
    assert json.loads(project.rota("jobs", "email", "--state", "cancelled", "--json").out)["total"] is None
    assert rows(project.rota("jobs", "email", "--state", "completed").out) == []


def test_a_paused_queue_says_since_when(project: Project) -> None:
    assert project.rota("pause", "email").out == "email is paused\n"
    shown = rows(project.rota("queues").out)
    assert shown[0][-1] == "no"
    assert re.fullmatch(r"since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", shown[1][-1])
    assert project.rota("resume", "email").out == "email goes on\n"
    assert rows(project.rota("queues").out)[1][-1] == "no"
    project.rota("pause", "nosuch").refused("there is no queue 'nosuch'")


def test_enqueue_takes_a_priority(project: Project) -> None:
    low, high = enqueued(project, "send"), enqueued(project, "send", "--priority", "5")
    assert project.rota("redis-cli", "zrange", "arq:queue:email:p5", "0", "-1").out == f"{high}\n"
    assert low != high
    project.rota("enqueue", "send", "--priority", "10").refused("priority is 10")


def test_jobs_lists_one_state_with_whole_ids(project: Project) -> None:
    waiting = [enqueued(project, "send") for _ in range(3)]
    delayed = enqueued(project, "send", "--delay", "60")
    assert [row[:2] for row in rows(project.rota("jobs", "email").out)] == [
        [one, "email:send"] for one in waiting
    ]
    assert [row[0] for row in rows(project.rota("jobs", "email", "--limit", "2").out)] == waiting[:2]
    assert [row[0] for row in rows(project.rota("jobs", "email", "--state", "delayed").out)] == [delayed]
    assert rows(project.rota("jobs", "email", "--state", "active").out) == []


def test_cancel_says_what_became_of_the_job(project: Project) -> None:
    job_id = enqueued(project, "send")
    assert project.rota("cancel", "email", job_id).out == "cancelled\n"
    assert project.rota("cancel", "email", job_id).out == "finished\n"
    assert re.search(r"state +cancelled", project.rota("show", "email", job_id).out)
    assert rows(project.rota("jobs", "email").out) == []


def test_cancel_takes_several_ids_and_answers_for_each(project: Project) -> None:
    first, second = enqueued(project, "send"), enqueued(project, "send")
    assert project.rota("cancel", "email", first, second, "nosuch").out.splitlines() == [
        f"{first} cancelled",
        f"{second} cancelled",
        "nosuch not found",
    ]


def test_cancel_takes_all_of_a_job_or_of_a_queue(project: Project) -> None:
    for _ in range(3):
        enqueued(project, "send")
    assert project.rota("cancel", "email", "--job", "send").out == "3 cancelled\n"
    assert project.rota("cancel", "email", "--job", "send").out == "none\n"
    enqueued(project, "send", "--delay", "60")
    assert project.rota("cancel", "email", "--all").out == "1 cancelled\n"


@pytest.mark.parametrize("arguments", [(), ("--all", "--job", "send"), ("an-id", "--all")], ids=str)
def test_cancel_of_nothing_or_of_two_things_is_refused(project: Project, arguments: tuple[str, ...]) -> None:
    project.rota("cancel", "email", *arguments).refused("cancel takes ids, or --job NAME, or --all")


def test_show_of_an_unknown_id_is_refused(project: Project) -> None:
    project.rota("show", "email", "nosuch").refused("there is no job with the id 'nosuch'", status=3)


def test_a_pipeline_is_shown_stage_by_stage_and_cancelled(project: Project, server: RedisServer) -> None:
    async def begin() -> str:
        async with Client(connections.async_client(RedisTarget.from_url(server.url))) as client:
            return (await client.enqueue(pipeline(first, each(second)).options(id="mine"))).id

    flow_id = asyncio.run(begin())
    shown = project.rota("flow", "mine").out.splitlines()
    assert shown[0] == f"first-second {flow_id}: active, 0 %"
    assert rows("\n".join(shown[1:]) + "\n") == [
        ["first", "1", "0", "0", "0"],
        ["second", "?", "0", "0", "0"],
    ]
    assert project.rota("flow", flow_id, "--retry").out == "refused\n"
    assert project.rota("flow", flow_id, "--cancel").out == "cancelled\n"
    assert project.rota("flow", "mine", "--cancel").out == "finished\n"
    project.rota("flow", "nosuch").refused("there is no job with the id 'nosuch'", status=3)


def test_redis_cli_runs_a_command_on_the_server_of_the_settings(project: Project) -> None:
    enqueued(project, "send")
    assert project.rota("redis-cli", "zcard", "arq:queue:email").out == "1\n"
    wrong = project.rota("redis-cli", "nosuch")
    assert (wrong.status, wrong.err) == (1, "")
    assert wrong.out.startswith("ERR unknown command")


@pytest.mark.parametrize("words", [["ping"], []], ids=["a command", "the prompt"])
def test_redis_cli_says_that_redis_is_away_as_the_other_commands_do(
    project: Project, words: list[str]
) -> None:
    away = {"REDIS_URL": "redis://127.0.0.1:1"}
    ran, other = project.rota("redis-cli", *words, **away), project.rota("queues", **away)
    ran.refused("redis://127.0.0.1:1/0 is not listening: start it, or correct REDIS_URL", status=EXIT_AWAY)
    assert (ran.out, ran.err) == ("", other.err)


def test_the_documents_table_has_every_exit_status_once() -> None:
    page = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text("utf-8")
    shown = re.findall(r"^\| (\d+) \|", page, re.MULTILINE)
    ours = (0, exits.FAILED, EXIT_WRONG, exits.NOT_FOUND, exits.NO_RESULT, exits.CANCELLED, EXIT_AWAY)
    assert list(map(int, shown)) == sorted(ours)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (JobFailed("ValueError", "no"), 1),
        (JobExists("x"), 1),
        (InvalidPayload("x", {}), 2),
        (ConfigError(["X is wrong"]), 2),
        (NoDeadLetter("x", "waiting"), 1),
        (JobNotFound("x"), 3),
        (ResultTimeout("x", 1), 4),
        (JobCancelled("x"), 5),
        (ServerError("it is away"), 6),
        (EmbeddedServerError("it does not start"), 6),
        (StoreError("it is away"), 6),
        (SchemaBehind("its tables are behind"), 1),
    ],
    ids=lambda one: type(one).__name__,
)
def test_each_error_has_its_exit_status(error: RotaError, status: int) -> None:
    assert exits.status_of(error) == status


# Dead letters


@pytest.fixture
def dead(project: Project, server: RedisServer) -> list[str]:
    """Three dead letters of the queue email, in order: two failed, the last timed out."""
    return asyncio.run(three_die(server))


async def three_die(server: RedisServer) -> list[str]:
    redis = connections.async_client(RedisTarget.from_url(server.url))
    async with Client(redis) as client:
        handles = [await client.enqueue_by_name("email:send", {"to": name}, id=name) for name in "abc"]
        protocol = QueueScripts(QueueKeys.of(queue_key("email")), "w", 30.0, ServiceRules("email"))
        claims = (await protocol.step(redis, lane=0, seq=1, want=3)).claims
        letters = [letter(claim, reason) for claim, reason in zip(claims, REASONS, strict=True)]
        assert all((await protocol.step(redis, lane=0, seq=2, want=0, settlements=letters)).answers)
    return [handle.id for handle in handles]


REASONS = ("failed", "failed", "timeout")
#: What a job may say: the markup of a library, a closing tag that was never open, an order to the terminal.
NASTY = "[red]no[/red] [/x] \x1b[2J"


def letter(claim: Claim, reason: str) -> Settlement:
    error = encode_error(ValueError(NASTY))
    return Settlement.dead(claim, reason, Told("dead", "send", 1, error))


def test_dead_letters_are_shown_with_their_error_as_it_is(project: Project, dead: list[str]) -> None:
    listed = project.rota("jobs", "email", "--state", "dead")
    assert {row[0] for row in rows(listed.out)} == set(dead)
    shown = project.rota("show", "email", dead[0])
    assert re.search(r"reason +failed", shown.out)
    assert "[red]no[/red] [/x]" in shown.out
    for out in (listed.out, shown.out):
        assert "\x1b" not in out, "what a job wrote must not steer the terminal"


def test_retry_brings_one_dead_letter_back(project: Project, dead: list[str]) -> None:
    assert project.rota("retry", "email", dead[0]).out == f"{dead[0]} brought back\n"
    assert re.search(r"state +waiting", project.rota("show", "email", dead[0]).out)
    project.rota("retry", "email", dead[0]).refused(
        f"job '{dead[0]}' is waiting; only dead letters", status=1
    )


@pytest.mark.parametrize("rule", ["existing", "refuse"])
def test_retry_names_the_job_that_has_the_unique_key_of_a_letter(
    project: Project, dead: list[str], server: RedisServer, rule: str
) -> None:
    letter, live = dead[:2]
    project.rota("retry", "email", live)
    with server.client() as redis:
        redis.hset(f"arq:queue:email:dead:{letter}", "terms", f"u=rota:unique:email:send:k|f|{rule}")
        redis.set("rota:unique:email:send:k", live)
    ran = project.rota("retry", "email", letter)
    if rule == "existing":
        assert ran.out == f"{live} has the unique key of {letter}, and stands for it\n"
    else:
        ran.refused(
            f"job '{live}' has the unique key of '{letter}'; retry that one when it is over", status=1
        )
    assert re.search(r"state +dead", project.rota("show", "email", letter).out)


@pytest.mark.parametrize(
    ("options", "brought"),
    [
        (("--all",), 3),
        (("--reason", "timeout"), 1),
        (("--reason", "lost"), 0),
        (("--job", "send", "--reason", "failed"), 2),
        (("--job", "email:send"), 3),
        (("--job", "send", "--reason", "lost"), 0),
    ],
)
def test_retry_by_its_options_brings_back_what_they_match(
    project: Project, dead: list[str], options: tuple[str, ...], brought: int
) -> None:
    assert project.rota("retry", "email", *options).out == f"{brought} brought back\n"
    counted = rows(project.rota("queues").out)[1]
    assert counted == ["email", str(brought), "0", "0", str(len(dead) - brought), "0", "no"]


@pytest.mark.parametrize("command", ["retry", "cancel"])
@pytest.mark.parametrize("name", ["sned", "email:sned", "default:send"])
def test_a_job_that_the_queue_does_not_have_is_refused(
    project: Project, dead: list[str], command: str, name: str
) -> None:
    ran = project.rota(command, "email", "--job", name)
    ran.refused(f"there is no job '{name}'", "did you mean email:send?")
    assert rows(project.rota("queues").out)[1][4] == str(len(dead))


@pytest.mark.parametrize("arguments", [(), ("--all", "--job", "send"), ("an-id", "--all")], ids=str)
def test_retry_of_nothing_or_of_two_things_is_refused(
    project: Project, dead: list[str], arguments: tuple[str, ...]
) -> None:
    project.rota("retry", "email", *arguments).refused("retry takes an id", "or --all")
    assert rows(project.rota("queues").out)[1][4] == str(len(dead))


def test_failures_are_grouped_by_cause_and_brought_back_by_it(project: Project, dead: list[str]) -> None:
    ran = project.rota("failures")
    ((queue, cause, letters, *_, job, error),) = rows(ran.out)
    assert (queue, letters, job) == ("email", "3", "send")
    assert "\x1b" not in error
    assert f"rota retry email --cause {cause}" in ran.err
    (group,) = json.loads(project.rota("failures", "email", "--json").out)
    assert (group["cause"], group["count"], set(group["ids"])) == (cause, 3, set(dead))
    none = project.rota("retry", "email", "--cause", "abc")
    assert none.out == "0 brought back\n"
    assert "`rota failures email` shows those that there are" in none.err
    assert project.rota("retry", "email", "--cause", cause).out == "3 brought back\n"
    assert rows(project.rota("failures").out) == []


def test_purge_deletes_what_matches_and_asks_before(
    project: Project, dead: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    project.rota("purge", "email").refused("purge takes --job NAME", "or --all")
    project.rota("purge", "email", "--all").refused("delete 3 dead letters of email for good?", "--yes")
    project.rota("purge", "email", "--job", "sned", "--yes").refused("there is no job 'sned'")
    terminal = io.StringIO("n\ny\n")
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", terminal)
    declined = project.rota("purge", "email", "--reason", "timeout")
    assert (declined.status, declined.out) == (1, "")
    assert "delete 1 dead letters of email for good? [y/N] nothing was done" in declined.err
    assert project.rota("purge", "email", "--reason", "timeout").out == "1 deleted\n"
    assert project.rota("purge", "email", "--all", "--yes", "--json").out == '{"deleted":2}\n'
    assert project.rota("purge", "email", "--all").out == "0 deleted\n", "nothing is asked for nothing"


def test_a_shell_completes_commands(project: Project) -> None:
    program = "import sys; sys.argv = ['rota']; from rota.cli import main; main.main()"

    def asked(what: str) -> str:
        words = {"_ROTA_COMPLETE": what, "COMP_WORDS": "rota pur", "COMP_CWORD": "1"}
        command = [sys.executable, "-c", program]
        return subprocess.run(
            command, env=project.environment(**words), capture_output=True, text=True, check=False, timeout=20
        ).stdout

    assert "_ROTA_COMPLETE=complete_bash" in asked("source_bash")
    assert asked("complete_bash").split() == ["purge"]
    assert "--install-completion" in project.rota("--help").out


def test_memory_shows_what_redis_is_full_of(project: Project, dead: list[str]) -> None:
    ran = project.rota("memory")
    found = {row[0]: row[1:] for row in rows(ran.out)}
    assert found["dead letters"][0] == "3"
    assert "Redis uses" in ran.err
    shown = json.loads(project.rota("memory", "--json").out)
    assert {"dead letters", "events"} <= {one["kind"] for one in shown["usage"]}
    assert shown["used"] > 0


def test_tail_prints_what_happens_until_ctrl_c(project: Project, dead: list[str]) -> None:
    with project.process("tail", "email", "--type", "dead", "--after", "0-0") as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in dead]
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
    assert {line.split()[4] for line in lines} == set(dead)
    assert all(" dead        email:send " in line for line in lines)
    assert "\x1b" not in "".join(lines)
    with project.process("tail", "--json", "--after", "0-0") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        event = json.loads(process.stdout.readline())
        # Its reader leaves, as `head` does.
        process.stdout.close()
        enqueued(project, "greet", '{"name": "x"}')
        enqueued(project, "greet", '{"name": "y"}')
        assert process.wait(10) in (0, 1, 141)
        assert "Traceback" not in process.stderr.read()
    assert (event["type"], event["queue"]) == ("dead", "email") or event["type"] == "enqueued"


def test_tail_refuses_what_is_no_type_and_no_position(project: Project) -> None:
    project.rota("tail", "--after", "yesterday").refused("--after is 'yesterday'", "position")
    assert "'done' is not one of" in project.rota("tail", "--type", "done").err


def test_a_dead_letter_is_deleted(project: Project, dead: list[str]) -> None:
    assert project.rota("delete", "email", dead[0]).out == f"{dead[0]} is deleted\n"
    assert {row[0] for row in rows(project.rota("jobs", "email", "--state", "dead").out)} == set(dead[1:])
    assert project.rota("delete", "email", "b").out == "b is deleted\n", "by the id that was given"
    project.rota("delete", "email", dead[0]).refused("there is no job with the id", dead[0], status=3)
    project.rota("retry", "email", dead[0]).refused("there is no job with the id", dead[0], status=3)


def test_a_job_that_waits_is_no_letter_to_delete(project: Project) -> None:
    job_id = enqueued(project, "send")
    project.rota("delete", "email", job_id).refused(f"job '{job_id}' is waiting; only dead letters", status=1)
    assert rows(project.rota("jobs", "email").out)[0][0] == job_id


# Pages, times, and what programs read


def test_a_page_says_how_many_there_are_and_how_to_see_the_next(project: Project) -> None:
    ids = [enqueued(project, "send") for _ in range(5)]
    ran = project.rota("jobs", "email", "--limit", "2")
    assert ran.err.splitlines() == [
        "2 of 5",
        "next page: rota jobs email --state waiting --limit 2 --offset 2",
    ]
    assert [row[0] for row in rows(project.rota(*ran.err.splitlines()[1].split()[3:]).out)] == ids[2:4]
    last = project.rota("jobs", "email", "--limit", "2", "--offset", "4")
    assert (rows(last.out)[0][0], last.err) == (ids[4], "1 of 5\n")
    assert project.rota("jobs", "email").err == ""


@pytest.mark.parametrize("limit", ["-1", "0", "many"])
def test_a_limit_that_is_none_is_refused(project: Project, limit: str) -> None:
    project.rota("jobs", "email", "--limit", limit).refused(f"--limit is '{limit}'", "from 1 to 1000")


def test_jobs_show_when_they_are_due_and_when_they_died(project: Project, dead: list[str]) -> None:
    enqueued(project, "send", "--at", "2099-01-02T03:04:05+01:00")
    (delayed,) = rows(project.rota("jobs", "email", "--state", "delayed").out)
    assert delayed[3] == "2099-01-02 02:04:05"
    for row in rows(project.rota("jobs", "email", "--state", "dead").out):
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", row[3])


def test_a_narrow_terminal_gets_a_line_for_each_fact(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    screen.table(("id", "job", "error"), [("a" * 32, "send", "ValueError: it is too long for a column")])
    assert capsys.readouterr().out.splitlines() == [
        f"id     {'a' * 32}",
        "job    send",
        "error  ValueError: it is too long for a column",
    ]


def test_enqueue_takes_times_with_units_and_a_policy_of_its_own(
    project: Project, server: RedisServer
) -> None:
    job_id = enqueued(project, "send", "--delay", "1h", "--timeout", "90s", "--max-attempts", "7")
    with server.client() as client:
        payload = str(client.get(f"arq:job:{job_id}"))
    assert re.search(r"timeout\W+90", payload)
    assert re.search(r"max_attempts\W+7", payload)
    assert project.rota("jobs", "email", "--state", "delayed").out.count(job_id) == 1


def test_a_payload_comes_from_stdin_or_from_a_file(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.write("mail.json", json.dumps({"to": "x" * 200_000}))
    stdin = io.TextIOWrapper(io.BytesIO(b'{"to": "bob"}'))
    monkeypatch.setattr(sys, "stdin", stdin)
    for argument, found in (("@mail.json", "x" * 200_000), ("-", "bob")):
        job_id = enqueued(project, "send", argument)
        shown = json.loads(project.rota("show", "email", job_id, "--json").out)
        assert shown["payload"] == {"to": found}


def test_what_is_shown_is_json_where_that_is_asked_for(project: Project, dead: list[str]) -> None:
    def said(*arguments: str) -> Any:
        ran = project.rota(*arguments, "--json")
        assert ran.status == 0, ran.err
        return json.loads(ran.out)

    put = said("enqueue", "send", "--delay", "60")
    assert put["queue"] == "email"
    assert said("queues")[1] | {"paused_since": None} == {
        "queue": "email",
        **{
            "waiting": 0,
            "delayed": 1,
            "active": 0,
            "dead": 3,
            "fleet_concurrency": None,
            "workers": 0,
            "paused_since": None,
            "known": True,
        },
    }
    listed = said("jobs", "email", "--state", "dead", "--limit", "2")
    assert (listed["total"], listed["offset"], len(listed["jobs"])) == (3, 0, 2)
    assert listed["jobs"][0]["error"]["message"] == NASTY
    assert said("show", "email", dead[0])["reason"] == "failed"
    assert said("cancel", "email", put["id"]) == {put["id"]: "cancelled"}
    assert said("cancel", "email", "--all") == {}
    assert said("retry", "email", dead[0]) == {"retried": 1, "id": dead[0]}
    assert said("delete", "email", dead[1]) == {"deleted": 1, "id": dead[1]}
    assert [one["job"] for one in said("list")] == ["default:greet", "email:send"]
    assert said("plan", "--arrivals", "50", "--seconds", "500ms")["workers"] == 3


@pytest.mark.parametrize(
    "arguments",
    [
        ("jobs", "email", "--state", "dead"),
        ("show", "email", "b"),
        ("show", "email", "é"),
        ("queues",),
        ("list",),
        ("cancel", "email", "é", "b"),
        ("--help",),
        ("retry", "--help"),
        ("jobs", "email", "--json"),
    ],
    ids=str,
)
def test_a_pipe_that_takes_ascii_alone_gets_escapes(project: Project, arguments: tuple[str, ...]) -> None:
    project.rota("enqueue", "send", '{"to": "zoë 🙂"}', "--id", "é")
    out, err = project.process(*arguments, PYTHONIOENCODING="ascii", NO_COLOR="1").communicate(timeout=30)
    assert "Traceback" not in err
    assert out.isascii()
    assert "\x1b" not in out
    if "--json" in arguments:
        assert json.loads(out)["jobs"][0]["payload"] == {"to": "zoë 🙂"}


def test_json_holds_whatever_a_job_says(capsys: pytest.CaptureFixture[str]) -> None:
    text = "\x1b[2J \x85 \u202e \U000e0001 é"
    screen.value({"text": text})
    out = capsys.readouterr().out
    assert json.loads(out) == {"text": text}
    assert out.rstrip("\n").isprintable()


def test_list_shows_every_job_with_its_policy_and_needs_no_server(project: Project) -> None:
    found = rows(project.rota("list", REDIS_URL=f"redis://127.0.0.1:{free_port()}/0").out)
    assert [row[:5] for row in found] == [
        ["default:greet", "async", "4", "300 s", "exponential"],
        ["email:send", "async", "1", "300 s", "exponential"],
    ]
    assert re.search(r"jobs/__init__\.py:\d+$", found[1][-1])


def test_a_worker_takes_its_queues_and_their_concurrency_from_the_command_line(project: Project) -> None:
    settings = Settings(queues={"email": {"concurrency": 3}, "video": {"timeout": 9}})
    chosen = workers.chosen(settings, "email, video", 20)
    assert chosen.worker_queues == ("email", "video")
    assert (chosen.queue("email").concurrency, chosen.queue("video").concurrency) == (20, 20)
    assert chosen.queue("video").timeout == 9
    assert workers.chosen(settings, None, None) == settings
    project.rota("worker", "--queues", "nosuch").refused("there is no queue nosuch", "default, email")


# A worker beside the command


@pytest.fixture
def worker(project: Project) -> Iterator[subprocess.Popen[str]]:
    """Without a command, `python -m rota` runs as what MODE says."""
    process = project.process(MODE="worker", LOG_FORMAT="json")
    yield process
    process.kill()
    process.communicate()


def test_enqueue_waits_for_the_result_of_a_worker_and_prints_it(
    project: Project, worker: subprocess.Popen[str]
) -> None:
    ran = project.rota("enqueue", "greet", '{"name": "ann"}', "--wait", "20")
    assert ran.status == 0, ran.err
    printed = ran.out.split("\n", 1)[1]
    assert json.loads(printed) == {"text": "hello ann", "on": "2026-01-02"}

    failed = project.rota("enqueue", "send", "--wait", "20")
    failed.refused("failed with ValueError: no such person: ann", status=1)

    worker.send_signal(signal.SIGINT)
    _, err = worker.communicate(timeout=20)
    assert worker.returncode == 0, err


def test_a_burst_ends_when_nothing_is_left_on_any_queue(project: Project) -> None:
    project.write("jobs/chain.py", CHAIN)
    enqueued(project, "first:begin")
    enqueued(project, "greet", '{"name": "ann"}', "--delay", "1")
    worker = project.process("worker", "--burst", METRICS_PORT="off", LOG_FORMAT="json")
    _, err = worker.communicate(timeout=30)
    assert worker.returncode == 0, err
    assert {row[0]: row[1:5] for row in rows(project.rota("queues").out)} == {
        name: ["0"] * 4 for name in ("default", "email", "first", "second")
    }
    assert '"why": "burst"' in err
    again = project.process("worker", "--burst", METRICS_PORT="off", LOG_FORMAT="json")
    again.communicate(timeout=30)
    assert again.returncode == 0, "there was nothing to do"


def test_a_wait_that_is_too_short_says_so_and_leaves_the_job(project: Project) -> None:
    ran = project.rota("enqueue", "greet", '{"name": "ann"}', "--wait", "0.05")
    ran.refused("has no result after 0.05 s; it may still come", status=4)
    assert rows(project.rota("queues").out)[0] == ["default", "1", "0", "0", "0", "0", "no"]


def test_a_server_that_is_away_is_one_sentence_at_once(project: Project) -> None:
    began = time.monotonic()
    ran = project.rota("queues", REDIS_URL=f"redis://127.0.0.1:{free_port()}/0", BOOT_TIMEOUT="60")
    ran.refused("is not listening", "start it, or correct REDIS_URL", status=6)
    assert len(ran.err.splitlines()) == 1
    assert time.monotonic() - began < 5


def test_a_server_that_never_answers_a_command_is_given_up_soon(project: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        ran = project.rota("queues", REDIS_URL=f"redis://127.0.0.1:{deaf.getsockname()[1]}/0")
    ran.refused("did not answer within 1 s", status=6)


def test_the_version_is_said(project: Project) -> None:
    ran = project.rota("--version")
    assert (ran.status, ran.out) == (0, f"rota {version('rota')}\n")


def test_rota_alone_shows_the_help_whatever_mode_is(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    helped = project.rota("--help").out
    script = [sys.executable, "-c", "from rota.cli.main import main; main()"]
    ran = subprocess.run(
        script, cwd=project.folder, env=project.environment(), capture_output=True, text=True, check=True
    )
    assert "Usage:" in ran.stdout
    assert ran.stdout.split()[2:] == helped.split()[2:]


def test_the_module_without_a_mode_shows_the_help_as_wrong_usage(project: Project) -> None:
    command = [sys.executable, "-m", "rota"]
    environment = {name: value for name, value in project.environment().items() if name != "MODE"}
    ran = subprocess.run(
        command, check=False, cwd=project.folder, env=environment, capture_output=True, text=True
    )
    assert (ran.returncode, "Usage:" in ran.stdout) == (2, True)


def test_help_lists_every_command(project: Project) -> None:
    ran = project.rota("--help")
    assert ran.status == 0
    for command in (
        "worker",
        "dev",
        "redis-cli",
        "enqueue",
        "queues",
        "jobs",
        "show",
        "cancel",
        "retry",
        "pause",
        "resume",
    ):
        assert re.search(rf"\b{command}\b", ran.out)
