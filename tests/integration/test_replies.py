"""A connection without asyncio's streams: every reply reaches its caller, and no end of a connection goes unseen."""

import asyncio
import contextlib
import selectors
import time
from functools import partial
from typing import Any

import pytest
import redis as plain_redis
import uvloop
from redis import exceptions as faults
from redis._parsers.hiredis import NOT_ENOUGH_DATA
from redis.asyncio import Redis

from rota.server import connections
from rota.server.lean.replies import MOST_UNREAD, Replies
from rota.server.target import RedisTarget
from rota.wire.scripts import NUDGE
from tests.integration.strangers import Stranger, mute, polite
from tests.servers import RedisServer
from tests.unit.server.test_packing import silent_server
from tests.waiting import until

#: More than a reply, a socket and asyncio take at once.
LARGE = b"0123456789abcdef" * 327_680


def client_of(stranger: Stranger, socket_timeout: float = 5) -> Any:
    return connections.async_client(RedisTarget("127.0.0.1", stranger.port), socket_timeout=socket_timeout)


async def connection_of(client: Any) -> Any:
    """Return the only connection of a client, which is left idle."""
    await client.ping()
    (connection,) = client.connection_pool._available_connections
    return connection


async def test_redis_py_has_the_private_names_that_are_used(redis: Any) -> None:
    connection = await connection_of(redis)
    stream, writer = connection._reader, connection._writer
    assert isinstance(connection._parser, Replies), "set_parser() is how redis-py chooses the parser"
    assert writer.transport.get_protocol() is connection._parser, "_writer has the transport"
    assert (stream._buffer, stream._eof, stream.exception()) == (b"", False, None)
    assert connection._parser._reader.gets() is NOT_ENOUGH_DATA, "the parser makes its reader in on_connect()"


async def test_large_values_come_and_go_whole(redis: Any) -> None:
    await redis.set("large", LARGE)
    assert await redis.get("large") == LARGE
    values = [b"%d" % number for number in range(20_000)]
    await redis.rpush("list", *values)
    assert await redis.lrange("list", 0, -1) == values


async def test_calls_at_once_get_their_own_replies(redis: Any) -> None:
    echoed = await asyncio.gather(*(redis.echo(f"{number}") for number in range(50)))
    assert echoed == [b"%d" % number for number in range(50)]


async def test_what_a_server_refuses_is_raised_and_the_connection_goes_on(redis: Any) -> None:
    connection = await connection_of(redis)
    with pytest.raises(faults.NoScriptError):
        await redis.evalsha("0" * 40, 0)
    with pytest.raises(faults.ResponseError, match=r"WRONGTYPE|wrong kind"):
        await redis.set("text", "a") and await redis.lpush("text", "b")
    await redis.script_flush()
    assert await NUDGE(redis, ("arq:queue:q", "arq:queue:q:wake"), (1000,)) is not None
    assert await connection_of(redis) is connection


async def test_a_full_server_says_so(own_server: RedisServer) -> None:
    async with connections.async_client(RedisTarget.from_url(own_server.url)) as client:
        await client.config_set("maxmemory", 1)
        with pytest.raises(faults.OutOfMemoryError):
            await client.set("a", "b")
        await client.config_set("maxmemory", 0)
        assert await client.set("a", "b")


async def test_callers_of_connections_that_are_killed_are_told(server: RedisServer, redis: Any) -> None:
    calls = [asyncio.create_task(redis.blpop([f"none:{number}"], timeout=30)) for number in range(3)]
    with server.client() as admin:
        await until(lambda: admin.info("clients")["blocked_clients"] == len(calls))
        admin.client_kill_filter(_type="normal", skipme=True)
    errors = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(error) for error in errors] == [faults.ConnectionError] * len(calls)
    assert await redis.ping()


async def test_a_connection_that_ended_while_nothing_ran_is_replaced(server: RedisServer, redis: Any) -> None:
    connection = await connection_of(redis)
    number = connection._writer.get_extra_info("sockname")
    with server.client() as admin:
        admin.client_kill_filter(_type="normal", skipme=True)
        # The event loop gets no chance to hear of it: the kernel knows.
        _wait_readable(connection._writer.get_extra_info("socket").fileno())
    assert await redis.ping()
    assert connection._writer.get_extra_info("sockname") != number


def _wait_readable(file: int) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(file, selectors.EVENT_READ)
        assert selector.select(timeout=30)


async def test_a_call_that_is_cancelled_leaves_no_reply_for_the_next(redis: Any) -> None:
    call = asyncio.create_task(redis.blpop(["none"], timeout=30))
    await until(lambda: redis.connection_pool._in_use_connections)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await redis.echo("mine") == b"mine"


