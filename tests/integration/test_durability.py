"""DURABILITY=wait: an enqueue of any kind is acknowledged once a replica has it, and not before."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import rota
from rota import Client, Run, ServerError, job, pipeline
from rota.app.connect import client_of
from rota.server import connections
from rota.server.target import RedisTarget
from rota.settings.settings import Settings
from tests.sentinels import Group

WAIT: dict[str, Any] = {"durability": "wait", "durability_timeout": 0.2}


@job
async def greet(run: Run, name: str = "Ann") -> str:
    return name


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Group]:
    with Group(tmp_path_factory.mktemp("durable")) as group:
        yield group


@pytest.fixture
async def client(group: Group) -> AsyncIterator[Client]:
    async with client_of(Settings(**WAIT), connections.async_client(group.target)) as client:
        yield client


async def refuses(enqueue: Any) -> None:
    with pytest.raises(ServerError, match=r"0 of 1 replicas said so within 0\.2 s") as caught:
        await enqueue
    assert caught.value.transient


async def test_every_kind_of_enqueue_waits_for_a_replica(group: Group, client: Client) -> None:
    with group.replica.frozen():
        await refuses(client.enqueue(greet))
        await refuses(client.enqueue_many([greet.call(), greet.call()]))
        await refuses(client.enqueue(pipeline(greet, greet, name="two"), name="Ann"))
        await refuses(client.batch([greet.call()]))
        await refuses(client.enqueue_once(greet.call(), "key", fingerprint="1"))
    assert (await client.enqueue(greet)).created
    assert len(await client.enqueue_many([greet.call(), greet.call()])) == 2


async def test_what_is_there_already_is_not_acknowledged_before_a_replica_has_it(
    group: Group, client: Client
) -> None:
    """Another connection has written it then, and WAIT is about what its own has written."""
    again = greet.options(id="again", on_taken="existing")
    async with client_of(Settings(**WAIT), connections.async_client(group.target)) as other:
        with group.replica.frozen():
            await refuses(client.enqueue(again))
            await refuses(other.enqueue(again))
        assert not (await other.enqueue(again)).created


async def test_the_client_that_blocks_waits_too(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    (address,) = group.addresses
    settings = Settings(
        redis_sentinels=f"{address[0]}:{address[1]}",
        redis_sentinel_master="mymaster",
        app_env="development",
        **WAIT,
    )

    def enqueue() -> None:
        with rota.connect_sync(settings) as client:
            client.enqueue(greet)

    with group.replica.frozen():
        await refuses(asyncio.to_thread(enqueue))
    await asyncio.to_thread(enqueue)


async def test_the_right_that_it_needs_is_named(group: Group) -> None:
    with group.master.client() as admin:
        admin.execute_command("ACL", "SETUSER", "app", "on", ">secret", "~*", "+@all", "-wait")
    target = RedisTarget("127.0.0.1", group.master.port, username="app", password="secret")
    async with client_of(Settings(**WAIT), connections.async_client(target)) as client:
        with pytest.raises(ServerError, match="refuses the command WAIT to this user"):
            await client.enqueue(greet)
