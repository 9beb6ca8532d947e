"""What the guides for operators tell to do can be done: commands exist, and who is to send one to Redis may."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from rota.cli.main import cli
from tests.servers import RedisServer

ROOT = Path(__file__).parents[3]
GUIDE = "".join((ROOT / "docs" / page).read_text("utf-8") for page in ("operations.md", "alerts.md"))
QUOTED = re.findall(r"`([^`\n]+)`", GUIDE)
#: What is quoted for the administrator of Redis stands behind these words.
BY_ADMIN = re.findall(r"the-administrator-of-redis\),? \(?`([^`]+)`", GUIDE)
BY_ADMIN += re.findall(r"sh /etc/redis/admin ([^`\n]+)", GUIDE)
BY_WORKER = [
    quoted.removeprefix("rota redis-cli ") for quoted in QUOTED if quoted.startswith("rota redis-cli ")
]


def test_every_command_of_rota_that_is_named_exists() -> None:
    known = set(get_command(cli).commands)  # type: ignore[attr-defined] # it is a group
    named = {word for quoted in QUOTED for word in re.findall(r"^rota ([a-z][a-z-]*)", quoted)}
    assert named
    assert named <= known


def test_no_command_of_redis_is_named_without_who_may_send_it() -> None:
    bare = re.compile(r"^(redis-cli|config|CONFIG|acl|ACL|flush\w+|FLUSH\w+|shutdown|SHUTDOWN)\b")
    assert {quoted for quoted in QUOTED if bare.match(quoted)} <= set(BY_ADMIN)


@pytest.fixture(scope="module")
def users(session_server: RedisServer) -> Iterator[Any]:
    """Yield a client of a server that has the users of deploy/redis/start."""
    text = (ROOT / "deploy" / "redis" / "start").read_text("utf-8")
    rules = dict(re.findall(r"\buser (rota|admin) on(?: #%s|\$\(hashes\)) (.*?)(?:'|$)", text, re.MULTILINE))
    assert rules.keys() == {"rota", "admin"}
    with session_server.client() as client:
        for name, rule in rules.items():
            client.execute_command("ACL", "SETUSER", name, "reset", "on", "nopass", *rule.split())
        yield client
        client.execute_command("ACL", "DELUSER", *rules)


@pytest.mark.parametrize(
    ("user", "command"),
    [*(("rota", command) for command in BY_WORKER), *(("admin", command) for command in BY_ADMIN)],
)
def test_who_is_to_send_a_command_may(users: Any, user: str, command: str) -> None:
    assert users.execute_command("ACL", "DRYRUN", user, *command.split()) == b"OK"


def test_what_changes_the_server_is_for_the_administrator_alone(users: Any) -> None:
    assert len(BY_ADMIN) >= 3
    for command in BY_ADMIN:
        assert users.execute_command("ACL", "DRYRUN", "rota", *command.split()) != b"OK"
