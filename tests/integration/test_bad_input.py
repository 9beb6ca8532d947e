"""Bad input: whatever is wrong at the boot, or with what is enqueued, is one clear sentence, and nothing is lost."""

import http.server
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from arq.connections import ArqRedis

from rota import Client, InvalidPayload, JobExists, JobNotFound, PayloadTooLarge, RotaError, Run, State, job
from rota.server import connections
from rota.server.faults import ServerError
from rota.server.target import RedisTarget
from rota.settings.settings import Settings
from tests.integration.project import JOBS, Project
from tests.processes import ENGINE_FILES
from tests.servers import RedisServer, free_port


@pytest.fixture
def project(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Project:
    return Project(tmp_path, capsys)


@pytest.fixture
def connected(tmp_path: Path, capsys: pytest.CaptureFixture[str], server: RedisServer) -> Project:
    """Return a project on the session's server."""
    return Project(tmp_path, capsys, server.url)


# What a process is started with


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"MODE": "wrker"}, ("MODE", "there is no mode 'wrker'", "worker")),
        ({"WORKER_QUEUES": "email,nosuch"}, ("WORKER_QUEUES", "nosuch", "default, email")),
        ({"QUEUE_CONCURENCY": "5"}, ("QUEUE_CONCURENCY", "QUEUE_CONCURRENCY")),
        ({"QUEUES__EMAIL__CONCURENCY": "5"}, ("QUEUES__EMAIL__CONCURENCY", "did you mean CONCURRENCY?")),
        ({"QUEUES__EMAIL__NOSUCH": "5"}, ("QUEUES__EMAIL__NOSUCH", "the options are: CONCURRENCY")),
        ({"QUEUES__EMAIL__CONCURRENCY": "many"}, ("QUEUES__EMAIL__CONCURRENCY", "'many'", "whole number")),
        ({"LEASE": "0.5"}, ("LEASE", "must be a time of 1 or more seconds")),
        ({"BACKOFF": "sometimes"}, ("BACKOFF", "exponential, linear, fixed, none")),
        ({"DEFAULT_QUEUE": "No Queue"}, ("DEFAULT_QUEUE", "'No Queue' is not allowed")),
        ({"JOBS_PACKAGE": "nosuch"}, ("nosuch", "there is no such package")),
        ({"REDIS_URL": "http://localhost"}, ("REDIS_URL", "redis://")),
        ({"APP_ENV": "production"}, ("REDIS_URL is not set", "production needs it")),
    ],
)
def test_a_wrong_setting_stops_the_boot_with_its_name_and_what_is_allowed(
    project: Project, environment: dict[str, str], said: tuple[str, ...]
) -> None:
    project.rota(**environment).refused(*said)


def test_several_wrong_settings_are_all_named_at_once(project: Project) -> None:
    ran = project.rota(MODE="wrker", LEASE="0", QUEUES__EMAIL__NOSUCH="1")
    assert ran.status == 2
    lines = ran.err.splitlines()
    assert len(lines) == 3
    for name in ("MODE", "LEASE", "QUEUES__EMAIL__NOSUCH"):
        assert [line for line in lines if name in line]


def test_a_jobs_module_that_cannot_be_imported_is_named_with_its_reason(project: Project) -> None:
    project.write("jobs/broken.py", "import nosuch_library\n")
    project.rota(REDIS_URL="redis://localhost:1").refused("jobs.broken", "nosuch_library")


def test_two_jobs_of_one_name_stop_the_boot_with_both_their_places(project: Project) -> None:
    project.write("jobs/first.py", JOBS)
    ran = project.rota(REDIS_URL="redis://localhost:1")
    ran.refused("two jobs are named", "jobs/__init__.py:", "jobs/first.py:", "rename one with name=")


def test_a_process_of_its_own_ends_with_status_2_and_the_sentence_on_stderr(project: Project) -> None:
    process = project.process(MODE="wrker")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, "")
    assert (
        err == "rota: MODE: there is no mode 'wrker'; choose one of: worker, api, all, exporter, autoscaler\n"
    )


# What it is told to talk to


