"""The rights that docs/redis.md lists: all that rota does runs under them, and what lacks is said at boot."""

import contextlib
import re
import signal
import sqlite3
import subprocess
from collections.abc import Awaitable, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from arq.cron import cron
from redis.exceptions import NoPermissionError, ResponseError

from rota import Client, JobCancelled, JobFailed, QueueWorker, State, each, pipeline
from rota.app.connect import client_of
from rota.server import connections, faults, rights
from rota.server.faults import ServerError
from rota.server.rights import Rights, check_rights
from rota.server.target import RedisTarget
from rota.settings.load import load
from rota.wire import scripts
from rota.wire.scripts import Script
from tests.integration import jobs_of_all_kinds as jobs
from tests.integration.project import Project
from tests.processes import environment, start
from tests.servers import RedisServer
from tests.waiting import until, until_in
from tests.workers import at_work

HERE = Path(__file__).parent
PAGE = (Path(__file__).parents[2] / "docs" / "redis.md").read_text("utf-8")
#: The documented rights of each role, by the name of its user.
LINES = {name: rest.split() for name, rest in re.findall(r"(?m)^ {4}ACL SETUSER (\w+) on >… (.*)$", PAGE)}
#: What a worker needs besides that may come to write the audit table.
RECORDERS = re.search(r"(?s)A worker with `DATABASE_URL` .*? needs `(.*?)` more", PAGE)[1].split()  # type: ignore[index]
SCRIPTS = [script for script in vars(scripts).values() if isinstance(script, Script)]


@pytest.fixture
def guarded(server: RedisServer) -> Iterator[RedisServer]:
    """Yield the session's server, which knows no script, and forgets users, refusals and limits afterwards."""
    with server.client() as admin:
        admin.script_flush()
        admin.execute_command("ACL", "LOG", "RESET")
        yield server
        admin.execute_command("ACL", "DELUSER", *LINES, "app", "bare")
        admin.execute_command("ACL", "LOG", "RESET")
        admin.config_set("maxmemory", 0)


@pytest.fixture
def project(tmp_path: Path, capsys: pytest.CaptureFixture[str], guarded: RedisServer) -> Project:
    with guarded.client() as admin:
        for name, line in LINES.items():
            admin.execute_command("ACL", "SETUSER", name, "on", ">secret", *line)
    return Project(tmp_path, capsys, guarded.url)


@pytest.fixture
def url(guarded: RedisServer) -> Iterator[Any]:
    """Return the address of the server for a user, and see that nothing was refused."""
    yield lambda user: f"redis://{user}:secret@127.0.0.1:{guarded.port}/0"
    with guarded.client() as admin:
        refused = [dict(zip(one[::2], one[1::2], strict=True)) for one in admin.execute_command("ACL", "LOG")]
        assert [(one[b"username"], one[b"object"]) for one in refused] == []


