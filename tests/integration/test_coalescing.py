"""Enqueues that meet on a real server: few calls, and for each caller what it would have got alone."""

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar

import pytest
from arq.connections import ArqRedis

from rota import (
    Client,
    JobExists,
    Outgoing,
    Run,
    ServerError,
    State,
    connect_sync,
    headers,
    job,
    unique,
)
from rota.app.connect import client_of
from rota.client.bridge import OwnBridge
from rota.errors import IdempotencyMismatch
from rota.settings.load import load
from rota.settings.settings import Settings
from rota.wire.keys import idempotency_key
from tests.servers import RedisServer
from tests.waiting import wait_until

_CALLER: ContextVar[str] = ContextVar("caller", default="")


@job(queue="mail")
async def send(run: Run, to: int) -> None: ...


@job(queue="mail", unique=unique(key="order"))
async def bill(run: Run, order: str) -> None: ...


async def calls(redis: ArqRedis) -> int:
    """Return how often a script was called."""
    return int((await redis.info("commandstats"))["cmdstat_evalsha"]["calls"])


async def test_a_hundred_at_once_are_three_calls_over_one_connection(redis: ArqRedis) -> None:
    client = Client(redis)
    await client.enqueue(send, 0)
    before = await calls(redis)
    handles = await asyncio.gather(*(client.enqueue(send, number) for number in range(100)))
    assert await calls(redis) - before == 3
    assert len(redis.connection_pool._available_connections) == 1
    found = await client.jobs("mail", limit=200)
    assert [info.payload for info in found[1:]] == [{"to": number} for number in range(100)]
    assert [info.id for info in found[1:]] == [handle.id for handle in handles]


async def test_each_gets_the_answer_that_it_would_have_got_alone(redis: ArqRedis) -> None:
    client = Client(redis)
    # A key of another type: the script fails over it, as a whole.
    await redis.zadd("rota:unique:mail:bill:strange", {"x": 1})
    first, put, taken, existing, replaced, strange, other, same = await asyncio.gather(
        client.enqueue(send, 0),
        client.enqueue(send.options(id="ann"), 1),
        client.enqueue(send.options(id="ann"), 2),
        client.enqueue(send.options(id="ann", on_taken="existing"), 3),
        client.enqueue(send.options(id="ann", on_taken="replace"), 4),
        client.enqueue(bill, "strange"),
        client.enqueue(bill, "other"),
        client.enqueue(bill, "other"),
        return_exceptions=True,
    )
    assert isinstance(taken, JobExists)
    assert isinstance(strange, ServerError)
    handles = [
        one for one in (first, put, existing, replaced, other, same) if not isinstance(one, BaseException)
    ]
    assert [handle.created for handle in handles] == [True, True, False, False, True, False]
    assert handles[4].id == handles[5].id
    waiting = await client.jobs("mail")
    assert sorted(str(info.payload) for info in waiting) == ["{'order': 'other'}", "{'to': 0}", "{'to': 4}"]


async def test_requests_with_keys_go_together_too_and_each_is_told_what_is_its_own(redis: ArqRedis) -> None:
    client = Client(redis)
    was_before, _ = await client.enqueue_once(send.call(0), "before", fingerprint="f")
    taken = await client.enqueue(send.options(id="taken"), 1)
    before = await calls(redis)
    first, again, mismatch, refused, existing, new, twice = await asyncio.gather(
        client.enqueue_once(send.call(2), "first", fingerprint="f"),
        client.enqueue_once(send.call(0), "before", fingerprint="f"),
        client.enqueue_once(send.call(3), "before", fingerprint="g"),
        client.enqueue_once(send.options(id="taken").call(4), "refused", fingerprint="f"),
        client.enqueue_once(send.options(id="taken", on_taken="existing").call(5), "there", fingerprint="f"),
        client.enqueue_once(send.call(6), "new", fingerprint="f"),
        client.enqueue_once(send.call(6), "new", fingerprint="f"),
        return_exceptions=True,
    )
    assert await calls(redis) - before == 5, "a key, and an id, come once in a call"
    assert isinstance(mismatch, IdempotencyMismatch)
    assert isinstance(refused, JobExists)
    handles = [one for one in (first, again, existing, new, twice) if not isinstance(one, BaseException)]
    assert [is_replayed for _, is_replayed in handles] == [False, True, False, False, True]
    assert [handle.created for handle, _ in handles] == [True, True, False, True, True]
    ids = [handle.id for handle, _ in handles]
    assert ids[1:3] == [was_before.id, taken.id]
    assert ids[3] == ids[4]
    assert (await client.counts("mail"))[State.WAITING] == 4
    assert not await redis.exists(idempotency_key("rota", "refused", None))


async def test_senders_see_each_job_in_the_context_of_its_caller(redis: ArqRedis) -> None:
    told: list[tuple[str, str]] = []

    class Sender:
        @contextmanager
        def __call__(self, jobs: Sequence[Outgoing]) -> Iterator[None]:
            jobs[0].headers["caller"] = _CALLER.get()
            yield
            told.append((_CALLER.get(), jobs[0].id))

        def created(self, jobs: Sequence[Outgoing]) -> None:
            told.extend((_CALLER.get(), one.id) for one in jobs)

    client = client_of(Settings(), redis, senders=[Sender()])

    async def caller(name: str) -> tuple[str, str]:
        _CALLER.set(name)
        with headers(tenant=f"tenant-of-{name}"):
            return name, (await client.enqueue(send, 1)).id

    found = await asyncio.gather(*map(caller, "abc"))
    assert sorted(told) == sorted([*found, *found])
    for name, job_id in found:
        raw = await redis.get(f"arq:job:{job_id}")
        assert f'"caller":"{name}"'.encode() in raw
        assert f'"tenant":"tenant-of-{name}"'.encode() in raw


async def test_of_a_connection_that_is_cut_only_those_under_way_are_told(
    redis: ArqRedis, server: RedisServer
) -> None:
    client = Client(redis)
    await client.enqueue(send, 0)
    with server.frozen():
        cut = asyncio.create_task(client.enqueue(send, 1))
        waiting = [asyncio.create_task(client.enqueue(send, number)) for number in (2, 3)]
        await asyncio.sleep(0)
        await redis.connection_pool.disconnect()
        with pytest.raises(ServerError):
            await cut
    await asyncio.gather(*waiting)
    assert (await client.counts("mail"))[State.WAITING] in (3, 4), "the one that was cut may be there too"


def test_threads_of_one_blocking_client_go_together(server: RedisServer) -> None:
    count = 12
    with server.client() as plain, ThreadPoolExecutor(count) as pool:
        client = connect_sync(load({"REDIS_URL": server.url}))
        client.enqueue(send, 0)
        plain.config_resetstat()
        assert isinstance(client.bridge, OwnBridge)
        assert client.bridge._opened is not None
        waiting = client.bridge._opened._enqueuer._coalescer._waiting
        with server.frozen():
            found = [pool.submit(client.enqueue, send, number) for number in range(count)]
            wait_until(lambda: [*map(len, waiting.values())] == [count - 1])
        assert len({one.result().id for one in found}) == count
        stats: dict[str, dict[str, int]] = plain.info("commandstats")
        assert stats["cmdstat_evalsha"]["calls"] == 2
        assert client.counts("mail")[State.WAITING] == count + 1
        client.close()
