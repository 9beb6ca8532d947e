"""docs/production.md: its commands, in their order, take a checkout through a deploy, a restore and a rotation."""

import json
import re
import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import pytest

from tests.container.checkout import copy_checkout
from tests.container.engine import Engine
from tests.container.stack import Stack, wait_until
from tests.files import ROOT

PAGE = ROOT / "docs" / "production.md"
#: The tag that the page has of a release before.
BEFORE = "3f2a91c07de5"


def sections() -> dict[str, list[str]]:
    """Return the blocks of commands that can be run, by their heading."""
    found: dict[str, list[str]] = {}
    _, *parts = re.split(r"(?m)^## ", PAGE.read_text("utf-8"))
    for part in parts:
        title, *lines = part.splitlines()
        runs = groupby(lines, key=lambda line: line.startswith("    "))
        blocks = ["\n".join(line[4:] for line in run) for is_set_in, run in runs if is_set_in]
        found[title] = [
            block for block in blocks if not re.search(r"^(sudo|\$) |example\.com", block, re.MULTILINE)
        ]
    return found


SECTIONS = sections()


@dataclass(frozen=True)
class Operator:
    """The person who follows the page, in a clone on a host."""

    stack: Stack
    origin: Path

    def types(self, block: str) -> str:
        """Run a block of the page in a shell, and return what it prints."""
        ran = subprocess.run(
            ["/bin/bash", "-euo", "pipefail", "-c", block],
            cwd=self.stack.folder,
            env={**self.stack.engine.environment, "COMPOSE_PROJECT_NAME": self.stack.name},
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        assert ran.returncode == 0, f"{block}\n{ran.stdout}{ran.stderr}"
        return ran.stdout

    def follows(self, title: str) -> str:
        """Run all blocks of a section, and return what they print."""
        return "".join(self.types(block) for block in SECTIONS[title])

    def rota(self, *words: str) -> str:
        return self.stack.compose("exec", "-T", "worker", "rota", *words)

    def sql(self, statement: str) -> str:
        """Run a statement on PostgreSQL, and return what it answers."""
        psql = ("psql", "--username", "rota", "--tuples-only", "--command", statement)
        return self.stack.compose("exec", "-T", "postgres", *psql).strip()

    def recorded(self) -> set[str]:
        """Return the ids of the jobs of the audit table."""
        return set(self.sql("SELECT id FROM _jobs").split())

    def delayed(self) -> set[str]:
        """Return the ids of the jobs that wait for their time."""
        jobs = json.loads(self.rota("jobs", "email", "--state", "delayed", "--json"))["jobs"]
        return {job["id"] for job in jobs}

    def password(self) -> str:
        return self.stack.compose("exec", "-T", "worker", "cat", "/run/redis/password")

    def releases(self, text: str) -> str:
        """Push a release of the team's to where this host clones from; its tag."""
        git = ("git", "-C", str(self.origin))
        (self.origin / "src" / "jobs" / "release.py").write_text(f'"""{text}"""\n')
        who = ("-c", "user.name=team", "-c", "user.email=team@example.com")
        subprocess.run([*git, "add", "--all"], check=True)
        subprocess.run([*git, *who, "commit", "--quiet", "--message", text], check=True)
        head = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, check=True)
        return head.stdout.decode().strip()


@pytest.fixture(scope="module")
def operator(engine: Engine, image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    origin = copy_checkout(tmp_path_factory.mktemp("origin"))
    clone = tmp_path_factory.mktemp("host") / "rota"
    subprocess.run(["git", "init", "--quiet", origin], check=True)
    stack = Stack(engine, clone, f"rota-test-{secrets.token_hex(4)}", "docker-compose.prod.worker.yml")
    operator = Operator(stack, origin)
    operator.releases("The first release.")
    subprocess.run(["git", "clone", "--quiet", origin, clone], check=True)
    try:
        yield operator
    finally:
        stack.compose("--profile", "*", "down", "--volumes", "--timeout", "5")
        for built in engine.ran("images", "--quiet", f"{stack.name}-worker").stdout.split():
            engine.ran("rmi", "--force", built)


def test_the_page_is_followed_from_an_empty_host_to_a_restore_and_a_rotation(operator: Operator) -> None:
    stack = operator.stack
    said = operator.follows("The first deploy")
    assert "Hello, Ann" in said
    first = (stack.folder / ".env").read_text().split("TAG=")[1].strip()

    # A release, and the way back from it.
    second = operator.releases("The second release.")
    deploy, back = SECTIONS["Deploys"]
    assert f"{second} runs; the way back: make deploy TAG={first}" in operator.types(deploy)
    assert f"{first} runs" in operator.types(back.replace(BEFORE, first))

    # What is there when the backup is made, and what comes later.
    operator.rota("enqueue", "greet", '{"name": "kept"}', "--id", "kept", "--delay", "1h")
    wait_until(lambda: "email:kept" in operator.recorded(), "it is in the audit table")
    # The row could come from Redis again; this cannot.
    operator.sql("CREATE TABLE kept AS SELECT 'kept' AS name")
    operator.follows("A backup")
    backup = {file.name: file.stat() for file in (stack.folder / "backup").iterdir()}
    assert backup.keys() == {"redis.rdb", "postgres.dump", "site.tar.gz"}
    operator.rota("enqueue", "greet", '{"name": "lost"}', "--id", "lost", "--delay", "1h")
    assert operator.delayed() == {"email:kept", "email:lost"}
    before = operator.password()

    # Into emptied volumes.
    assert "email\t0\t1\t0\t" in operator.follows("A restore")
    assert operator.delayed() == {"email:kept"}
    assert "email:kept" in operator.recorded()
    assert operator.sql("SELECT name FROM kept") == "kept"
    restored = operator.password()
    assert restored != before
    # It goes on as any other: what it gets now outlives a restart.
    operator.rota("enqueue", "greet", '{"name": "new"}', "--id", "new", "--delay", "1h")
    wait_until(lambda: "email:new" in operator.recorded(), "recording goes on after the restore")

    operator.follows("A rotation of the password of Redis")
    assert operator.password() != restored
    operator.follows("A reboot")
    assert {stack.health(one) for one in stack.ids("worker")} == {"healthy"}
    assert operator.delayed() == {"email:kept", "email:new"}


def test_what_the_page_does_not_run_here_is_run_elsewhere() -> None:
    """The other sections: for root, for an address of one's own, or in the tests of the build."""
    followed = {"The first deploy", "Deploys", "A backup", "A restore", "A reboot"}
    followed |= {"A rotation of the password of Redis"}
    elsewhere = {"Behind a mirror, or without a network", "What is in the image"}
    assert {title for title, blocks in SECTIONS.items() if blocks} == followed | elsewhere