@contextlib.contextmanager
def running(url: str, *arguments: str, cwd: Path, **variables: str) -> Iterator["subprocess.Popen[str]"]:
    """Run a program of rota on the jobs of all kinds while a block lasts; then tell it to stop."""
    base = {"REDIS_URL": url, "JOBS_PACKAGE": "jobs_of_all_kinds", "METRICS_PORT": "off", "BOOT_TIMEOUT": "5"}
    process = start(
        *arguments,
        cwd=cwd,
        environment=environment(HERE, **(base | variables)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=30)
        assert process.returncode == 0, out


async def client_at(url: str) -> Client:
    return client_of(load({"REDIS_URL": url}), connections.async_client(RedisTarget.from_url(url)))


async def every_job(client: Client) -> None:
    assert await (await client.enqueue(jobs.flaky)).result(10) == 2
    assert await (await client.enqueue(jobs.snoozes)).result(10) == 1
    assert await (await client.enqueue(jobs.threaded)).result(10) == "thread"
    assert await (await client.enqueue(jobs.apart)).result(10) == "process"
    await client.enqueue(jobs.once.options(delay=60), user="ann")
    await client.enqueue(jobs.once.options(on_taken="replace"), user="ann")
    await client.enqueue(jobs.last, user="ann")
    calls = [limited.call(user="ann") for limited in (jobs.slow, jobs.alone) for _ in range(5)]
    handles = await client.enqueue_many([*calls, *(jobs.urgent.call() for _ in range(3))])
    for handle in handles:
        await handle.result(10)
    later = await client.enqueue(jobs.double.options(delay=60), 1)
    assert await later.reschedule() == "rescheduled"
    assert await later.result(10) == 2
    running_job = await client.enqueue(jobs.sleeps.options(id="s"))
    await until_in(running_job, State.ACTIVE)
    assert await running_job.cancel() == "requested"
    with pytest.raises(JobCancelled):
        await running_job.result(10)


async def every_flow(client: Client, own_id: str) -> None:
    whole = pipeline(jobs.numbers, each(jobs.double), jobs.total)
    assert await (await client.enqueue(whole, upto=3)).result(10) == 6
    nested = pipeline(jobs.numbers, each(pipeline(jobs.double)), jobs.total)
    assert await (await client.enqueue(nested.options(id=f"n-{own_id}"), upto=2)).result(10) == 2
    dead = await client.enqueue(whole, upto=5)
    with pytest.raises(JobFailed):
        await dead.result(10)
    await until_empty_but_dead(client)
    assert await dead.retry() == "retried"
    batch = await client.batch(
        [jobs.double.call(1), jobs.fails.call()], on_finished=jobs.told.call(), on_died=jobs.told.call()
    )
    assert (await batch.wait(10)).dead == 1
    later = [jobs.double.options(delay=60).call(1) for _ in range(3)]
    waiting = await client.batch(later, id=f"b-{own_id}")
    assert await waiting.cancel() == "cancelled"
    stopped = await client.enqueue(whole.options(delay=60), upto=1)
    assert await stopped.cancel() == "cancelled"


async def until_empty_but_dead(client: Client) -> None:
    async def look() -> bool:
        counts = [await client.counts(queue) for queue in ("default", "other")]
        return not any(one[State.WAITING] + one[State.ACTIVE] for one in counts)

    await until(look, "nothing waits or runs")


async def every_look(client: Client) -> None:
    late = await client.enqueue(jobs.double.options(delay=60, id="late"), number=1)
    assert (await late.status()).state is State.DELAYED
    await client.pause("default")
    assert await client.paused_since("default")
    await client.resume("default")
    for state in ("waiting", "delayed", "active", "dead"):
        await client.jobs("default", state)
    assert await client.cancel("default", "late") == "cancelled"
    await client.enqueue(jobs.double.options(delay=60), number=1)
    assert (await client.cancel_all("default"))["cancelled"] >= 1
    spare = await client.enqueue(jobs.fails)
    await until_in(spare, State.DEAD)
    await client.delete_dead("default", spare.id)
    (letter, *_) = await client.jobs("default", "dead")
    await client.retry("default", letter.id)
    await client.retry_dead("default", task="fails")
    await client.enqueue_by_name("double", {"number": 1}, delay=60)


async def test_all_of_it_runs_under_the_documented_rights(
    project: Project, guarded: RedisServer, url: Callable[[str], str], tmp_path: Path
) -> None:
    with guarded.client() as admin:
        admin.execute_command("ACL", "SETUSER", "worker", *RECORDERS)

    async def use() -> None:
        async with await client_at(url("web")) as client:
            await every_job(client)
            await every_flow(client, "web")
            await every_look(client)

    audit = tmp_path / "audit.db"

    def recorded() -> int:
        with contextlib.closing(sqlite3.connect(audit)) as database:
            return int(
                database.execute("SELECT count(*) FROM _jobs WHERE status = 'COMPLETED'").fetchone()[0]
            )

    with running(url("worker"), "worker", cwd=tmp_path, DATABASE_URL=f"sqlite:///{audit}"):
        await use()
        await until(recorded, "the leader has written into the audit table")
        # What a worker process enqueues, it does as its own user.
        async with await client_at(url("worker")) as client:
            await every_flow(client, "worker")


ANSWERED: list[str] = []


async def answer(ctx: dict[Any, Any]) -> int:
    ANSWERED.append(ctx["job_id"])
    return 42


async def test_a_bare_worker_and_arqs_client_run_under_the_documented_rights(
    project: Project, guarded: RedisServer, url: Callable[[str], str]
) -> None:
    (more,) = re.findall(r"its user needs `([^`]+)`", PAGE)
    with guarded.client() as admin:
        admin.execute_command("ACL", "SETUSER", "bare", "on", ">secret", *LINES["worker"], *more.split())
    target = RedisTarget.from_url(url("bare"))
    each_second = cron(answer, second=set(range(60)))
    async with connections.async_client(target) as client, connections.async_client(target) as pool:
        worker = QueueWorker([answer], redis_pool=pool, cron_jobs=[each_second], health_check_interval=1)
        async with at_work(worker):
            asked = await client.enqueue_job("answer")
            assert asked is not None
            assert await asked.result(timeout=10) == 42
            await client.enqueue_job("answer", _defer_by=60)
            assert await client.all_job_results()
            await until(lambda: any(one.startswith("cron:") for one in ANSWERED), "a tick has run")
        # arq reads the queue and then each job, and fails where one has ended between.
        assert await client.queued_jobs()


def test_the_commands_run_under_the_documented_rights(project: Project, url: Callable[[str], str]) -> None:
    def rota(*arguments: str, user: str = "web", **variables: str) -> str:
        ran = project.rota(*arguments, REDIS_URL=url(user), **variables)
        assert ran.status == 0, ran.err
        return ran.out

    rota("enqueue", "greet", '{"name": "ann"}', "--delay", "60", "--id", "one")
    rota("queues")
    rota("workers")
    rota("jobs", "default", "--state", "delayed")
    rota("show", "default", "one")
    rota("pause", "default")
    rota("resume", "default")
    rota("cancel", "default", "one")
    rota("cancel", "default", "--all")
    rota("retry", "default", "--all")
    rota("desired", "--over", "0.1", user="exporter")


def test_the_exporter_and_the_autoscaler_only_read(
    project: Project, url: Callable[[str], str], tmp_path: Path
) -> None:
    scaling = {"AUTOSCALER_DRY_RUN": "true", "AUTOSCALER_INTERVAL": "0.5", "LOG_LEVEL": "debug"}
    with (
        running(
            url("exporter"), "exporter", cwd=tmp_path, METRICS_PORT="0", METRICS_HOST="127.0.0.1"
        ) as exporter,
        running(url("exporter"), "autoscaler", cwd=tmp_path, **scaling) as process,
    ):
        assert process.stdout is not None
        assert exporter.stdout is not None
        assert next(line for line in exporter.stdout if "exporter.ready" in line)
        assert next(line for line in process.stdout if "autoscaler.stays" in line or "scales" in line)


def test_the_lines_have_every_command_of_the_scripts() -> None:
    def allowed(user: str) -> set[str]:
        return {word[1:].upper() for word in LINES[user] if word.startswith("+")}

    def needed(some: Iterable[Script]) -> set[str]:
        return {name for script in some for name in script.commands} - rights.OPTIONAL

    assert needed(SCRIPTS) <= allowed("worker")
    assert needed(rights.CLIENTS_SCRIPTS) <= allowed("web")
    assert set(rights._HARMLESS) <= allowed("worker") | {word[1:].upper() for word in RECORDERS}
    assert set(rights._RECORDERS) - allowed("worker") == {word[1:].upper() for word in RECORDERS}
    # The worker is the one that blocks and listens, leads, and looks for the names of jobs in payloads.
    extra = allowed("worker") - allowed("web")
    own = {"BLPOP", "CLIENT|SETNAME", "CLIENT|TRACKING", "GETRANGE", "GETEX"}
    assert extra == own | set(rights._LEADERS)


def test_the_rights_of_a_worker_are_those_that_its_scripts_need() -> None:
    needed = set(Rights.of_worker(["default"], "rota").commands)
    for script in rights._WORKERS_SCRIPTS:
        assert script.commands - rights.OPTIONAL <= needed


# What lacks


#: The rights to all keys of ours but the leader's.
OURS = tuple(
    f"~rota:{name}"
    for name in (
        *("events", "records", "recording", "schedules", "schedules:*", "schedule:*", "flow:*", "limit:*"),
        *("slots:*", "unique:*", "history:*", "history-sent:*"),
    )
)
ACTING = ("~rota:bulk", "~rota:bulk:*", "~rota:actions")
WHOLE = ("~arq:*", "~rota:*", "+@all", "-@dangerous", "+info")


@pytest.fixture
def told(guarded: RedisServer) -> Callable[..., Awaitable[str]]:
    """Return what a worker says at its boot to a user with some rights; nothing where they suffice."""

    async def ask(*words: str, **needs: bool) -> str:
        with guarded.client() as admin:
            admin.execute_command("ACL", "SETUSER", "app", "reset", "on", ">secret", *words)
        target = RedisTarget("127.0.0.1", guarded.port, username="app", password="secret")
        try:
            client = await connections.open(
                target,
                boot_timeout=1,
                prepare=lambda redis: check_rights(
                    redis, Rights.of_worker(["default", "email"], "rota", **needs)
                ),
            )
        except ServerError as error:
            return str(error).replace(str(target), "it")
        await client.aclose()
        return ""

    return ask


@pytest.fixture
def refused(told: Callable[..., Awaitable[str]]) -> Callable[..., Awaitable[str]]:
    """Return what a worker says that is refused, without what is to be done about it."""

    async def ask(*words: str) -> str:
        return (await told(*words)).partition(" to this user: ")[0]

    return ask


async def test_rights_that_suffice_are_found_without_a_trace(
    refused: Callable[..., Awaitable[str]], told: Callable[..., Awaitable[str]], guarded: RedisServer
) -> None:
    assert await refused(*WHOLE) == ""
    assert await refused(*LINES["worker"]) == ""
    assert await told(*LINES["worker"], *RECORDERS, records=True) == ""
    with guarded.client() as admin:
        assert admin.execute_command("ACL", "LOG") == []
        assert admin.keys() == []


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((*WHOLE, "-hset", "-xadd"), "it refuses the commands HSET, XADD"),
        ((*WHOLE, "-blpop"), "it refuses the command BLPOP"),
        ((*WHOLE, "-client|tracking"), "it refuses the command CLIENT TRACKING"),
        ((*WHOLE, "-eval"), "it refuses the command EVAL"),
        ((*WHOLE, "-@scripting"), "it refuses the commands EVAL, EVALSHA"),
        ((*WHOLE, "-info"), "it refuses the command INFO"),
        (
            ("~arq:queue:*", "~rota:*", "&*", "+@all"),
            "it refuses the keys arq:job:*, arq:result:*, arq:retry:*, arq:in-progress:*, arq:log:*, arq:abort, "
            "arq:bell:*",
        ),
        (
            ("~arq:*", "~team:*", "&*", "+@all", "-set"),
            "it refuses the command SET and the keys rota:events, rota:records, rota:recording, rota:schedules, "
            "rota:flow:*, rota:limit:*, rota:slots:*, rota:unique:* and 9 more",
        ),
        (("~*", "&*", "+@read", "+@connection", "+@scripting", "+info"), None),
    ],
)
async def test_what_lacks_is_named_at_boot(
    refused: Callable[..., Awaitable[str]], words: tuple[str, ...], sentence: str | None
) -> None:
    said = await refused(*words)
    if sentence is None:
        assert said.startswith("it refuses the commands BLPOP, HSET")
        assert "more" in said
    else:
        assert said == sentence