def test_on_uvloop_it_is_no_other(server: RedisServer) -> None:
    async def check() -> None:
        for test in (
            test_large_values_come_and_go_whole,
            test_calls_at_once_get_their_own_replies,
            test_what_a_server_refuses_is_raised_and_the_connection_goes_on,
            test_a_call_that_is_cancelled_leaves_no_reply_for_the_next,
            partial(test_callers_of_connections_that_are_killed_are_told, server),
            partial(test_a_connection_that_ended_while_nothing_ran_is_replaced, server),
            partial(test_a_slow_listener_keeps_the_server_waiting, server),
        ):
            async with connections.async_client(RedisTarget.from_url(server.url)) as redis:
                await test(redis)
        async with connections.async_client(RedisTarget.from_url(server.url)) as redis:
            connection = await connection_of(redis)
            connection._parser.write(connection.pack_command("PING"))
            sent = connection._writer.transport.get_write_buffer_size() == 0
            assert sent, "nothing is kept until what else is ready has run"
            assert await connection.read_response() == b"PONG"
        await test_a_peer_that_takes_nothing_is_not_written_to_for_ever()
        await test_one_timer_bounds_all_calls_of_a_connection()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(check())


async def test_one_timer_bounds_all_calls_of_a_connection() -> None:
    async with Stranger(polite(GET=b"")) as stranger, client_of(stranger, 0.4) as client:
        connection = await connection_of(client)
        timer = connection._parser._timer
        for _ in range(20):
            await client.ping()
        assert connection._parser._timer is timer is not None
        # It was due for an earlier call, and then is for this one.
        await asyncio.sleep(0.2)
        started = time.monotonic()
        with pytest.raises(faults.TimeoutError, match=r"Timeout reading from 127\.0\.0\.1"):
            await client.get("a")
        assert 0.35 <= time.monotonic() - started < 5
        assert not connection.is_connected
        assert connection._parser._timer is None
        assert await client.ping()


async def test_a_reply_that_comes_in_pieces_is_waited_for_no_longer_than_one_that_does_not_come() -> None:
    async def dribble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"PING\r\n")
        writer.write(b"+PONG\r\n$1000000\r\n")
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.001)
        writer.close()

    server = await asyncio.start_server(dribble, "127.0.0.1", 0)
    target = RedisTarget("127.0.0.1", server.sockets[0].getsockname()[1])
    try:
        client: Any = connections.async_client(target, socket_timeout=0.3)
        client.connection_pool.connection_kwargs |= {"lib_name": None, "lib_version": None}
        async with client, asyncio.timeout(20):
            with pytest.raises(faults.TimeoutError, match="Timeout reading"):
                await client.get("a")
    finally:
        server.close()


async def test_a_blocking_call_without_a_bound_waits(target: RedisTarget, redis: Any) -> None:
    patient: Any = connections.async_client(target, socket_timeout=None)
    async with patient as client:
        call = asyncio.create_task(client.blpop(["list"], timeout=0))
        connection = await until(lambda: next(iter(client.connection_pool._in_use_connections), None))
        await until(lambda: connection._parser._waiter is not None)
        assert connection._parser._timer is None
        await redis.rpush("list", "a")
        assert await call == (b"list", b"a")


async def test_a_peer_that_takes_nothing_is_not_written_to_for_ever() -> None:
    async with silent_server() as port:
        target = RedisTarget("127.0.0.1", port)
        async with connections.async_client(target, socket_timeout=0.3) as client:
            quiet = {"lib_name": None, "lib_version": None, "health_check_interval": 0}
            client.connection_pool.connection_kwargs |= quiet
            with pytest.raises(faults.TimeoutError, match="Timeout writing"):
                await client.set("a", LARGE * 10)


async def test_what_a_server_says_before_it_closes_is_heard(own_server: RedisServer) -> None:
    with own_server.client() as admin:
        admin.config_set("maxclients", len(admin.client_list()))
        async with connections.async_client(RedisTarget.from_url(own_server.url)) as client:
            with pytest.raises(faults.ConnectionError, match="max number of clients"):
                await client.ping()


async def test_a_slow_listener_keeps_the_server_waiting(server: RedisServer, redis: Any) -> None:
    async with redis.pubsub() as listener:
        await listener.subscribe("news")
        assert await listener.get_message(timeout=30)
        parser = listener.connection._parser
        with server.client() as admin:
            for _ in range(40):
                await asyncio.to_thread(admin.publish, "news", b"x" * 262_144)
        await until(lambda: parser._unread > MOST_UNREAD)
        held = parser._unread
        for _ in range(20):
            await asyncio.sleep(0)
        assert parser._unread == held
        for _ in range(40):
            message = await listener.get_message(timeout=30)
            assert message
            assert len(message["data"]) == 262_144


