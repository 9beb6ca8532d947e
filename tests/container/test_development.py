"""The infrastructure of development: what `docker compose up -d` brings to a checkout, and its worker that watches."""

import contextlib
import json
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import redis
import yaml

from tests.container.checkout import copy_checkout, with_a_job
from tests.container.engine import CommandFailed, Engine
from tests.container.stack import Stack, wait_until
from tests.container.test_postgres import postgres_image
from tests.files import ROOT

__all__ = ["postgres_image"]

#: The usual ports may be taken on the machine of the tests: any others of the same address.
ANY_PORT = """\
services:
  redis: {ports: !override ["127.0.0.1::6379"]}
  postgres: {ports: !override ["127.0.0.1::5432"]}
  mail: {ports: !override ["127.0.0.1::1025"]}
"""
#: In place of the mail catcher, which is in a registry alone: a server that takes all mail and prints it.
CATCHER = """\
FROM python:3.13-slim-trixie
COPY packages /packages
ENV PYTHONPATH=/packages PYTHONUNBUFFERED=1
CMD ["python", "-m", "aiosmtpd", "--nosetuid", "--listen", "0.0.0.0:1025", "--class", "aiosmtpd.handlers.Debugging"]
"""
ADDED = '''

@job
async def added(run: Run) -> str:
    """Say that it is there."""
    return "was added"
'''


class Development(Stack):
    """The project of development, with ports of its own."""

    def compose(self, *command: str, stdin: str = "", timeout: float = 600.0) -> str:
        """Run `docker compose` with these arguments, and return its output. Raises CommandFailed."""
        return self.engine.docker(*self.project, *command, cwd=self.folder, stdin=stdin, timeout=timeout)

    @property
    def project(self) -> tuple[str, ...]:
        files = ("--file", "docker-compose.yml", "--file", "any-port.yml")
        return ("compose", "--project-name", self.name, *files, "--profile", "app")

    def rota(self, *command: str) -> str:
        """Run `rota` in the worker's container."""
        return self.compose("exec", "-T", "worker", "rota", *command)


@pytest.fixture(scope="module")
def mail_catcher(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tag a stand-in as the mail catcher of the compose file, unless the image itself is here; take it away after."""
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))["services"]
    name = str(services["mail"]["image"])
    if engine.ran("image", "inspect", name).returncode == 0:
        yield
        return
    folder = tmp_path_factory.mktemp("catcher")
    (folder / "Dockerfile").write_text(CATCHER)
    for package in ("aiosmtpd", "attr", "attrs", "public"):
        if (spec := find_spec(package)) and spec.origin:
            ignored = shutil.ignore_patterns("__pycache__", "tests")
            shutil.copytree(Path(spec.origin).parent, folder / "packages" / package, ignore=ignored)
    engine.docker("build", "--tag", name, ".", cwd=folder)
    yield
    engine.ran("rmi", "--force", name)


@pytest.fixture(scope="module")
def development(
    engine: Engine,
    image: str,
    mail_catcher: None,
    postgres_image: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Development]:
    folder = with_a_job(copy_checkout(tmp_path_factory.mktemp("development")))
    (folder / "any-port.yml").write_text(ANY_PORT)
    stack = Development(engine, folder, f"rota-test-{secrets.token_hex(4)}")
    try:
        stack.compose("up", "--detach", "--wait")
        yield stack
    finally:
        stack.remove()


def test_redis_is_there_for_this_machine_and_keeps_its_data(development: Development) -> None:
    def address() -> str:
        return development.compose("port", "redis", "6379")

    assert address().startswith("127.0.0.1:")
    with redis.Redis.from_url(f"redis://{address()}/0", socket_timeout=10) as client:
        assert client.info("memory")["maxmemory_policy"] == "noeviction"
        client.set("kept", "yes")
    development.compose("rm", "--stop", "--force", "redis")
    development.compose("up", "--detach", "--wait", "redis")
    with redis.Redis.from_url(f"redis://{address()}/0") as client:
        assert client.get("kept") == b"yes"


def test_a_sample_job_sends_mail_to_the_catcher_and_has_its_row_in_the_database(
    development: Development,
) -> None:
    payload = json.dumps({"to": "ann@example.org", "subject": "A report", "body": "all is well"})
    assert "@" in development.rota("enqueue", "email", payload, "--wait", "60s")
    wait_until(lambda: "all is well" in development.compose("logs", "mail"), "the mail was caught")
    assert "Subject: A report" in development.compose("logs", "mail")
    query = (
        "exec",
        "-T",
        "postgres",
        "psql",
        "--user",
        "rota",
        "-At",
        "-c",
        "SELECT name, status FROM _jobs",
    )
    wait_until(lambda: "email|COMPLETED" in development.compose(*query), "the job has its row")


@contextlib.contextmanager
def watching(development: Development) -> Iterator[None]:
    """Have `docker compose watch` run while a block does."""
    watch = subprocess.Popen(
        ["docker", *development.project, "watch", "--no-up"],
        cwd=development.folder,
        env=development.engine.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert watch.stdout is not None
        said = []
        for line in watch.stdout:
            said.append(line)
            if "watching" in line.lower() or "watch enabled" in line.lower():
                break
        else:
            pytest.fail("".join(said))
        yield
    finally:
        watch.terminate()
        watch.wait(30)


def said_by(development: Development, name: str) -> str:
    """Return the result of a job as it is printed, and "" while it is not known."""
    with contextlib.suppress(CommandFailed):
        return development.rota("enqueue", name, "--wait", "60s").splitlines()[-1]
    return ""


def test_a_changed_job_is_in_the_worker_without_a_build(development: Development) -> None:
    (worker,) = development.ids("worker")
    with watching(development):
        file = development.folder / "src" / "jobs" / "resting.py"
        file.write_text(file.read_text() + ADDED)
        wait_until(lambda: said_by(development, "added") == '"was added"', "the worker has the new job")
    assert development.ids("worker") == [worker]