@pytest.mark.parametrize(
    ("words", "needs", "line"),
    [
        (("~arq:*", *OURS, *ACTING, "~rota:leader:*"), {}, "~rota:leader"),
        (("~arq:*", *OURS, *ACTING, "~rota:leader"), {}, "~rota:leader:*"),
        (("~arq:*", *OURS, "~rota:leader", "~rota:leader:*"), {}, " ".join(ACTING)),
        (("~arq:*", *OURS), {"leads": False}, ""),
        (("~arq:*", "~rota:*"), {"records": True}, "+xrevrange +xlen +memory|usage"),
        (("~arq:*", "~rota:*"), {"records": True, "leads": False}, ""),
        (("~arq:*", "~rota:*", "-getex", "-blpop"), {}, "+blpop +getex"),
    ],
)
async def test_what_a_leader_lacks_is_told_with_the_line_that_allows_it(
    told: Callable[..., Awaitable[str]], words: tuple[str, ...], needs: dict[str, bool], line: str
) -> None:
    rest = [word for word in LINES["worker"] if not word.startswith("~")]
    given = (*rest, *words)
    advice = (await told(*given, **needs)).partition(" to this user: ")[2]
    assert advice == (f"ACL SETUSER app {line} (docs/redis.md lists all rights)" if line else "")
    assert await told(*given, *line.split(), **needs) == ""


