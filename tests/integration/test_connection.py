"""Clients reach every kind of Redis, never wait for ever, resend nothing, and share no server that is unfit."""

import asyncio
import json
import logging
import socket
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import fakeredis
import pytest
import redis as plain_redis
from arq.connections import ArqRedis, RedisSettings, create_pool
from redis import exceptions as faults
from redis.asyncio import BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider

from rota.server import connections
from rota.server.target import RedisTarget
from tests.integration.strangers import Stranger, info, mute, polite
from tests.servers import RedisServer, free_port
from tests.waiting import until


def to_json(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode()


def from_json(raw: bytes) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(raw)
    return value


def on(stranger: Stranger) -> RedisTarget:
    return RedisTarget("127.0.0.1", stranger.port)


@pytest.fixture
async def unix_target(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RedisTarget]:
    folder = tmp_path_factory.mktemp("unix")
    server = RedisServer(folder, "--unixsocket", str(folder / "r.sock"))
    server.start()
    yield RedisTarget(path=str(folder / "r.sock"), db=2)
    server.stop()


# Reaching


async def test_a_client_reaches_its_database_over_tcp(target: RedisTarget) -> None:
    await reaches(RedisTarget(target.host, target.port, db=3))


async def test_a_client_reaches_its_database_through_a_unix_socket(unix_target: RedisTarget) -> None:
    await reaches(unix_target)


async def reaches(target: RedisTarget) -> None:
    async with connections.async_client(target) as client:
        await client.set("greeting", "hello")
        with await asyncio.to_thread(connections.sync_client, target) as blocking:
            assert await asyncio.to_thread(blocking.get, "greeting") == b"hello"
        assert await client.get("greeting") == b"hello"
        assert (await client.client_info())["db"] == target.db


async def test_a_client_has_the_user_and_the_password_of_its_target(own_server: RedisServer) -> None:
    with own_server.client() as admin:
        admin.execute_command("ACL SETUSER app on >p@ss/w:rd ~* &* +@all")
    target = RedisTarget.from_url(f"redis://app:p%40ss%2Fw%3Ard@127.0.0.1:{own_server.port}")
    async with connections.async_client(target) as client:
        assert await client.acl_whoami() == "app"
    with connections.sync_client(target) as blocking:
        assert blocking.acl_whoami() == "app"


async def test_a_client_is_arqs_with_arqs_options(target: RedisTarget) -> None:
    client = connections.async_client(
        target,
        job_serializer=to_json,
        job_deserializer=from_json,
        default_queue_name="arq:queue:email",
        expires_extra_ms=1,
    )
    assert isinstance(client, ArqRedis)
    assert client.job_serializer is to_json
    assert client.job_deserializer is from_json
    assert (client.default_queue_name, client.expires_extra_ms) == ("arq:queue:email", 1)


async def test_a_closed_client_leaves_no_connection(server: RedisServer, target: RedisTarget) -> None:
    with server.client() as admin:
        before = len(admin.client_list())
        async with connections.async_client(target) as client:
            await client.ping()
            assert len(admin.client_list()) == before + 1
        # The server hears of the end a moment later.
        await until(lambda: len(admin.client_list()) == before)


# Waiting


@pytest.mark.parametrize("kind", ["async", "rebuilt", "sync", "twin"])
async def test_a_server_that_never_answers_is_not_waited_for(kind: str) -> None:
    async with Stranger(mute) as stranger:
        incr = call(kind, on(stranger), "INCR", socket_timeout=0.3)
        started = time.monotonic()
        with pytest.raises(faults.TimeoutError):
            await incr()
        assert time.monotonic() - started < 5


@pytest.mark.parametrize("kind", ["async", "rebuilt", "sync", "twin"])
async def test_a_command_whose_reply_is_lost_is_sent_once(kind: str) -> None:
    async with Stranger(polite(INCR=None)) as stranger:
        incr = call(kind, on(stranger), "INCR", socket_timeout=5)
        with pytest.raises((faults.ConnectionError, faults.TimeoutError)):
            await incr()
        assert stranger.commands.count([b"INCR", b"x"]) == 1


def call(kind: str, target: RedisTarget, command: str, *, socket_timeout: float) -> Callable[[], Any]:
    stubborn = ArqRedis(
        host=target.host, port=target.port, retry=Retry(NoBackoff(), 3), retry_on_timeout=True
    )
    match kind:
        case "async":
            client: Any = connections.async_client(target, socket_timeout=socket_timeout)
            return lambda: client.execute_command(command, "x")
        case "rebuilt":
            rebuilt: Any = connections.rebuild(stubborn, socket_timeout=socket_timeout)
            return lambda: rebuilt.execute_command(command, "x")
        case "sync":
            blocking = connections.sync_client(target, socket_timeout=socket_timeout)
        case _:
            blocking = connections.clone(stubborn, socket_timeout=socket_timeout)()
    return lambda: asyncio.to_thread(blocking.execute_command, command, "x")


async def test_tcp_connections_are_kept_alive(target: RedisTarget) -> None:
    client: Any = connections.async_client(target)
    await client.ping()
    (one,) = client.connection_pool._available_connections
    sock: socket.socket = one._writer.get_extra_info("socket")
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert one.health_check_interval > 0
    await client.aclose()


async def test_a_blocking_twin_outwaits_the_servers_own_time(redis: ArqRedis) -> None:
    patient: Any
    impatient: Any = connections.rebuild(redis, socket_timeout=0.2)
    with pytest.raises(faults.TimeoutError):
        await impatient.blpop(["nothing"], 0.6)
    async with connections.patient_clone(impatient, 0.6) as patient:
        assert await patient.blpop(["nothing"], 0.6) is None
    await impatient.aclose()


# Rebuilding


class FromVault(CredentialProvider):
    def get_credentials(self) -> tuple[str, str]:
        return "app", "of the vault"

    async def get_credentials_async(self) -> tuple[str, str]:
        return self.get_credentials()


async def test_a_users_pool_is_rebuilt_with_timeouts_and_everything_it_had(target: RedisTarget) -> None:
    vault = FromVault()
    theirs = ArqRedis(
        host="somewhere",
        port=7,
        db=4,
        credential_provider=vault,
        max_connections=9,
        client_name="shop",
        job_serializer=to_json,
        default_queue_name="arq:queue:shop",
    )
    ours = connections.rebuild(theirs)
    kwargs = ours.connection_pool.connection_kwargs
    assert (kwargs["host"], kwargs["port"], kwargs["db"], kwargs["client_name"]) == (
        "somewhere",
        7,
        4,
        "shop",
    )
    assert kwargs["credential_provider"] is vault
    assert ours.connection_pool.max_connections == 9
    assert ours.job_serializer is to_json
    assert ours.default_queue_name == "arq:queue:shop"
    assert kwargs["socket_timeout"] == kwargs["socket_connect_timeout"] == 5.0
    assert kwargs["health_check_interval"]
    assert kwargs["socket_keepalive"]
    assert theirs.connection_pool.connection_kwargs["socket_timeout"] is None


async def test_a_rebuilt_pool_keeps_the_bounds_that_it_had(target: RedisTarget) -> None:
    theirs = ArqRedis(BlockingConnectionPool(max_connections=1, timeout=1, socket_connect_timeout=0.5))
    ours = connections.rebuild(theirs).connection_pool
    assert isinstance(ours, BlockingConnectionPool)
    assert (ours.max_connections, ours.timeout) == (1, 1)
    assert ours.connection_kwargs["socket_connect_timeout"] == 0.5


async def test_a_rebuilt_client_is_of_the_users_class_and_closes_alone(redis: ArqRedis) -> None:
    class Traced(ArqRedis):
        pass

    theirs = Traced(redis.connection_pool)
    ours = connections.rebuild(theirs)
    assert isinstance(ours, Traced)
    await theirs.ping()
    await ours.ping()
    await ours.aclose()
    (open_still,) = theirs.connection_pool._available_connections
    assert open_still.is_connected


async def test_credentials_of_a_provider_reach_every_twin(own_server: RedisServer) -> None:
    with own_server.client() as admin:
        admin.execute_command("ACL", "SETUSER", "app", "on", ">of the vault", "~*", "&*", "+@all")
    theirs = ArqRedis(port=own_server.port, credential_provider=FromVault())
    async with connections.rebuild(theirs) as ours:
        assert await ours.acl_whoami() == "app"
        with connections.clone(ours)() as blocking:
            assert blocking.acl_whoami() == "app"


async def test_a_pool_on_a_unix_socket_is_rebuilt_and_twinned(unix_target: RedisTarget) -> None:
    theirs = ArqRedis(unix_socket_path=unix_target.path, db=2)
    async with connections.rebuild(theirs) as ours:
        await ours.set("greeting", "hello")
        with connections.clone(ours)() as blocking:
            assert blocking.get("greeting") == b"hello"


async def test_a_pool_that_arq_made_is_rebuilt_and_cloned(server: RedisServer) -> None:
    theirs = await create_pool(RedisSettings(port=server.port, database=5))
    async with connections.rebuild(theirs) as ours:
        await ours.set("greeting", "hello")
        with connections.clone(ours)() as blocking:
            assert blocking.get("greeting") == b"hello"
    await theirs.aclose(close_connection_pool=True)


async def test_a_fake_servers_pool_is_rebuilt_but_has_no_blocking_twin() -> None:
    fake = fakeredis.FakeAsyncRedis()
    theirs = ArqRedis(fake.connection_pool)
    ours = connections.rebuild(theirs)
    await ours.set("greeting", "hello")
    assert await theirs.get("greeting") == b"hello"
    with pytest.raises(
        TypeError, match="no blocking client can be made from a pool of FakeAsyncRedisConnection"
    ):
        connections.clone(ours)


async def test_each_call_of_a_twin_makes_a_client_of_its_own(redis: ArqRedis) -> None:
    make = connections.clone(redis)
    with make() as one, make() as other:
        assert isinstance(one, plain_redis.Redis)
        assert one.client_id() != other.client_id()


# arq's settings


async def test_arqs_settings_are_opened_with_timeouts(server: RedisServer) -> None:
    settings = RedisSettings(port=server.port, database=1, conn_timeout=3)
    async with await connections.from_arq_settings(settings, default_queue_name="arq:queue:x") as client:
        kwargs = client.connection_pool.connection_kwargs
        assert (kwargs["db"], kwargs["socket_timeout"], kwargs["socket_connect_timeout"]) == (1, 5.0, 3)
        assert client.default_queue_name == "arq:queue:x"


async def test_arqs_settings_try_again_as_often_as_they_say(caplog: pytest.LogCaptureFixture) -> None:
    settings = RedisSettings(port=free_port(), conn_retries=2, conn_retry_delay=0)
    with caplog.at_level(logging.WARNING, "rota.redis"), pytest.raises(faults.ConnectionError):
        await connections.from_arq_settings(settings)
    assert [record.message for record in caplog.records] == ["redis.waiting"] * 2


async def test_arqs_settings_for_sentinels_need_a_list_of_them() -> None:
    with pytest.raises(ValueError, match="list of \\(host, port\\) pairs"):
        await connections.from_arq_settings(RedisSettings(sentinel=True))


# Opening


async def test_open_waits_for_a_server_that_is_yet_to_come(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = RedisServer(tmp_path / "late")
    target = RedisTarget("127.0.0.1", server.port, password=None)
    with caplog.at_level(logging.INFO, "rota.redis"):
        opening = asyncio.create_task(connections.open(target, boot_timeout=30))
        await until(lambda: "redis.waiting" in caplog.messages)
        await asyncio.to_thread(server.start)
        client = await opening
    assert await client.ping()
    await client.aclose()
    server.stop()
    waits = [record for record in caplog.records if record.message == "redis.waiting"]
    reasons = [vars(record)["reason"] for record in waits]
    assert len(set(reasons)) == len(reasons), "one line for each thing that it waits for"
    assert vars(waits[0])["at_most"] == 30
    assert "is not listening" in vars(waits[0])["reason"]
    assert caplog.messages[-1] == "redis.connected"
    assert vars(caplog.records[-1])["server"].startswith("Valkey 9")


async def test_open_gives_up_when_its_time_is_over() -> None:
    target = RedisTarget("127.0.0.1", free_port(), password="s3cr3t")
    started = time.monotonic()
    with pytest.raises(connections.ServerError, match="is not listening") as caught:
        await connections.open(target, boot_timeout=0.5)
    assert time.monotonic() - started < 10
    assert "s3cr3t" not in str(caught.value)


async def test_open_gives_up_on_a_server_that_never_answers() -> None:
    async with Stranger(mute) as stranger:
        with pytest.raises(connections.ServerError, match="did not answer within BOOT_TIMEOUT"):
            await connections.open(on(stranger), boot_timeout=0.2)


async def test_open_waits_while_the_server_loads(caplog: pytest.LogCaptureFixture) -> None:
    loading, loaded = info(redis_version="7.2.0", loading=1), info(redis_version="7.2.0", loading=0)
    answers = [b"-LOADING Redis is loading the dataset in memory\r\n", loading, loaded]

    def answer(command: list[bytes]) -> bytes | None:
        return answers.pop(0) if command[0] == b"INFO" else polite()(command)

    async with Stranger(answer) as stranger:
        with caplog.at_level(logging.WARNING, "rota.redis"):
            client = await connections.open(on(stranger), boot_timeout=30)
        await client.aclose()
    assert not answers
    reasons = [vars(record)["reason"] for record in caplog.records]
    assert [reason.partition(" is ")[2] for reason in reasons] == [
        "still loading its data: try again when it has, or give it more BOOT_TIMEOUT"
    ], "once, though it was asked twice"


async def test_open_does_not_wait_for_a_password_to_become_right(own_server: RedisServer) -> None:
    with own_server.client() as admin:
        admin.config_set("requirepass", "right")
    target = RedisTarget("127.0.0.1", own_server.port, password="wrong")
    started = time.monotonic()
    with pytest.raises(connections.ServerError, match="refuses this user or password"):
        await connections.open(target, boot_timeout=60)
    assert time.monotonic() - started < 30


async def test_open_warns_of_a_server_that_throws_keys_away(
    own_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    with own_server.client() as admin:
        admin.config_set("maxmemory-policy", "allkeys-lru")
    with caplog.at_level(logging.WARNING, "rota.redis"):
        client = await connections.open(RedisTarget("127.0.0.1", own_server.port), boot_timeout=10)
    await client.aclose()
    (record,) = caplog.records
    assert record.message == "redis.unsafe"
    assert "maxmemory-policy is allkeys-lru" in vars(record)["reason"]


async def test_a_client_that_was_not_opened_leaves_no_connection(own_server: RedisServer) -> None:
    with own_server.client() as admin:
        admin.execute_command("REPLICAOF", "127.0.0.1", "1")
        with pytest.raises(connections.ServerError):
            await connections.open(RedisTarget("127.0.0.1", own_server.port), boot_timeout=5)
        assert len(admin.client_list()) == 1
