"""The infrastructure of development: what `docker compose up -d` brings to a checkout."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.container.engine import Engine
from tests.container.stack import Stack

#: The usual port may be taken on the machine of the tests: any other of the same address.
ANY_PORT = 'services: {redis: {ports: !override ["127.0.0.1::6379"]}}\n'


@pytest.fixture
def development(engine: Engine, checkout: Path) -> Iterator[Stack]:
    override = checkout / "any-port.yml"
    override.write_text(ANY_PORT)
    stack = Stack(engine, checkout, f"rota-test-{secrets.token_hex(4)}", "docker-compose.yml")
    try:
        yield stack
    finally:
        stack.remove()


def test_redis_is_there_for_this_machine_and_keeps_its_data(development: Stack) -> None:
    command = ("--file", "docker-compose.yml", "--file", "any-port.yml")
    project = ("compose", "--project-name", development.name, *command)
    up = (*project, "up", "--detach", "--wait")
    development.engine.docker(*up, cwd=development.folder)
    address = development.compose("port", "redis", "6379")
    assert address.startswith("127.0.0.1:")
    with redis.Redis.from_url(f"redis://{address}/0", socket_timeout=10) as client:
        assert client.info("memory")["maxmemory_policy"] == "noeviction"
        client.set("kept", "yes")
    development.engine.docker(*project, "down", cwd=development.folder)
    development.engine.docker(*up, cwd=development.folder)
    with redis.Redis.from_url(f"redis://{development.compose('port', 'redis', '6379')}/0") as client:
        assert client.get("kept") == b"yes"