async def test_what_is_tried_takes_no_key_s_end_away(
    refused: Callable[..., Awaitable[str]], guarded: RedisServer
) -> None:
    with guarded.client() as admin:
        admin.set("rota:recording", "0 100", ex=1000)
        admin.set("rota:leader", "w 1", ex=1000)
        try:
            assert await refused(*WHOLE) == ""
            assert admin.ttl("rota:recording") > 0
            assert admin.ttl("rota:leader") > 0
        finally:
            admin.delete("rota:recording", "rota:leader")


async def test_a_user_that_only_reads_may_not_touch_any_key(refused: Callable[..., Awaitable[str]]) -> None:
    assert (await refused("%R~*", "&*", "+@all")).startswith("it refuses the keys arq:queue:default, ")


async def test_a_full_server_keeps_no_worker_from_booting(
    refused: Callable[..., Awaitable[str]], guarded: RedisServer
) -> None:
    with guarded.client() as admin:
        admin.config_set("maxmemory", "100kb")
    assert await refused(*WHOLE) == ""


@pytest.mark.parametrize("command", ["EVAL", "BLPOP"])
async def test_a_command_that_is_disabled_is_named(tmp_path: Path, command: str) -> None:
    server = RedisServer(tmp_path, "--rename-command", command, "")
    server.start()
    try:
        client = connections.async_client(RedisTarget("127.0.0.1", server.port))
        with pytest.raises(ServerError, match=f"refuses the command {command} \\(disabled\\) to this user"):
            await check_rights(client, Rights.of_worker(["default"], "rota"))
        await client.aclose()
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            NoPermissionError("this user has no permissions to run the 'eval' command or its subcommand"),
            "EVAL",
        ),
        (NoPermissionError("User app has no permissions to run the 'script|load' command"), "SCRIPT LOAD"),
        ("The user executing the script can't run this command or subcommand script: 1", "of a script"),
        (ResponseError("ACL failure in script: User a has no permissions to run the 'set' command"), "SET"),
        ("@user_script: 1: Unknown Redis command called from script", "of a script"),
        (ResponseError("unknown command `EVAL`, with args beginning with: `return 1`"), "EVAL (disabled)"),
        (ResponseError("wrong number of arguments for 'get' command"), None),
        ([b"run the 'set' command"], None),
    ],
)
def test_every_version_says_it_in_its_own_words(answer: object, said: str | None) -> None:
    assert faults.command_refused(answer) == said


