"""A server that cannot be used is refused at boot in one sentence that names it and what to change."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from arq.connections import ArqRedis
from redis.exceptions import ResponseError

from rota.server import connections
from rota.server.connections import ServerError
from rota.server.faults import explained
from rota.server.target import RedisTarget
from tests.integration.strangers import Stranger, info, mute, polite
from tests.servers import RedisServer, free_port
from tests.waiting import wait_until

CANARY = "s3cr3tCanary"


async def refused(target: RedisTarget) -> str:
    client = connections.async_client(target, socket_timeout=1)
    try:
        with pytest.raises(ServerError) as caught:
            await connections.check_server(client)
    finally:
        await client.aclose()
    sentence = str(caught.value)
    assert target.safe_url in sentence
    assert "\n" not in sentence
    assert CANARY not in f"{sentence} {caught.value!r} {caught.value.__cause__!r}"
    return sentence.replace(target.safe_url, "it")


async def refused_stranger(answer: Callable[[list[bytes]], bytes | None], password: str | None = None) -> str:
    async with Stranger(answer) as stranger:
        return await refused(RedisTarget("127.0.0.1", stranger.port, password=password))


def at(server: RedisServer) -> RedisTarget:
    return RedisTarget("127.0.0.1", server.port)


async def test_a_usable_server_says_what_it_is(redis: ArqRedis) -> None:
    found = await connections.check_server(redis)
    assert found.version.startswith("9.")
    assert (found.is_valkey, found.maxmemory_policy, found.warnings) == (True, "noeviction", ())


@pytest.mark.parametrize("version", ["6.2.0", "6.2.14", "7.0.15", "8.0.2", "10.1"])
async def test_a_redis_of_6_2_or_later_is_usable(version: str) -> None:
    async with Stranger(polite(INFO=info(redis_version=version, role="master"))) as stranger:
        client = connections.async_client(RedisTarget("127.0.0.1", stranger.port))
        found = await connections.check_server(client)
        await client.aclose()
    assert (found.version, found.is_valkey) == (version, False)


@pytest.mark.parametrize("version", ["2.8.24", "5.0.14", "6.0.16"])
async def test_an_older_redis_is_refused(version: str) -> None:
    sentence = await refused_stranger(polite(INFO=info(redis_version=version)))
    assert sentence == f"it runs Redis {version}: use Redis 6.2 or later, or Valkey"


async def test_any_valkey_is_new_enough() -> None:
    answer = info(redis_version="6.0.0", valkey_version="1.0.0", role="master")
    async with Stranger(polite(INFO=answer)) as stranger:
        client = connections.async_client(RedisTarget("127.0.0.1", stranger.port))
        assert (await connections.check_server(client)).is_valkey
        await client.aclose()


async def test_a_server_that_throws_keys_away_is_warned_of(own_server: RedisServer) -> None:
    with own_server.client() as admin:
        admin.config_set("maxmemory-policy", "volatile-lru")
    client = connections.async_client(at(own_server))
    (warning,) = (await connections.check_server(client)).warnings
    await client.aclose()
    assert warning.startswith("maxmemory-policy is volatile-lru")


# The way there


async def test_a_closed_port() -> None:
    sentence = await refused(RedisTarget("127.0.0.1", free_port(), password=CANARY))
    assert sentence == ("it is not listening: start it, or correct REDIS_URL (or REDIS_HOST and REDIS_PORT)")


async def test_a_socket_that_is_not_there(tmp_path: Path) -> None:
    assert (await refused(RedisTarget(path=str(tmp_path / "none.sock")))).startswith("it is not listening: ")


async def test_a_path_without_a_socket(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert (await refused(RedisTarget(path=str(tmp_path / "file")))).startswith("it is not listening: ")


async def test_a_path_too_long_for_a_socket(tmp_path: Path) -> None:
    assert (await refused(RedisTarget(path="/tmp/" + "x" * 200))).startswith("it cannot be reached")


async def test_an_unknown_host() -> None:
    sentence = await refused(RedisTarget("no-such-host.invalid"))
    assert sentence.startswith("it has a host name that nobody knows: ")


async def test_a_port_that_accepts_and_never_answers() -> None:
    assert (await refused_stranger(mute)).startswith("it does not answer in time: ")


async def test_a_port_that_accepts_and_closes() -> None:
    sentence = await refused_stranger(lambda command: None)
    assert sentence == (
        "it closes the connection: if it speaks TLS, write rediss:// in REDIS_URL (or set REDIS_SSL=true)"
    )


# What is there


NOT_REDIS = "it does not answer as Redis does: correct REDIS_URL (or REDIS_HOST and REDIS_PORT)"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"-ERR unknown command\r\n",
        b"+OK\r\n",
        b":1\r\n",
        b"*1\r\n+OK\r\n",
        b"$-1\r\n",
        b"\x00\x00\x00\x01\r\n",
    ],
)
async def test_something_else(answer: bytes) -> None:
    assert await refused_stranger(lambda command: answer) == NOT_REDIS
    assert await refused_stranger(polite(INFO=answer)) == NOT_REDIS


async def test_a_web_server() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n<h1>Bad Request</h1>")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port: int = server.sockets[0].getsockname()[1]
        assert await refused(RedisTarget("127.0.0.1", port, password=CANARY)) == NOT_REDIS


async def test_a_server_that_quotes_the_password_is_not_quoted() -> None:
    def answer(command: list[bytes]) -> bytes:
        words = b" ".join(b"`%s`" % word for word in command[1:])
        return b"-ERR unknown command `%s`, with args beginning with: %s\r\n" % (command[0], words)

    assert await refused_stranger(answer, password=CANARY) == NOT_REDIS


async def test_a_server_in_protected_mode() -> None:
    denied = b"-DENIED Running in protected mode because protected mode is enabled\r\n"
    sentence = await refused_stranger(lambda command: denied)
    assert sentence == (
        "it is in protected mode and refuses other machines: give it a password, or set protected-mode no"
    )


async def test_a_server_without_room_for_another_client() -> None:
    sentence = await refused_stranger(lambda command: b"-ERR max number of clients reached\r\n")
    assert sentence == "it has no room for another client: raise its maxclients"


#: What a server may answer to any command; what is then said of it, at boot and later; and whether it may heal.
ANSWERS = {
    "MASTERDOWN Link with MASTER is down": ("is a replica that has lost its master", True),
    "MISCONF Redis is configured to save RDB snapshots, but": (
        "cannot save to its disk and takes no writes",
        True,
    ),
    "BUSY Redis is busy running a script": ("runs a script that does not end", True),
    "NOREPLICAS Not enough good replicas to write.": ("takes no writes without its replicas", True),
    "READONLY You can't write against a read only replica.": ("is a read-only replica", True),
    "OOM command not allowed when used memory > 'maxmemory'.": ("is full", True),
    "LOADING Redis is loading the dataset in memory": ("is still loading its data", True),
    "ERR max number of clients reached": ("has no room for another client", True),
    "MOVED 3999 127.0.0.1:6381": ("is a Redis Cluster", False),
    "ASK 3999 127.0.0.1:6381": ("is a Redis Cluster", False),
    "CROSSSLOT Keys in request don't hash to the same slot": ("is a Redis Cluster", False),
    "CLUSTERDOWN The cluster is down": ("is a Redis Cluster", False),
    "TRYAGAIN Multiple keys request during rehashing of slot": ("is a Redis Cluster", False),
    "NOAUTH Authentication required.": ("asks for a password", False),
    "DENIED Redis is running in protected mode": ("is in protected mode", False),
    "NOPERM User a has no permissions to run the 'zcard' command": ("refuses the command ZCARD", False),
    "NOPERM No permissions to access a key": ("refuses a key to this user", False),
    "ERR unknown command 'SELECT', with args beginning with: '1'": ("is a Sentinel", False),
}


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("command", ["INFO", "ZCARD"])
async def test_each_state_of_a_server_has_its_sentence(answer: str, command: str) -> None:
    sentence, transient = ANSWERS[answer]
    said = {command: f"-{answer}\r\n".encode()}
    async with Stranger(polite(**said)) as stranger:
        client = connections.async_client(RedisTarget("127.0.0.1", stranger.port), socket_timeout=1)
        look = connections.check_server if command == "INFO" else at_work
        with pytest.raises(ServerError) as caught:
            await look(client)
        await client.aclose()
    assert f"{RedisTarget('127.0.0.1', stranger.port)} {sentence}" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.transient is transient


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ("MASTERDOWN Link is down", "is a replica that has lost its master"),
        ("NOPERM No permissions to access a key", "refuses a key to this user"),
    ],
)
async def test_an_answer_within_a_pipeline_is_told_too(answer: str, sentence: str) -> None:
    async with Stranger(polite(ZCARD=f"-{answer}\r\n".encode())) as stranger:
        client = connections.async_client(RedisTarget("127.0.0.1", stranger.port), socket_timeout=1)
        pipe = client.pipeline(transaction=False)
        pipe.zcard("MOVED 1 BUSY x")
        with pytest.raises(ServerError, match=sentence):
            async with explained(client):
                await pipe.execute()
        await client.aclose()


async def at_work(client: ArqRedis) -> None:
    async with explained(client):
        await client.zcard("x")


async def test_a_server_that_runs_a_script_for_ever(tmp_path: Path) -> None:
    server = RedisServer(tmp_path, "--busy-reply-threshold", "10")
    server.start()
    try:
        with server.client() as admin, server.client() as other, ThreadPoolExecutor(1) as threads:
            script = threads.submit(other.eval, "while true do end", 0)
            wait_until(lambda: _is_busy(admin), "the script runs")
            sentence = await refused(at(server))
            admin.script_kill()
            assert isinstance(script.exception(10), ResponseError)
        assert sentence == ("it runs a script that does not end: wait for it, or end it with SCRIPT KILL")
    finally:
        server.stop()


def _is_busy(admin: Any) -> bool:
    try:
        admin.ping()
    except ResponseError:
        return True
    return False


async def test_a_server_that_is_full_of_clients(own_server: RedisServer) -> None:
    with own_server.client() as admin:
        admin.config_set("maxclients", 1)
        assert await refused(at(own_server)) == "it has no room for another client: raise its maxclients"


# Getting in


@pytest.fixture
def locked(own_server: RedisServer) -> RedisServer:
    with own_server.client() as admin:
        admin.config_set("requirepass", "right")
    return own_server


LOGIN = "correct the user and password in REDIS_URL (or REDIS_USERNAME and REDIS_PASSWORD)"


async def test_no_password_where_one_is_asked_for(locked: RedisServer) -> None:
    assert await refused(at(locked)) == f"it asks for a password: {LOGIN}"


async def test_a_wrong_password(locked: RedisServer) -> None:
    target = RedisTarget("127.0.0.1", locked.port, password=CANARY)
    assert await refused(target) == f"it refuses this user or password: {LOGIN}"


async def test_a_wrong_user(locked: RedisServer) -> None:
    target = RedisTarget("127.0.0.1", locked.port, username="nobody", password="right")
    assert await refused(target) == f"it refuses this user or password: {LOGIN}"


async def test_a_password_where_none_is_set(own_server: RedisServer) -> None:
    target = RedisTarget("127.0.0.1", own_server.port, password=CANARY)
    assert await refused(target) == f"it has no password set, but one is sent: {LOGIN}"


async def test_a_user_without_the_permission_to_ask(own_server: RedisServer) -> None:
    with own_server.client() as admin:
        admin.execute_command("ACL", "SETUSER", "app", "on", f">{CANARY}", "~*", "+@all", "-info")
    target = RedisTarget("127.0.0.1", own_server.port, username="app", password=CANARY)
    sentence = await refused(target)
    assert sentence == (
        "it refuses the command INFO to this user: give it the rights that docs/redis.md lists"
    )


async def test_a_database_that_is_not_there(own_server: RedisServer) -> None:
    sentence = await refused(RedisTarget("127.0.0.1", own_server.port, db=16))
    assert sentence == "it has no database 16: choose a lower one in REDIS_URL (or REDIS_DB)"


# What it is


async def with_options(folder: Path, options: list[str], act: Callable[[RedisServer], Awaitable[str]]) -> str:
    server = RedisServer(folder, *options)
    server.start()
    try:
        return await act(server)
    finally:
        server.stop()


@pytest.mark.parametrize("db", [0, 1])
async def test_a_cluster(tmp_path: Path, db: int) -> None:
    async def act(server: RedisServer) -> str:
        return await refused(RedisTarget("127.0.0.1", server.port, db=db))

    bus = ["--cluster-port", str(free_port())]
    options = ["--cluster-enabled", "yes", "--cluster-databases", "2", *bus]
    sentence = await with_options(tmp_path, options, act)
    assert sentence == (
        "it is a Redis Cluster, and rota's scripts touch several slots: use a single server or Sentinel"
    )


async def test_a_cluster_that_knows_one_database_only() -> None:
    answer = polite(SELECT=b"-ERR SELECT is not allowed in cluster mode\r\n")
    async with Stranger(answer) as stranger:
        sentence = await refused(RedisTarget("127.0.0.1", stranger.port, db=1))
    assert sentence.startswith("it is a Redis Cluster")


async def test_a_replica(own_server: RedisServer) -> None:
    with own_server.client() as admin:
        admin.execute_command("REPLICAOF", "127.0.0.1", str(free_port()))
    sentence = await refused(at(own_server))
    assert sentence == (
        "it is a read-only replica: point REDIS_URL (or REDIS_HOST) at the master, or use Sentinel"
    )


async def test_a_server_that_is_full_is_used_with_a_warning(own_server: RedisServer) -> None:
    with own_server.client() as admin:
        admin.config_set("maxmemory", "100kb")
    client = connections.async_client(at(own_server))
    (warning,) = (await connections.check_server(client)).warnings
    assert (
        warning
        == "it is full and takes no new jobs, workers drain it: raise its maxmemory or free some of it"
    )
    await client.aclose()


async def test_a_full_server_that_throws_keys_away_takes_writes(own_server: RedisServer) -> None:
    with own_server.client() as admin:
        admin.config_set("maxmemory-policy", "allkeys-lru")
        admin.config_set("maxmemory", "100kb")
    client = connections.async_client(at(own_server))
    assert (await connections.check_server(client)).maxmemory_policy == "allkeys-lru"
    await client.aclose()


async def test_a_server_that_is_loading() -> None:
    sentence = await refused_stranger(polite(INFO=info(redis_version="7.2.0", loading=1)))
    assert sentence == ("it is still loading its data: try again when it has, or give it more BOOT_TIMEOUT")


async def test_what_may_pass_by_itself_is_marked() -> None:
    expected = {
        polite(INFO=info(redis_version="7.2.0", loading=1)): True,
        polite(INFO=info(redis_version="7.2.0", role="slave")): False,
        polite(INFO=info(redis_version="5.0.0")): False,
        polite(INFO=b"-ERR max number of clients reached\r\n"): True,
    }
    for answer, transient in expected.items():
        async with Stranger(answer) as stranger:
            client = connections.async_client(RedisTarget("127.0.0.1", stranger.port))
            with pytest.raises(ServerError) as caught:
                await connections.check_server(client)
            await client.aclose()
        assert caught.value.transient is transient