@pytest.fixture
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Start servers with options of their own."""
    servers: list[RedisServer] = []

    def start(*options: str) -> RedisServer:
        server = RedisServer(tmp_path_factory.mktemp("redis"), *options)
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        server.stop()


def fill(server: RedisServer) -> None:
    with server.client() as client:
        client.set("ballast", "x" * 2_000_000)
        client.config_set("maxmemory", 1_000_000)


def test_a_server_that_is_not_there_is_said_with_its_address(project: Project) -> None:
    url = f"redis://:very-secret@127.0.0.1:{free_port()}/0"
    ran = project.rota(REDIS_URL=url)
    ran.refused("is not listening", "start it, or correct REDIS_URL", status=6)
    assert "very-secret" not in ran.out + ran.err


def test_a_server_that_never_answers_is_given_up_after_the_time_to_boot(project: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        ran = project.rota(REDIS_URL=f"redis://127.0.0.1:{deaf.getsockname()[1]}/0", BOOT_TIMEOUT="0.2")
    ran.refused("did not answer within BOOT_TIMEOUT, 0.2 s", status=6)


def test_an_unknown_host_name_is_said(project: Project) -> None:
    project.rota(REDIS_URL="redis://nosuch.invalid:6379/0").refused("nosuch.invalid:6379", status=6)


def test_a_read_only_replica_is_refused_at_the_boot(project: Project, own: Any) -> None:
    replica = own("--replicaof", "127.0.0.1", str(free_port()), "--replica-serve-stale-data", "yes")
    project.rota(REDIS_URL=replica.url).refused("is a read-only replica", "point REDIS_URL", status=6)


def test_a_wrong_password_is_refused_at_the_boot_and_never_printed(project: Project, own: Any) -> None:
    server = own()
    with server.client() as client:
        client.config_set("requirepass", "right")
        ran = project.rota(REDIS_URL=f"redis://:very-secret@127.0.0.1:{server.port}/0")
        ran.refused("refuses this user or password", "correct the user and password in REDIS_URL", status=6)
        assert "very-secret" not in ran.out + ran.err
        project.rota(REDIS_URL=server.url).refused("asks for a password", status=6)


class Polite(http.server.BaseHTTPRequestHandler):
    """Answers everything as a web server does."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's word
        """Log nothing, so that the output of the test stays readable."""


def test_a_server_other_than_redis_is_refused_at_the_boot(project: Project) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Polite) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        ran = project.rota(REDIS_URL=f"redis://127.0.0.1:{web.server_address[1]}/0")
        web.shutdown()
    ran.refused(f"127.0.0.1:{web.server_address[1]}", status=6)


# What is enqueued on the command line


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("greett",), ("there is no job 'greett'", "did you mean default:greet?")),
        (("nosuch:greet",), ("there is no job 'nosuch:greet'", "default:greet")),
        (("greet", '{"name": 3}'), ("wrong arguments of job greet", "name: ", "string")),
        (("greet",), ("wrong arguments of job greet", "name: ")),
        (("greet", '{"name": "ann", "age": 3}'), ("wrong arguments of job greet", "age: is not an argument")),
        (("greet", '{"name": "ann"'), ("the payload is not JSON",)),
        (("greet", '["ann"]'), ("the payload is a JSON list; write an object",)),
        (
            ("send", f'{{"to": "{"x" * 3000}"}}'),
            ("email:send has", "PAYLOAD_LIMIT allows 2048", "enqueue its id"),
        ),
        (("send", "--delay", "-1"), ("--delay is '-1'", "0 or more seconds", "5m")),
        (
            ("send", "--delay", "1 hour"),
            ("--delay is '1 hour'", "written 0.5, 30, 500ms, 30s, 5m, 2h or 30d"),
        ),
        (("send", "--timeout", "0"), ("timeout is 0.0", "more than 0")),
        (("send", "--max-attempts", "0"), ("max_attempts is 0", "1 or more")),
        (("send", "--at", "2030-01-02T03:04"), ("--at is '2030-01-02T03:04'", "with its zone")),
        (("send", "--at", "soon"), ("--at is 'soon'", "+01:00")),
        (("send", "--at", "2030-01-02T03:04Z", "--delay", "1h"), ("delay and at are both given",)),
        (("send", "@nosuch.json"), ("the payload's file 'nosuch.json' cannot be read", "No such file")),
        (("send", "--id", "a\nb"), ("job id 'a\\nb' is not allowed",)),
        (("send", "--id", "x" * 201), ("is not allowed", "1 to 200 characters")),
    ],
)
def test_a_wrong_enqueue_is_one_sentence_and_leaves_nothing(
    connected: Project, server: RedisServer, arguments: tuple[str, ...], said: tuple[str, ...]
) -> None:
    connected.rota("enqueue", *arguments, PAYLOAD_LIMIT="2048").refused(*said)
    with server.client() as client:
        assert client.dbsize() == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("jobs", "nosuch"),
        ("show", "nosuch", "some-id"),
        ("cancel", "nosuch", "some-id"),
        ("retry", "nosuch", "--all"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_an_unknown_queue_is_said_with_those_there_are(
    connected: Project, arguments: tuple[str, ...]
) -> None:
    ran = connected.rota(*arguments)
    ran.refused("there is no queue 'nosuch'", "default, email")


@pytest.mark.parametrize("arguments", [("nosuch",), ("queues", "--nosuch"), ("jobs",)])
def test_an_unknown_command_or_option_is_refused_with_the_usage(
    project: Project, arguments: tuple[str, ...]
) -> None:
    ran = project.rota(*arguments)
    assert ran.status == 2
    assert "Usage:" in ran.err
    assert "Traceback" not in ran.err


# What is enqueued by a program


@job
async def add(run: Run, a: int, b: int = 1) -> int:
    return a + b


@pytest.fixture
def client(redis: ArqRedis) -> Client:
    return Client(redis, Settings(payload_limit=500))


async def nothing_was_written(client: Client) -> None:
    assert await client.redis.dbsize() == 0


async def test_wrong_arguments_are_refused_by_name_and_without_their_values(client: Client) -> None:
    with pytest.raises(InvalidPayload) as refusal:
        await client.enqueue(add, a="very-secret")  # type: ignore[arg-type]
    assert refusal.value.problems.keys() == {"a"}
    assert "very-secret" not in str(refusal.value)
    with pytest.raises(InvalidPayload, match="c: is not an argument"):
        await client.enqueue(add, a=1, c=2)  # type: ignore[call-arg]
    with pytest.raises(InvalidPayload, match="a: "):
        await client.enqueue(add)  # type: ignore[call-arg]
    await nothing_was_written(client)


async def test_what_is_no_call_is_refused_with_what_to_write(client: Client) -> None:
    with pytest.raises(TypeError, match=r"enqueue_many takes calls, not Job; write add\.call\(\.\.\.\)"):
        await client.enqueue_many([add])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="enqueue_many takes calls, not int; write the call of a job"):
        await client.enqueue_many([add.call(1), 3])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"a call of add is no job; write enqueue\(add, \.\.\.\)"):
        await client.enqueue(add.call(1))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="the payload of default:add is list; give arguments by name"):
        await client.enqueue_by_name("default:add", [1])  # type: ignore[arg-type]
    await nothing_was_written(client)


