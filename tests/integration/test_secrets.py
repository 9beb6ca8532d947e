"""A proxy that does not know AUTH quotes the password back: no log, no error and no traceback repeats it."""

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from rota import Client, connect
from rota.errors import RotaError
from rota.server import connections
from rota.server.faults import ServerError
from rota.server.target import RedisTarget
from rota.settings.load import load
from rota.telemetry.logs import logs
from tests.faults.proxy import Answer, Proxy, containing
from tests.integration.project import JOBS
from tests.processes import Worker, environment
from tests.servers import RedisServer
from tests.waiting import until

PASSWORDS = ("open-sesame", "pw1")
REPLY = "-ERR unknown command 'AUTH', with args beginning with: '{0}'\r\n"
#: A login that came with no command's name, as a server that speaks otherwise may repeat it.
OTHERWISE = "-ERR no such thing: {0}!\r\n"


@pytest.fixture(params=PASSWORDS)
async def proxied(request: Any, own_server: RedisServer) -> AsyncIterator[tuple[Proxy, str]]:
    """Yield a proxy to a server, and the server's password, with which one has to log in."""
    with own_server.client() as admin:
        admin.config_set("requirepass", request.param)
    async with Proxy(own_server.port) as proxy:
        yield proxy, request.param


def forget_auth(proxy: Proxy, password: str, reply: str = REPLY) -> None:
    """Let the proxy know no AUTH any longer, and everybody come again."""
    proxy.answers = [Answer(containing("AUTH"), reply.format(password).encode(), times=1_000_000)]
    proxy.cut()


def url_of(proxy: Proxy, password: str) -> str:
    return f"redis://:{password}@127.0.0.1:{proxy.port}/0"


async def test_the_logs_of_a_worker_an_exporter_and_an_autoscaler(
    proxied: tuple[Proxy, str], tmp_path: Path
) -> None:
    proxy, password = proxied
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "__init__.py").write_text(JOBS)
    variables = {
        "REDIS_URL": url_of(proxy, password),
        "LOG_FORMAT": "json",
        "METRICS_PORT": "0",
        "LOG_LEVEL": "debug",
    }
    scaling = {"AUTOSCALER_DRY_RUN": "true", "AUTOSCALER_INTERVAL": "0.5s"}
    env = environment(tmp_path, **variables, **scaling)
    with ExitStack() as stack:
        run = {
            name: Worker(tmp_path / f"{name}.log", env, name) for name in ("worker", "exporter", "autoscaler")
        }
        for process in run.values():
            stack.callback(process.close)
        await until(lambda: run["worker"].says("worker.ready") and run["exporter"].says("exporter.ready"))
        await until(lambda: any(map(run["autoscaler"].says, ("autoscaler.scales", "autoscaler.stays"))))
        forget_auth(proxy, password)
        for name in ("worker", "exporter"):
            # All else is told.
            await until(lambda name=name: "unknown command 'AUTH'" in run[name].log.read_text())
        await until(lambda: run["autoscaler"].says("autoscaler.blind"))
        said = {name: process.log.read_text() for name, process in run.items()}
    assert [name for name, text in said.items() if password in text] == []


@pytest.mark.parametrize("reply", [REPLY, OTHERWISE])
async def test_the_traceback_of_a_client_with_its_chain(proxied: tuple[Proxy, str], reply: str) -> None:
    proxy, password = proxied
    async with await connect(load({"REDIS_URL": url_of(proxy, password)})) as client:
        await client.counts("default")
        forget_auth(proxy, password, reply)
        with pytest.raises(RotaError) as raised:
            await until(lambda: refused(client))
    assert password not in "".join(traceback.format_exception(raised.value))


async def refused(client: Client) -> bool:
    """Ask until it is refused. A connection that was cut is made again by the call after it."""
    try:
        await client.counts("default")
    except ServerError as error:
        if "closes the connection" in str(error):
            return False
        raise
    return False


async def test_the_error_of_a_blocking_client(proxied: tuple[Proxy, str]) -> None:
    proxy, password = proxied
    forget_auth(proxy, password)
    client = connections.sync_client(RedisTarget.from_url(url_of(proxy, password)))

    def ask() -> str:
        with client:
            try:
                client.ping()
            except Exception as error:
                return "".join(traceback.format_exception(error))
        return ""

    said = await asyncio.to_thread(ask)
    assert "unknown command" in said
    assert password not in said


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield root
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)


@pytest.mark.parametrize("style", ["json", "console"])
def test_a_line_of_any_logger_has_none_of_the_settings_secrets(
    capsys: pytest.CaptureFixture[str], root: logging.Logger, style: Any
) -> None:
    given = {
        "REDIS_URL": "redis://:open-sesame@127.0.0.1:1/0",
        "SENTRY_DSN": "https://0123456789abcdef@o1.ingest.example.com/1",
        "AUTOSCALER_URL": "http://ann:swordfish@127.0.0.1:1",
    }
    assert load(given).redis
    logs.setup("info", style)
    for logger in ("rota.redis", "httpx"):
        for secret in ("open-sesame", "0123456789abcdef", "swordfish"):
            extra = {"text": f"got {secret}", "data": {"deep": [secret]}, "raw": secret.encode()}
            logging.getLogger(logger).warning("it sent %s", secret, extra=extra)
            try:
                raise ValueError(secret)
            except ValueError:
                logging.getLogger(logger).exception("it.failed")
    said = capsys.readouterr().err
    assert said.count("it.failed") == 6
    for secret in ("open-sesame", "0123456789abcdef", "swordfish"):
        assert secret not in said