# The other programs say it too


@pytest.mark.parametrize("command", ["worker", "exporter", "autoscaler"])
def test_a_program_ends_with_one_sentence(project: Project, guarded: RedisServer, command: str) -> None:
    with guarded.client() as admin:
        admin.execute_command("ACL", "SETUSER", "app", "on", ">p", *WHOLE, "-smembers")
    url = f"redis://app:p@127.0.0.1:{guarded.port}/0"
    ran = project.rota(command, REDIS_URL=url, METRICS_PORT="0", AUTOSCALER_DRY_RUN="true")
    ran.refused("refuses the command SMEMBERS to this user", status=6)


@pytest.mark.parametrize(
    ("arguments", "without"),
    [
        (("queues",), "zcount"),
        (("enqueue", "greet", '{"name": "a"}'), "evalsha"),
        (("pause", "default"), "set"),
        (("desired", "--over", "0"), "mget"),
    ],
)
def test_a_command_line_ends_with_one_sentence(
    project: Project, guarded: RedisServer, arguments: tuple[str, ...], without: str
) -> None:
    with guarded.client() as admin:
        admin.execute_command("ACL", "SETUSER", "app", "on", ">p", *WHOLE, f"-{without}")
        admin.sadd("arq:queue:default:workers", "one")
    url = f"redis://app:p@127.0.0.1:{guarded.port}/0"
    ran = project.rota(*arguments, REDIS_URL=url)
    ran.refused(f"refuses the command {without.upper()} to this user", status=6)
