"""A Redis that stands still makes all leases look expired at once, but no job may start twice."""

import asyncio

import pytest
from arq.connections import ArqRedis

from rota import Client
from rota.wire.claims import Claim, Settlement, Told
from rota.wire.keys import QueueKeys, queue_key
from rota.wire.queue import QueueScripts, ServiceRules
from tests.faults.fleet import Fleet, records, sized
from tests.faults.jobs_for_faults.on_loop import work
from tests.servers import RedisServer
from tests.waiting import until

KEYS = QueueKeys.of(queue_key("default"))
Held = tuple[QueueScripts, Claim]


async def test_nothing_is_taken_from_anybody_when_redis_wakes_after_more_than_a_lease(
    own_fleet: Fleet, own_client: Client, own_server: RedisServer
) -> None:
    fleet = own_fleet
    lease, frozen = sized(10, 2), sized(15, 3.5)
    workers = await fleet.start(2, lease=lease, queue_concurrency=6)
    # One worker is full, and the other has free slots to take what is not its own.
    handles = await own_client.enqueue_many(work.call(seconds=frozen + 2) for _ in range(8))
    ids = {handle.id for handle in handles}
    await until(lambda: len(fleet.ledger.entries("start")) == len(ids), "all run")
    await asyncio.sleep(lease / 2)  # the leases have been renewed
    with own_server.frozen():
        await asyncio.sleep(frozen)  # longer than a lease

    async def works() -> bool:
        return (await records(own_client, "completed")).keys() >= ids

    await until(works, "all are settled")
    assert fleet.ledger.times("start") == dict.fromkeys(ids, 1)
    assert await records(own_client, "completed") == dict.fromkeys(ids, 1)
    assert not await records(own_client, "lost")
    assert all(worker.alive for worker in workers)
    assert not any(worker.says("lease.lost") for worker in workers)

    more = await own_client.enqueue(work, seconds=0)
    await more.result(5)


@pytest.fixture
async def silence(client: Client, redis: ArqRedis) -> tuple[Held, Held, QueueScripts]:
    """Two workers with a claim each, and an idle one, after more than a lease in which nobody was heard of."""
    early, late, idle = (QueueScripts(KEYS, name, 1.0, ServiceRules("default")) for name in "abc")
    await client.enqueue_many(work.call(seconds=0) for _ in range(2))
    (first,) = (await early.step(redis, lane=0, seq=1, want=1)).claims
    (second,) = (await late.step(redis, lane=0, seq=1, want=1)).claims
    await asyncio.sleep(1.2)  # longer than the lease of a second
    return (early, first), (late, second), idle


async def nothing_is_taken(redis: ArqRedis, server: RedisServer, held: Held, idle: QueueScripts) -> None:
    protocol, claim = held
    assert (await idle.step(redis, lane=0, seq=1, want=2)).claims == []
    with server.client() as plain:
        assert protocol.renew(plain, {claim.id: claim.token}) == []


async def test_a_renewal_that_comes_first_after_the_silence_does_not_hide_it(
    redis: ArqRedis, server: RedisServer, silence: tuple[Held, Held, QueueScripts]
) -> None:
    (early, first), late, idle = silence
    with server.client() as plain:
        assert early.renew(plain, {first.id: first.token}) == []
    await nothing_is_taken(redis, server, late, idle)


@pytest.mark.parametrize("settled", [True, False])
async def test_a_step_that_claims_nothing_and_comes_first_does_not_hide_the_silence(
    redis: ArqRedis, server: RedisServer, silence: tuple[Held, Held, QueueScripts], settled: bool
) -> None:
    (early, first), late, idle = silence
    settlements = [Settlement.finished(first, Told("completed"))] if settled else []
    reply = await early.step(redis, lane=0, seq=2, want=0, settlements=settlements)
    assert reply.answers == [True] * len(settlements)
    await nothing_is_taken(redis, server, late, idle)


async def test_a_step_sent_again_that_comes_first_does_not_hide_the_silence(
    redis: ArqRedis, server: RedisServer, silence: tuple[Held, Held, QueueScripts]
) -> None:
    (early, first), late, idle = silence
    reply = await early.step(redis, lane=0, seq=1, want=1, resend=True)
    assert [claim.token for claim in reply.claims] == [first.token]
    await nothing_is_taken(redis, server, late, idle)