async def test_a_listener_outwaits_the_time_for_a_reply() -> None:
    async with Stranger(mute) as stranger, client_of(stranger, 0.1) as client:
        client.connection_pool.connection_kwargs |= {"lib_name": None, "lib_version": None}
        connection = client.connection_pool.make_connection()
        await connection.connect()
        assert await connection.read_response(timeout=0.3, disconnect_on_error=False) is None
        assert connection.is_connected
        await connection.disconnect()


# Scripts, which go straight to a connection that is ready


async def test_a_script_takes_the_connection_that_is_ready_and_gives_it_back(redis: Any) -> None:
    connection = await connection_of(redis)
    pool = redis.connection_pool
    call = asyncio.create_task(redis.evalsha(await redis.script_load("return KEYS[1]"), 1, "a"))
    await asyncio.sleep(0)
    assert pool._in_use_connections == {connection}
    assert await call == b"a"
    assert pool._available_connections == [connection]
    large = await redis.script_load("return ARGV[1]")
    assert await redis.evalsha(large, 0, LARGE) == LARGE
    many = await redis.script_load("return string.rep(ARGV[1], 300000)")
    assert await redis.evalsha(many, 0, b"0123456789abcdef") == b"0123456789abcdef" * 300_000
    # As after a pipeline of large replies, which were all there when the first was read.
    connection._parser._unread = MOST_UNREAD + 1
    connection._writer.transport.pause_reading()
    assert await redis.evalsha(large, 0, "again") == b"again"


async def test_a_script_that_fails_or_is_cancelled_leaves_a_connection_that_can_be_used(
    server: RedisServer, redis: Any
) -> None:
    await connection_of(redis)
    with pytest.raises(faults.NoScriptError):
        await redis.evalsha("0" * 40, 0)
    slow = await redis.script_load("for i = 1, 3e6 do redis.call('TIME') end return 1")
    call = asyncio.create_task(redis.evalsha(slow, 0))
    await until(lambda: redis.connection_pool._in_use_connections)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    with server.client() as admin:
        await until(lambda: _no_script_runs(admin))
    assert await redis.evalsha(await redis.script_load("return 'mine'"), 0) == b"mine"


def _no_script_runs(admin: plain_redis.Redis) -> bool:
    try:
        admin.script_kill()
    except faults.ResponseError as error:
        return "NOTBUSY" in str(error)
    return False


async def test_a_script_meets_a_connection_that_has_ended_and_takes_another(
    server: RedisServer, redis: Any
) -> None:
    connection, script = await connection_of(redis), await redis.script_load("return 1")
    with server.client() as admin:
        admin.client_kill_filter(_type="normal", skipme=True)
        _wait_readable(connection._writer.get_extra_info("socket").fileno())
    assert await redis.evalsha(script, 0) == 1


async def test_a_script_waits_for_its_reply_no_longer_than_another_command() -> None:
    async with Stranger(polite(EVALSHA=b"")) as stranger, client_of(stranger, 0.2) as client:
        connection = await connection_of(client)
        with pytest.raises(faults.TimeoutError, match="Timeout reading"):
            await client.evalsha("0" * 40, 0)
        assert not connection.is_connected


async def test_a_script_whose_connection_ends_is_told() -> None:
    async with Stranger(polite(EVALSHA=b"")) as stranger, client_of(stranger) as client:
        connection = await connection_of(client)
        call = asyncio.create_task(client.evalsha("0" * 40, 0))
        await until(lambda: client.connection_pool._in_use_connections)
        connection._writer.transport.abort()
        with pytest.raises(faults.ConnectionError, match="closed by server"):
            await call
        assert await client.ping()


async def test_a_script_that_is_answered_with_nonsense_is_told() -> None:
    async with Stranger(polite(EVALSHA=b"nonsense\r\n")) as stranger, client_of(stranger) as client:
        connection = await connection_of(client)
        with pytest.raises(faults.InvalidResponse):
            await client.evalsha("0" * 40, 0)
        assert not connection.is_connected
        assert await client.ping()


async def test_a_check_that_is_due_is_made_before_a_script(redis: Any) -> None:
    connection, script = await connection_of(redis), await redis.script_load("return 1")
    connection.next_health_check = 0
    before = (await redis.info("commandstats"))["cmdstat_ping"]["calls"]
    connection.next_health_check = 0
    assert await redis.evalsha(script, 0) == 1
    assert (await redis.info("commandstats"))["cmdstat_ping"]["calls"] == before + 1


async def test_who_traces_commands_is_shown_scripts_too(redis: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    script, seen = await redis.script_load("return 1"), []
    own: Any = Redis.execute_command

    async def traced(self: Any, *words: Any, **options: Any) -> Any:
        seen.append(words[0])
        return await own(self, *words, **options)

    monkeypatch.setattr(Redis, "execute_command", traced)
    assert await redis.evalsha(script, 0) == 1
    assert seen == ["EVALSHA"]