async def test_a_job_that_is_not_dead_is_no_letter_and_says_what_it_is(client: Client) -> None:
    handle = await client.enqueue(add.options(delay=60), a=1)
    for act in (client.retry, client.delete_dead):
        with pytest.raises(JobNotFound, match="is delayed; only dead letters can be brought back or deleted"):
            await act(handle.queue, handle.id)
        with pytest.raises(JobNotFound, match="there is no job with the id 'nosuch'"):
            await act(handle.queue, "nosuch")


async def test_a_payload_that_is_not_json_is_refused(client: Client) -> None:
    with pytest.raises(InvalidPayload, match="cannot travel as JSON"):
        await client.enqueue_by_name("default:add", {"a": object()})
    await nothing_was_written(client)


@job
async def keep(run: Run, text: str) -> None:
    """Return at once, with nothing done."""


async def test_a_payload_that_is_too_large_is_refused_with_both_sizes(client: Client) -> None:
    for enqueue in (
        client.enqueue_by_name("default:keep", {"text": "x" * 500}),
        client.enqueue(keep, text="x" * 500),
        client.enqueue_many([keep.call("x"), keep.call("x" * 500)] * 300),
    ):
        with pytest.raises(PayloadTooLarge, match="the payload of job default:keep has") as refusal:
            await enqueue
        assert refusal.value.limit == 500
        assert refusal.value.size > 500
        await nothing_was_written(client)


