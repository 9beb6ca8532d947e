"""Redis goes and comes back in the midst of work: no worker is lost, no job is, and none finishes twice."""

import asyncio
import random
import signal
import time

import pytest

from rota import Client
from tests.faults.fleet import FULL, SEED, Fleet, records, scaled, sized
from tests.faults.jobs_for_faults.on_loop import work
from tests.servers import RedisServer
from tests.waiting import until

SLOTS = 20


@pytest.mark.parametrize(
    ("signum", "lease"),
    [
        pytest.param(signal.SIGTERM, 10, id="ended in order"),
        pytest.param(signal.SIGKILL, 1, id="killed, and away for longer than the lease"),
    ],
)
async def test_workers_outlive_a_restart_of_redis_and_every_job_runs_once(
    own_fleet: Fleet, own_client: Client, own_server: RedisServer, signum: signal.Signals, lease: float
) -> None:
    fleet = own_fleet
    workers = await fleet.start(2, lease=lease, queue_concurrency=SLOTS)
    count = scaled(5000)
    handles = await own_client.enqueue_many(work.call(seconds=0.1) for _ in range(count))
    moment = random.Random(SEED).randint(count // 10, count // 2)
    await until(lambda: len(fleet.ledger.entries("end")) >= moment, f"{moment} of {count} ended; seed {SEED}")

    own_server.stop(signum)
    ended_before = len(fleet.ledger.entries("end"))
    assert ended_before < count
    await asyncio.sleep(sized(3, 1.5))  # the length of the outage
    own_server.start()
    back_at = time.monotonic()
    await fleet.all_ended(handle.id for handle in handles)
    await until(lambda: settled(own_client, count), "all are settled")

    assert not fleet.ledger.twice("start")
    assert await records(own_client, "completed") == {handle.id: 1 for handle in handles}
    assert all(worker.alive for worker in workers)
    resumed = min(entry.at for entry in fleet.ledger.entries("start") if entry.at > back_at)
    assert resumed - back_at < 3
    for worker in workers:
        # An idle queue finds out at its next poll.
        await until(lambda worker=worker: worker.says("redis.back"), "the outage is over for every queue")
        assert len(worker.events("redis.unavailable")) == 1
        assert len(worker.events("redis.back")) == 1
        assert len(worker.events("leases.not_renewed")) <= 1


async def settled(client: Client, count: int) -> bool:
    return sum((await records(client, "completed")).values()) >= count


async def test_workers_told_to_stop_while_redis_stays_away_do_not_wait_for_it(
    own_fleet: Fleet, own_client: Client, own_server: RedisServer
) -> None:
    """One that is idle, and one whose job ends meanwhile: their drain would last for five minutes."""
    busy, idle = await own_fleet.start(2, lease=2, drain_timeout=300, leader=False)
    handle = await own_client.enqueue(work, seconds=2)
    await until(lambda: own_fleet.ledger.entries("start"), "it runs")
    if own_fleet.ledger.running(idle.pid):
        busy, idle = idle, busy
    own_server.stop(signal.SIGKILL)
    for worker in (busy, idle):
        worker.send(signal.SIGTERM)
    assert [await worker.ended(60) for worker in (busy, idle)] == [0, 0]
    assert own_fleet.ledger.times("end") == {handle.id: 1}
    for worker, unsettled in ((busy, [handle.id]), (idle, [])):
        lines = {line["queue"]: line["running"] for line in worker.events("worker.not_settled")}
        assert lines["arq:queue:default"] == unsettled
        assert not worker.says("worker.drain_timeout")


@pytest.mark.skipif(not FULL, reason="waits 8 s for a Redis that does not come: at full size only")
async def test_a_worker_told_to_stop_while_redis_is_away_ends_and_loses_nothing(
    own_fleet: Fleet, own_client: Client, own_server: RedisServer
) -> None:
    fleet = own_fleet
    (worker,) = await fleet.start(lease=1, drain_timeout=0.5)
    handle = await own_client.enqueue(work, seconds=0.5)
    await until(lambda: fleet.ledger.entries("start"), "it runs")
    own_server.stop()
    worker.send(signal.SIGTERM)
    await worker.ended(20)
    own_server.start()
    await fleet.start(lease=1)
    await until(lambda: settled(own_client, 1), "its lease ends, and it runs again")
    assert await records(own_client, "completed") == {handle.id: 1}
