"""Sentinel: clients ask for the master, ask again at each new connection, and say what is wrong there."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis as plain_redis
from arq.connections import ArqRedis, RedisSettings
from redis.asyncio.sentinel import Sentinel
from redis.exceptions import RedisError

from rota.server import connections
from rota.server.target import RedisTarget
from tests.sentinels import Group
from tests.servers import free_port
from tests.waiting import until


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Group]:
    with Group(tmp_path_factory.mktemp("sentinel")) as group:
        yield group


async def port_of(client: ArqRedis) -> int:
    return int((await client.config_get("port"))["port"])


async def test_every_kind_of_client_is_led_to_the_master(group: Group) -> None:
    target = replace(group.target, db=3)
    theirs = Sentinel([("127.0.0.1", group.sentinels[0])]).master_for("mymaster", redis_class=ArqRedis, db=3)  # type: ignore[no-untyped-call]
    master = group.master.port
    async with connections.async_client(target) as client, connections.rebuild(theirs) as rebuilt:
        for one in (client, rebuilt):
            assert await port_of(one) == master
            assert (await one.client_info())["db"] == 3
            with await asyncio.to_thread(connections.clone(one)) as blocking:
                answer: Any = await asyncio.to_thread(blocking.config_get, "port")
                assert answer["port"] == str(master)
                answer = await asyncio.to_thread(blocking.client_info)
                assert answer["db"] == 3


async def test_the_bounds_hold_for_the_master_and_for_the_sentinels(group: Group) -> None:
    theirs = Sentinel([("127.0.0.1", group.sentinels[0])]).master_for("mymaster", redis_class=ArqRedis)  # type: ignore[no-untyped-call]
    opened = connections.async_client(group.target, socket_timeout=None)
    rebuilt = connections.rebuild(theirs, socket_timeout=None)
    for client in (opened, rebuilt):
        pool = client.connection_pool
        assert pool.connection_kwargs["socket_timeout"] is None
        assert pool.connection_kwargs["socket_connect_timeout"] == 5.0
        for sentinel in pool.sentinel_manager.sentinels:  # type: ignore[attr-defined] # a sentinel's pool
            assert sentinel.connection_pool.connection_kwargs["socket_timeout"] == 1.5
            assert sentinel.connection_pool.connection_kwargs["socket_connect_timeout"] <= 5.0


async def test_arqs_settings_for_sentinels_are_opened_with_timeouts(group: Group) -> None:
    settings = RedisSettings(host=[("127.0.0.1", group.sentinels[0])], sentinel=True, database=2)
    async with await connections.from_arq_settings(settings) as client:
        assert await port_of(client) == group.master.port
        assert client.connection_pool.connection_kwargs["socket_timeout"] == 5.0
        assert client.connection_pool.connection_kwargs["db"] == 2


async def test_the_server_behind_sentinels_is_checked(group: Group) -> None:
    client = await connections.open(group.target, boot_timeout=10)
    assert (await connections.check_server(client)).is_valkey
    await client.aclose()


async def refused(target: RedisTarget) -> connections.ServerError:
    client = connections.async_client(target, socket_timeout=2)
    with pytest.raises(connections.ServerError) as caught:
        await connections.check_server(client)
    await client.aclose()
    return caught.value


async def test_a_master_that_no_sentinel_knows(group: Group) -> None:
    target = replace(group.target, master="other")
    error = await refused(target)
    assert str(error) == (
        f"no sentinel of {target} knows a running master of that name: start them, or correct REDIS_SENTINELS and "
        "REDIS_SENTINEL_MASTER (or REDIS_URL)"
    )
    assert error.transient


async def test_sentinels_that_are_not_there() -> None:
    target = RedisTarget(sentinels=(("127.0.0.1", free_port()),), master="mymaster", password="s3cr3t")
    error = await refused(target)
    assert "no sentinel of" in str(error)
    assert "s3cr3t" not in f"{error!r}"


@pytest.mark.parametrize("db", [0, 1])
async def test_a_sentinel_taken_for_a_redis(group: Group, db: int) -> None:
    error = await refused(RedisTarget("127.0.0.1", group.sentinels[0], db=db))
    assert "is a Sentinel, not a Redis: write redis+sentinel:// in REDIS_URL" in str(error)


async def test_a_password_of_the_sentinels(group: Group) -> None:
    guarded = replace(group.target, sentinels=(("127.0.0.1", group.add_sentinel("requirepass guarded")),))
    for target in (guarded, replace(guarded, sentinel_password="wrong")):
        assert "set REDIS_SENTINEL_PASSWORD" in str(await refused(target))
    async with connections.async_client(replace(guarded, sentinel_password="guarded")) as client:
        assert await port_of(client) == group.master.port
        with await asyncio.to_thread(connections.clone(client)) as blocking:
            assert await asyncio.to_thread(blocking.ping)


async def test_clients_follow_a_failover(tmp_path: Path) -> None:
    with Group(tmp_path) as group:
        async with connections.async_client(group.target) as client:
            with await asyncio.to_thread(connections.clone(client)) as blocking:
                await asyncio.to_thread(blocking.set, "before", "1")
                await asyncio.to_thread(group.master.stop)
                await follows(client, blocking, group.replica.port)


async def follows(client: ArqRedis, blocking: plain_redis.Redis, port: int) -> None:
    async def both_write() -> bool:
        try:
            await client.set("after", "1")
            await asyncio.to_thread(blocking.set, "after", "1")
        except RedisError:
            return False
        return True

    await until(both_write, "both clients write to the new master", 60)
    assert await port_of(client) == port
    answer: Any = await asyncio.to_thread(blocking.config_get, "port")
    assert answer["port"] == str(port)
