"""A user of Redis that lacks one right: a call that needs it changes nothing, and with the right it is made whole."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from rota import Client, ServerError, each, job, pipeline
from rota.settings.settings import Settings
from tests.servers import RedisServer
from tests.unit.wire.lua.beds import Bed, bury, real_bed
from tests.waiting import until

#: What the scripts write with.
COMMANDS = (
    "set",
    "del",
    "hset",
    "hdel",
    "hincrby",
    "hsetnx",
    "zadd",
    "zrem",
    "unlink",
    "pexpire",
    "persist",
    "xadd",
)


@job(queue="q", priority=3)
async def work(run: Any, number: int = 1) -> int:
    return number


@job(queue="q")
async def listed(run: Any) -> list[int]:
    return [1]


#: What is there before the call; what returns the call.
Case = Callable[[Bed, Client], Awaitable[Callable[[], Awaitable[Any]]]]


async def enqueue(bed: Bed, client: Client) -> Callable[[], Awaitable[Any]]:
    return lambda: client.enqueue(work.options(id="new"))


async def cancel(bed: Bed, client: Client) -> Callable[[], Awaitable[Any]]:
    handle = await client.enqueue(work)
    return handle.cancel


async def replay(bed: Bed, client: Client) -> Callable[[], Awaitable[Any]]:
    handle = await client.enqueue(work)
    worker = bed.worker("w")
    await worker.settle(bury(await worker.claim_one()))
    return lambda: client.retry("q", handle.id)


async def start_pipeline(bed: Bed, client: Client) -> Callable[[], Awaitable[Any]]:
    return lambda: client.enqueue(pipeline(work, work).options(id="new"))


async def start_batch(bed: Bed, client: Client) -> Callable[[], Awaitable[Any]]:
    return lambda: client.batch([work.call(1), work.call(2)], id="new")


async def cancel_pipeline(bed: Bed, client: Client) -> Callable[[], Awaitable[Any]]:
    return (await client.enqueue(pipeline(work, work))).cancel


async def cancel_batch(bed: Bed, client: Client) -> Callable[[], Awaitable[Any]]:
    return (await client.batch([work.call(1), work.call(2)])).cancel


async def retry_pipeline(bed: Bed, client: Client) -> Callable[[], Awaitable[Any]]:
    handle = await client.enqueue(pipeline(listed, each(work)))
    worker = bed.worker("w")
    await worker.settle(bury(await worker.claim_one()))
    return handle.retry


def there(bed: Bed) -> dict[str, Any]:
    """Return all that is there; a count of 0 is as good as none."""
    return {
        key: {field: one for field, one in value.items() if one != b"0"} if isinstance(value, dict) else value
        for key, value in bed.everything().items()
    }


CASES: list[Case] = [
    *(enqueue, cancel, replay, start_pipeline, start_batch, cancel_pipeline, cancel_batch, retry_pipeline),
]


@pytest.fixture
async def admin(server: RedisServer) -> AsyncIterator[Bed]:
    async with real_bed(server) as bed:
        yield bed


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_a_call_without_a_right_changes_nothing_and_with_it_everything(
    case: Case, server: RedisServer, admin: Bed
) -> None:
    refused = []
    for command in COMMANDS:
        admin.looking.flushall()
        admin.looking.acl_setuser(
            "narrow", enabled=True, nopass=True, keys=["*"], channels=["*"], commands=["+@all"]
        )
        async with real_bed(server) as bed:
            await bed.redis.execute_command("AUTH", "narrow", "any")
            client = Client(bed.redis, Settings())
            call = await case(admin, client)
            before = there(admin)
            admin.looking.acl_setuser("narrow", commands=[f"-{command}"])
            try:
                await call()
            except ServerError:
                refused.append(command)
                # A batch that was written down goes on with its first portion.
                if case is not start_batch:
                    await until(lambda: there(admin) == before, f"without {command} nothing changes")  # noqa: B023
                admin.looking.acl_setuser("narrow", commands=[f"+{command}"])
                await call()
            assert there(admin) != before, command
            assert case is not start_batch or admin.looking.zcard("arq:queue:q") == 2
    assert "set" in refused or "zadd" in refused
