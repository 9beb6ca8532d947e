"""A Redis that is full takes no new jobs; what runs is recorded all the same, and the rest follows when it can."""

import asyncio

import pytest

from rota import Client
from rota.server.faults import ServerError
from tests.faults.fleet import Fleet, records
from tests.faults.jobs_for_faults.on_loop import work
from tests.servers import RedisServer
from tests.waiting import until


async def test_finished_work_is_recorded_while_redis_is_full_and_the_rest_follows(
    own_fleet: Fleet, own_client: Client, own_server: RedisServer
) -> None:
    fleet = own_fleet
    (worker,) = await fleet.start(queue_concurrency=5)
    handles = await own_client.enqueue_many(work.call(seconds=1) for _ in range(5))
    ids = {handle.id for handle in handles}
    await until(lambda: len(fleet.ledger.running(worker.pid)) == 5, "they run")
    with own_server.client() as plain:
        plain.set("ballast", "x" * 2_000_000)
        plain.config_set("maxmemory", 1_000_000)
        with pytest.raises(ServerError, match="is full"):
            await own_client.enqueue(work, seconds=0)

        async def recorded() -> bool:
            return (await records(own_client, "completed")).keys() == ids

        await until(recorded, "all are recorded, with no room")
        # The worker looks for more meanwhile, and is refused.
        await asyncio.sleep(1)
        assert worker.alive
        plain.config_set("maxmemory", 0)

    more = await own_client.enqueue(work, seconds=0)
    await more.result(10)
    assert await records(own_client, "completed") == dict.fromkeys([*ids, more.id], 1)
    assert fleet.ledger.times("start") == dict.fromkeys([*ids, more.id], 1)
