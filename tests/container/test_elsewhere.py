"""The production stack with a Redis and a PostgreSQL elsewhere: containers that are none of the project's own."""

import json
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.certificates import make_authority, make_certificate
from tests.container.checkout import copy_checkout, with_a_job
from tests.container.engine import CommandFailed, Engine
from tests.container.stack import Stack, wait_until
from tests.container.test_postgres import postgres_image

__all__ = ["postgres_image"]

HOST = "host.docker.internal"
PASSWORD = "pass$word/of'elsewhere"
#: As the heads of the two files tell it.
OVERLAYS = "deploy/compose/redis-elsewhere.yml:deploy/compose/postgres-elsewhere.yml"
ENVIRONMENT = f"""\
COMPOSE_FILE=docker-compose.prod.worker.yml:{OVERLAYS}
REDIS_HOST={HOST}
REDIS_PORT={{port}}
REDIS_SSL=true
REDIS_SSL_CA_CERTS=/run/secrets/redis-ca.pem
QUEUE_CONCURRENCY=4
LEASE=5
"""


@dataclass(frozen=True)
class Elsewhere(Stack):
    """A project of the three files that `.env` names, whose Redis is the container `redis`."""

    redis: str = ""

    def compose(self, *command: str, stdin: str = "", timeout: float = 300.0) -> str:
        """Run `docker compose` with these arguments, and return its output. Raises CommandFailed."""
        project = ("compose", "--project-name", self.name)
        return self.engine.docker(*project, *command, cwd=self.folder, stdin=stdin, timeout=timeout)

    def redis_cli(self, *command: str, user: str = "default") -> str:
        """Run a command on the Redis elsewhere, and return the answer."""
        login = ("exec", "--env", f"REDISCLI_AUTH={PASSWORD}", self.redis, "redis-cli", "--no-auth-warning")
        return self.engine.docker(*login, "--user", user, *command)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with an authority, and a certificate by it for the name of the host in containers."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which makes the certificates, is not installed")
    folder = tmp_path_factory.mktemp("tls")
    make_certificate(folder, "server", make_authority(folder, "ca"), HOST)
    return folder


def port_of(engine: Engine, container: str, port: int) -> str:
    return engine.docker("port", container, f"{port}/tcp").splitlines()[0].rpartition(":")[2]


@pytest.fixture(scope="module")
def elsewhere(
    engine: Engine,
    image: str,
    postgres_image: str,
    certificates: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Elsewhere]:
    """Yield the project, with its secrets in files; both servers publish a port of the host."""
    name = f"rota-test-{secrets.token_hex(4)}"
    folder = with_a_job(copy_checkout(tmp_path_factory.mktemp("elsewhere")))
    stack = Elsewhere(engine, folder, name, redis=f"{name}-redis")
    run = ("run", "--detach", "--rm", "--user", "root", "--entrypoint", "redis-server")
    tls = "--port 6379 --tls-port 6380 --tls-cert-file /tls/server.pem --tls-key-file /tls/server.pem"
    tls += " --tls-ca-cert-file /tls/ca.pem --tls-auth-clients no --appendonly yes"
    options = (*tls.split(), "--maxmemory", "256mb", "--requirepass", PASSWORD)
    mounted = ("--volume", f"{certificates}:/tls:ro", "--publish", "6380")
    database = ("--env", f"POSTGRES_PASSWORD={PASSWORD}", "--env", "POSTGRES_USER=shop", "--publish", "5432")
    try:
        engine.docker(*run, "--name", stack.redis, *mounted, "redis:8-alpine", *options)
        engine.docker("run", "--detach", "--rm", "--name", f"{name}-db", *database, postgres_image)
        (folder / ".env").write_text(ENVIRONMENT.format(port=port_of(engine, stack.redis, 6380)))
        (folder / "secrets" / "REDIS_PASSWORD").write_text(f"{PASSWORD}\n")
        shutil.copy(certificates / "ca.pem", folder / "secrets" / "redis-ca.pem")
        port = port_of(engine, f"{name}-db", 5432)
        url = f"postgresql://shop:pass%24word%2Fof%27elsewhere@{HOST}:{port}/shop"
        (folder / "secrets" / "DATABASE_URL").write_text(url)
        stack.compose("up", "--detach", "--wait", "--scale", "worker=2")
        yield stack
    finally:
        stack.remove()
        engine.ran("rm", "--force", "--volumes", stack.redis, f"{name}-db")


def test_jobs_run_over_tls_by_the_authority_of_the_site(elsewhere: Elsewhere, facts: list[str]) -> None:
    wait_until(lambda: elsewhere.redis_cli("exists", "rota:recording") == "1", "a leader records")
    ids = elsewhere.enqueue(20, 0.05)
    elsewhere.finish(ids)
    said = json.loads(elsewhere.compose("exec", "-T", "worker", "rota", "doctor", "--json"))
    about = {one["about"]: one["said"] for one in said if one["level"] == "ok"}
    assert f"rediss://:***@{HOST}:" in about["redis"]
    assert f"the PostgreSQL shop at {HOST}:" in about["database"]
    assert not [one for one in said if one["level"] == "error"]
    facts.append("a Redis elsewhere was reached over TLS, and a PostgreSQL elsewhere")


def test_the_audit_table_is_in_the_database_elsewhere(elsewhere: Elsewhere) -> None:
    ids = elsewhere.enqueue(5, 0.05)
    query = (
        "exec",
        f"{elsewhere.name}-db",
        "psql",
        "--user",
        "shop",
        "--no-align",
        "--tuples-only",
        "--command",
    )

    def rows() -> set[str]:
        return set(elsewhere.engine.docker(*query, "SELECT id FROM _jobs WHERE status = 'COMPLETED'").split())

    wait_until(lambda: ids <= rows(), "each job has its row")


def test_the_stack_brings_no_server_of_its_own(elsewhere: Elsewhere) -> None:
    services = set(elsewhere.compose("config", "--services").split())
    assert services.isdisjoint({"redis", "redis-password", "postgres", "postgres-password"})
    assert {"worker", "api", "exporter", "check", "secrets"} <= services
    shown = json.dumps([elsewhere.inspect(one) for one in elsewhere.ids("worker")])
    assert "elsewhere@" not in shown
    assert PASSWORD not in shown


def test_a_site_that_names_half_of_a_redis_is_refused_by_name(elsewhere: Elsewhere) -> None:
    env = elsewhere.folder / ".env"
    before = env.read_text()
    try:
        env.write_text(before.replace("REDIS_HOST=", "# "))
        with pytest.raises(CommandFailed):
            elsewhere.compose("run", "--rm", "check")
        env.write_text(
            before.replace(f"REDIS_HOST={HOST}\n", "").replace("REDIS_PORT", "REDIS_SENTINELS=a:26379\n# ")
        )
        with pytest.raises(CommandFailed, match="REDIS_SENTINELS and REDIS_SENTINEL_MASTER go together"):
            elsewhere.compose("run", "--rm", "check")
    finally:
        env.write_text(before)
