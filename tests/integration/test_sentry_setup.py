"""Sentry's beginning and end: what it needs, what it costs, and how long it may keep a process from ending."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
import sentry_sdk
from arq.connections import ArqRedis

from rota import Run, job
from rota.app.connect import client_of
from rota.server import connections
from rota.server.target import RedisTarget
from rota.settings.load import ConfigError, load
from rota.telemetry.tracing.sentry import sentry
from tests.envelopes import DSN, Captured, forgotten
from tests.servers import RedisServer, free_port
from tests.silence import silent_port
from tests.waiting import until
from tests.workers import serving


@job(max_attempts=1)
async def fail(run: Run) -> None:
    raise ValueError("for Sentry")


PROGRAM = """
import asyncio, logging, os, signal, sys, time
from rota import Run, job
from rota.app import supervisor
from rota.model import registry
from rota.settings.load import load

@job(max_attempts=1)
async def fail(run: Run) -> None:
    asyncio.get_running_loop().call_later(0.2, os.kill, os.getpid(), signal.SIGTERM)
    raise ValueError("for Sentry")

async def enqueue():
    import rota
    async with await rota.connect() as client:
        await client.enqueue(fail)

class Stopwatch(logging.Handler):
    def emit(self, record):
        if record.getMessage() == "worker.stopped":
            self.stopped = time.time()

watch = Stopwatch()
logging.getLogger("rota.worker").addHandler(watch)
logging.getLogger("rota.worker").setLevel("INFO")
settings = load()
asyncio.run(enqueue())
status = supervisor.Supervisor(settings, registry.Registry([fail], "default", None, {"default": {"fail": fail}})).run()
print(status, "sentry_sdk" in sys.modules, watch.stopped)
"""


def worker(server: RedisServer, **variables: str) -> tuple[str, float]:
    """Run a worker that fails a job and is stopped; return its output, and the seconds from job to end."""
    env = {"REDIS_URL": server.url, "PYTHONPATH": ":".join(sys.path), "PATH": "/usr/bin:/bin", **variables}
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=env, capture_output=True, text=True, timeout=60, check=False
    )
    ended = time.time()
    assert ran.returncode == 0, ran.stderr
    assert "job.dead" in ran.stderr
    printed, _, stopped = ran.stdout.strip().rpartition(" ")
    return printed, ended - float(stopped)


@pytest.fixture(scope="module")
def without(session_server: RedisServer) -> tuple[str, float]:
    """Return what a worker without a DSN prints, and the seconds that it takes to end."""
    return worker(session_server)


def test_without_a_dsn_sentry_is_not_even_imported(without: tuple[str, float]) -> None:
    assert without[0] == "0 False"


@pytest.mark.parametrize("how", ["silent", "refused"])
def test_a_sentry_that_cannot_be_reached_delays_the_end_by_two_seconds_at_most(
    server: RedisServer, without: tuple[str, float], how: str
) -> None:
    def delay() -> float:
        with silent_port() as silent:
            port = silent if how == "silent" else free_port()
            printed, took = worker(server, SENTRY_DSN=f"http://key@127.0.0.1:{port}/1")
        assert printed == "0 True"
        return took - without[1]

    # Two seconds, and what a machine takes to end two processes. One of three: what the others took longer, this
    # machine's other work took.
    assert any(delay() < 2 + 1 for _ in range(3))


async def all_dead(redis: ArqRedis, count: int) -> bool:
    return bool(await redis.zcard("arq:queue:default:dead") >= count)


async def test_jobs_that_fail_wait_for_no_sentry(server: RedisServer) -> None:
    """More jobs fail than Sentry's queue holds, each with a report and a transaction that no server takes."""
    with silent_port() as port, forgotten():
        variables = {"SENTRY_DSN": f"http://key@127.0.0.1:{port}/1", "SENTRY_TRACES_SAMPLE_RATE": "1"}
        assert sentry.start(load(variables))
        redis = connections.async_client(RedisTarget.from_url(server.url))
        async with client_of(load({}), redis) as client, serving(server.url, fail):
            await client.enqueue_many([fail.call() for _ in range(300)])
            await until(lambda: all_dead(redis, 300))
        begun = time.monotonic()
        sentry.close()
        assert time.monotonic() - begun < 2 + 1


def test_a_dsn_needs_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "sentry_sdk"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sentry_sdk", None)
    with pytest.raises(ConfigError, match=r"SENTRY_DSN is set, but sentry-sdk is not installed"):
        sentry.start(load({"SENTRY_DSN": DSN}))


def test_a_malformed_dsn_is_said() -> None:
    with forgotten(), pytest.raises(ConfigError, match="SENTRY_DSN is not a DSN"):
        sentry.start(load({"SENTRY_DSN": "sentry.example.com"}))


def test_the_dsn_may_be_in_a_file_and_is_never_shown(tmp_path: Path) -> None:
    path = tmp_path / "dsn"
    path.write_text(DSN)
    settings = load({"SENTRY_DSN_FILE": str(path)})
    assert settings.sentry_dsn is not None
    assert settings.sentry_dsn.get_secret_value() == DSN
    assert DSN not in repr(settings)


def test_settings_become_options() -> None:
    variables = {
        "SENTRY_DSN": DSN,
        "APP_ENV": "test",
        "SENTRY_RELEASE": "shop@1",
        "SENTRY_TRACES_SAMPLE_RATE": "0.25",
    }
    with forgotten():
        assert sentry.start(load(variables), transport=Captured)
        options = sentry_sdk.get_client().options
        shown = [options[name] for name in ("environment", "release", "traces_sample_rate")]
        assert shown == ["test", "shop@1", 0.25]
        assert options["include_local_variables"] is False
        assert options["max_request_body_size"] == "never"
        disabled = {one.identifier for one in options["disabled_integrations"]}
        assert disabled == {"arq", "argv"}


def test_who_set_sentry_up_by_itself_keeps_its_options() -> None:
    with forgotten():
        sentry_sdk.init(DSN, environment="mine", transport=Captured)
        assert not sentry.start(load({"SENTRY_DSN": DSN}))
        assert sentry_sdk.get_client().options["environment"] == "mine"


def test_closing_what_was_never_set_up_is_nothing() -> None:
    sentry.close()


def test_a_sentry_on_this_machine_is_reached_without_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.test:3128")
    for host, is_direct in (("127.0.0.1:9", True), ("sentry.test", False)):
        with forgotten():
            assert sentry.start(load({"SENTRY_DSN": f"http://key@{host}/1"}))
            options = sentry_sdk.get_client().options
            assert (options["http_proxy"] == "") is is_direct