async def test_a_payload_of_the_limit_itself_is_taken(redis: ArqRedis) -> None:
    with pytest.raises(PayloadTooLarge) as refusal:
        await Client(redis, Settings(payload_limit=1)).enqueue(keep, text="x" * 500)
    size = refusal.value.size
    await Client(redis, Settings(payload_limit=size)).enqueue(keep, text="x" * 500)
    with pytest.raises(PayloadTooLarge):
        await Client(redis, Settings(payload_limit=size - 1)).enqueue(keep, text="x" * 500)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("No Job", "job name 'No Job' is not allowed"),
        ("No Queue:add", "queue name 'No Queue' is not allowed"),
        ("active:add", "queue name 'active' is reserved"),
        ("", "job name '' is not allowed"),
    ],
)
async def test_a_name_that_cannot_be_is_refused(client: Client, name: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        await client.enqueue_by_name(name, {})
    await nothing_was_written(client)


@pytest.mark.parametrize(
    "options",
    [
        {"delay": -1},
        {"delay": float("nan")},
        {"delay": float("inf")},
        {"delay": 1e12},
        {"timeout": 0},
        {"max_attempts": 0},
        {"keep_result": -1},
        {"id": ""},
        {"id": "tab\there"},
        {"id": "x" * 201},
        {"on_taken": "nosuch"},
    ],
    ids=str,
)
async def test_an_option_that_cannot_be_is_refused(client: Client, options: dict[str, Any]) -> None:
    (name,) = options
    with pytest.raises(ValueError, match=name if name != "id" else "job id"):
        await client.enqueue(add.options(**options), a=1)
    with pytest.raises(ValueError, match=name if name != "id" else "job id"):
        await client.enqueue_by_name("add", {"a": 1}, **options)
    await nothing_was_written(client)


async def test_an_unknown_option_is_refused_with_those_there_are(client: Client) -> None:
    with pytest.raises(TypeError, match="there is no option 'dely'; choose from: delay, at, id"):
        await client.enqueue_by_name("add", {"a": 1}, dely=3)  # type: ignore[call-arg]


async def test_an_id_that_is_taken_is_refused_and_its_job_stays_as_it_was(client: Client) -> None:
    first = await client.enqueue(add.options(id="one"), a=1)
    with pytest.raises(JobExists, match="there is a job with the id 'default:one' already"):
        await client.enqueue(add.options(id="one"), a=2)
    assert (await first.status()).payload == {"a": 1}


# A server that fails while a client works


def client_of(server: RedisServer) -> Client:
    return Client(connections.async_client(RedisTarget.from_url(server.url)))


async def test_a_full_server_refuses_the_enqueue_in_one_sentence_and_keeps_what_it_has(own: Any) -> None:
    server = own("--maxmemory-policy", "noeviction")
    async with client_of(server) as client:
        before = await client.enqueue(add, a=1)
        fill(server)
        with pytest.raises(
            ServerError, match=r"is full: raise its maxmemory.*nothing was written"
        ) as refusal:
            await client.enqueue(add, a=2)
        assert refusal.value.transient
        assert (await client.counts("default"))[State.WAITING] == 1
        assert (await before.status()).payload == {"a": 1}
        with server.client() as plain:
            plain.config_set("maxmemory", 0)
        await client.enqueue(add, a=3)


async def test_a_read_only_replica_refuses_the_enqueue_in_one_sentence(own: Any) -> None:
    server = own()
    async with client_of(server) as client:
        await client.enqueue(add, a=1)
        with server.client() as plain:
            plain.replicaof("127.0.0.1", str(free_port()))
        with pytest.raises(ServerError, match="is a read-only replica: point REDIS_URL at the primary"):
            await client.enqueue(add, a=2)


async def test_a_server_that_went_away_is_said_and_the_client_goes_on_when_it_is_back(own: Any) -> None:
    server = own("--appendonly", "yes")
    async with client_of(server) as client:
        handle = await client.enqueue(add, a=1)
        server.stop()
        for call in (client.enqueue(add, a=2), handle.status(), client.counts("default"), handle.cancel()):
            with pytest.raises(RotaError) as refusal:
                await call
            assert isinstance(refusal.value, ServerError)
            assert f"127.0.0.1:{server.port}" in str(refusal.value)
            assert "\n" not in str(refusal.value)
        server.start()
        assert (await handle.status()).payload == {"a": 1}


async def test_a_key_of_another_type_is_said(client: Client) -> None:
    await client.redis.set("arq:queue:default", "somebody else's")
    with pytest.raises(ServerError, match="holds a key of ours with another type"):
        await client.enqueue(add, a=1)
    with pytest.raises(ServerError, match="holds a key of ours with another type"):
        await client.counts("default")


RAISES = """
import contextlib

@contextlib.asynccontextmanager
async def lifespan():
    open_database()
    yield

def open_database():
    raise OSError("no database")
"""


def test_an_import_that_fails_shows_the_user_s_frames_and_then_the_sentence(project: Project) -> None:
    project.write("jobs/broken.py", "from jobs.helper import x")
    project.write("jobs/helper.py", "x = 1\n1 / 0")
    ran = project.rota("worker", REDIS_URL="redis://127.0.0.1:1")
    *frames, sentence = ran.err.splitlines()
    assert sentence.startswith("rota: cannot collect the jobs of jobs.broken: its import failed at /")
    assert sentence.endswith("/jobs/helper.py:2 with ZeroDivisionError: division by zero")
    assert [line.partition('"')[2] for line in frames if "File " in line] == [
        f'{project.folder}/jobs/broken.py", line 1, in <module>',
        f'{project.folder}/jobs/helper.py", line 2, in <module>',
    ]
    assert ran.status == 2


@pytest.mark.parametrize("style", ["json", "console"])
def test_a_lifespan_that_raises_is_one_sentence_with_the_user_s_frames(
    connected: Project, style: str
) -> None:
    connected.write("jobs/lifespan.py", RAISES)
    ran = connected.rota("worker", METRICS_PORT="off", LOG_FORMAT=style)
    *_, last = ran.err.splitlines()
    told = json.loads(last) if style == "json" else {"error": last, "exception": ran.err}
    assert "the lifespan of the jobs failed when it was to start: OSError at " in told["error"]
    assert told["error"].endswith("/jobs/lifespan.py:10: no database")
    assert "in open_database" in told["exception"]
    assert ENGINE_FILES not in told["exception"]
    assert ran.status == 1
