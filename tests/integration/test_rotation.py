"""A password that is rotated reaches the connections of a process that runs: each new one reads the file again."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from redis.exceptions import AuthenticationError
from sqlalchemy import text

from rota.errors.secrets import SECRETS
from rota.server import connections
from rota.server.clones import target_of
from rota.server.target import RedisTarget
from rota.settings.database_url import DatabaseTarget
from rota.settings.load import load
from rota.store.engine import Database
from tests.databases import PostgresServer
from tests.servers import RedisServer

OLD, NEW = "the-old-password", "the-new-password"


@pytest.fixture
async def user(server: RedisServer) -> AsyncIterator[str]:
    """Yield a user of the server with the old password, whom a test may lock out."""
    name = f"turning-{uuid4().hex[:8]}"
    with server.client() as redis:
        redis.execute_command("ACL", "SETUSER", name, "on", f">{OLD}", "~*", "&*", "+@all")
        yield name
        redis.execute_command("ACL", "DELUSER", name)


def rotate(server: RedisServer, user: str) -> None:
    """Have the server take the new password alone, and cut all connections of the user."""
    with server.client() as redis:
        redis.execute_command("ACL", "SETUSER", user, "resetpass", f">{NEW}")
        redis.execute_command("CLIENT", "KILL", "USER", user)


def target(server: RedisServer, user: str, file: Path, *, by_url: bool) -> RedisTarget:
    """Return the target of settings that have the password, or the whole URL, from a file."""
    address = f"127.0.0.1:{server.port}"
    if by_url:
        file.write_text(f"redis://{user}:{OLD}@{address}/0\n")
        env = {"REDIS_URL_FILE": str(file)}
    else:
        file.write_text(f"{OLD}\n")
        host, _, port = address.partition(":")
        env = {
            "REDIS_HOST": host,
            "REDIS_PORT": port,
            "REDIS_USERNAME": user,
            "REDIS_PASSWORD_FILE": str(file),
        }
    found = load(env).redis
    assert found is not None
    return found


@pytest.mark.parametrize("by_url", [False, True])
async def test_every_kind_of_connection_logs_in_with_the_password_of_now(
    server: RedisServer, user: str, tmp_path: Path, by_url: bool
) -> None:
    file = tmp_path / "secret"
    where = target(server, user, file, by_url=by_url)
    client = connections.async_client(where)
    clients: list[Any] = [
        client,
        connections.bounded_client(where, 2),
        connections.patient_clone(client, 1.0),
    ]
    blocking = [connections.sync_client(where), connections.clone(client)()]
    for one in clients:
        assert await one.ping()
    assert all(one.ping() for one in blocking)
    rotate(server, user)
    # Where the file is old, or is not there, each connection is refused, and tried again by its owner.
    with pytest.raises(AuthenticationError):
        await connections.async_client(where).ping()
    text_of_now = file.read_text().replace(OLD, NEW)
    file.unlink()
    with pytest.raises(AuthenticationError):
        await connections.async_client(where).ping()
    file.write_text(text_of_now)
    for one in clients:
        assert await one.ping()
        await one.aclose()
    for other in blocking:
        assert other.ping()
        other.close()
    assert SECRETS.hidden(f"it was {NEW}") == "it was ***"
    assert NEW not in repr(target_of(client.connection_pool))


async def test_a_connection_to_the_database_logs_in_with_the_password_of_now(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    role, file = f"turning_{uuid4().hex[:8]}", tmp_path / "url"
    admin = Database(DatabaseTarget.from_url(postgres.url()))
    url = f"postgresql://{role}:{OLD}@127.0.0.1:{postgres.port}/postgres"
    file.write_text(url)
    where = load({"DATABASE_URL_FILE": str(file)}).database
    assert where is not None
    database = Database(where)
    try:
        async with admin.write() as connection:
            await connection.execute(text(f"CREATE ROLE {role} LOGIN PASSWORD '{OLD}'"))
        async with database.read() as connection:
            await connection.execute(text("SELECT 1"))
        file.write_text(url.replace(OLD, NEW))
        async with admin.write() as connection:
            await connection.execute(text(f"ALTER ROLE {role} PASSWORD '{NEW}'"))
            ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = :role"
            await connection.execute(text(ended), {"role": role})
        async with database.read() as connection:
            await connection.execute(text("SELECT 1"))
    finally:
        await database.close()
        async with admin.write() as connection:
            await connection.execute(text(f"DROP ROLE IF EXISTS {role}"))
        await admin.close()
