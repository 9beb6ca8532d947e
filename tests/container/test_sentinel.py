"""The production stack on a Redis behind three sentinels: its primary is killed, and all follow to the replica."""

import secrets
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.container.checkout import copy_checkout, with_a_job
from tests.container.engine import CommandFailed, Engine
from tests.container.stack import Stack, wait_until

HERE = Path(__file__).parent
SENTINELS = ("sentinel-1", "sentinel-2", "sentinel-3")
ENVIRONMENT = f"""\
COMPOSE_FILE=docker-compose.prod.worker.yml:deploy/compose/redis-elsewhere.yml:sentinel.yml
REDIS_SENTINELS={",".join(f"{one}:26379" for one in SENTINELS)}
REDIS_SENTINEL_MASTER=mymaster
REDIS_SENTINEL_USERNAME=rota
DURABILITY=wait
QUEUE_CONCURRENCY=4
LEASE=5
"""


@dataclass(frozen=True)
class Guarded(Stack):
    """A project of the files that `.env` names."""

    secret: str = ""

    def compose(self, *command: str, stdin: str = "", timeout: float = 300.0) -> str:
        """Run `docker compose` with these arguments, and return its output. Raises CommandFailed."""
        project = ("compose", "--project-name", self.name)
        return self.engine.docker(*project, *command, cwd=self.folder, stdin=stdin, timeout=timeout)

    def redis_cli(self, *command: str, user: str = "default") -> str:
        """Run a command on the replica, and return the answer."""
        login = (
            "exec",
            "-T",
            "--env",
            f"REDISCLI_AUTH={self.secret}",
            "replica",
            "redis-cli",
            "--no-auth-warning",
        )
        return self.compose(*login, "--user", user, *command)

    def sentinel(self, name: str, *command: str) -> str:
        """Ask a sentinel as the user by whom sentinels ask each other, and return the answer."""
        login = ("exec", "-T", "--env", f"REDISCLI_AUTH={self.secret}", name)
        return self.compose(
            *login, "redis-cli", "--no-auth-warning", "--user", "peer", "-p", "26379", *command
        )


@pytest.fixture(scope="module")
def guarded(engine: Engine, image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """Yield the project, with the passwords in its secrets."""
    folder = with_a_job(copy_checkout(tmp_path_factory.mktemp("guarded")))
    stack = Guarded(engine, folder, f"rota-test-{secrets.token_hex(4)}", secret=secrets.token_hex(16))
    shutil.copy(HERE / "sentinel.yml", folder)
    (folder / ".env").write_text(ENVIRONMENT)
    for name in ("REDIS_PASSWORD", "REDIS_SENTINEL_PASSWORD"):
        (folder / "secrets" / name).write_text(stack.secret)
        (folder / "secrets" / name).chmod(0o644)
    try:
        stack.compose("up", "--detach", "--wait", "primary", "replica", *SENTINELS)
        wait_until(lambda: all(knows_all(stack, one) for one in SENTINELS), "the sentinels know all")
        stack.compose("up", "--detach", "--wait", "--scale", "worker=2")
        yield stack
    finally:
        stack.remove()


def knows_all(stack: Guarded, name: str) -> bool:
    try:
        said = stack.sentinel(name, "info", "sentinel")
    except CommandFailed:
        return False
    return "slaves=1,sentinels=3" in said


def primary_of(stack: Guarded, name: str) -> str:
    """Ask a sentinel where the primary is."""
    return stack.sentinel(name, "sentinel", "get-master-addr-by-name", "mymaster")


def test_a_killed_primary_costs_a_moment_and_nothing_that_was_acknowledged(
    guarded: Guarded, facts: list[str]
) -> None:
    before = guarded.enqueue(40, 0.5)
    workers, old = guarded.ids("worker"), primary_of(guarded, SENTINELS[0])
    guarded.compose("kill", "--signal", "KILL", "primary")
    # Where sentinels still name the old one, a command ends with an error that says so.
    wait_until(
        lambda: all(primary_of(guarded, one) != old for one in SENTINELS),
        "all name the replica as the primary",
    )
    promoted = time.monotonic()
    assert "role:master" in guarded.redis_cli("info", "replication")
    # Nothing more is acknowledged while no replica is there, but for those who ask for less.
    script = (
        "exec",
        "-T",
        "--env",
        "DURABILITY=redis",
        "worker",
        "rota",
        "enqueue",
        "rest",
        '{"seconds": 0}',
    )
    queue, job_id = guarded.compose(*script, "--wait", "20").split()[:2]
    facts.append(
        f"{time.monotonic() - promoted:.1f} s after the replica was the primary, a job had run there"
    )
    assert queue == "default"
    guarded.finish(before | {job_id})
    assert set(guarded.counted(before, "completed").values()) == {1}
    assert guarded.ids("worker") == workers
    for container in workers:
        assert guarded.inspect(container)["RestartCount"] == 0
    with pytest.raises(CommandFailed, match="0 of 1 replicas said so"):
        guarded.compose("exec", "-T", "worker", "rota", "enqueue", "rest", '{"seconds": 0}')


def test_a_primary_that_comes_back_is_a_replica_and_enqueues_are_acknowledged_again(guarded: Guarded) -> None:
    guarded.compose("start", "primary")
    wait_until(lambda: "connected_slaves:1" in guarded.redis_cli("info", "replication"), "it is a replica")
    guarded.finish(guarded.enqueue(10, 0.05))
