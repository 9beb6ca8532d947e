"""One worker process of a deployment leads: another takes over whatever becomes of it, and no two are believed."""

import asyncio
import signal
import time
import urllib.request
from itertools import pairwise

import pytest

from rota import Client
from tests.faults.fleet import Entry, Fleet
from tests.processes import Worker
from tests.servers import RedisServer
from tests.waiting import until

LEASE = 1.5
LEADING = "tests.faults.jobs_that_lead"


async def led(fleet: Fleet, count: int = 2, lease: float = LEASE) -> tuple[Worker, list[Worker]]:
    """Start some workers; return the one that leads, and the others."""
    workers = await fleet.start(count, jobs_package=LEADING, leader_lease=f"{lease}s")
    leader: Worker = await until(lambda: leading(fleet, workers), "one of them leads")
    return leader, [worker for worker in workers if worker is not leader]


def terms(fleet: Fleet) -> list[Entry]:
    """Return what the leaders have noted, in the order of time."""
    return sorted(fleet.ledger.entries("leads"), key=lambda entry: entry.at)


def leading(fleet: Fleet, workers: list[Worker]) -> Worker | None:
    pids = [entry.pid for entry in terms(fleet)]
    return next((worker for worker in workers if pids and worker.pid == pids[-1]), None)


async def takes_over(fleet: Fleet, *others: Worker, within: float, since: float) -> Entry:
    """Wait for one of `others` to lead, which has to begin `within` seconds of `since`; return its first entry."""
    pids = {worker.pid for worker in others}

    def first() -> Entry | None:
        return next((entry for entry in terms(fleet) if entry.pid in pids and entry.at > since), None)

    entry: Entry = await until(first, "another leads")
    assert entry.at - since < within
    return entry


def check_order(fleet: Fleet) -> None:
    """Check that no term noted anything once a later one had begun."""
    epochs = [int(entry.id) for entry in terms(fleet)]
    assert epochs == sorted(epochs)


def shown(worker: Worker) -> float:
    """Return what the worker's metrics say of its leading."""
    (ready,) = worker.events("endpoint.ready")
    with urllib.request.urlopen(f"http://127.0.0.1:{ready['port']}/metrics", timeout=10) as page:
        lines = page.read().decode().splitlines()
    (value,) = [line.split()[1] for line in lines if line.startswith('arq_leader{role="leader"}')]
    return float(value)


async def test_another_leads_when_the_leader_is_killed(fleet: Fleet) -> None:
    leader, (other,) = await led(fleet)
    (bystander,) = await fleet.start(jobs_package=LEADING, leader="off", leader_lease=f"{LEASE}s")
    assert [shown(worker) for worker in (leader, other, bystander)] == [1, 0, 0]
    killed = time.monotonic()
    leader.kill()
    await takes_over(fleet, other, within=LEASE + 2, since=killed)
    assert [shown(worker) for worker in (other, bystander)] == [1, 0]
    assert not bystander.says("leader.gained")
    check_order(fleet)


async def test_another_leads_at_once_when_the_leader_is_told_to_stop(fleet: Fleet, client: Client) -> None:
    leader, (other,) = await led(fleet, lease=60)
    handles = [await client.enqueue_by_name("work", {"seconds": 3}) for _ in range(20)]
    await until(lambda: fleet.ledger.running(leader.pid), "it has jobs to finish")
    told = time.monotonic()
    leader.send(signal.SIGTERM)
    await takes_over(fleet, other, within=1.5, since=told)
    assert leader.alive, "it leads no more while it drains"
    assert await leader.ended() == 0
    assert [leader.says(f"leader.{event}") for event in ("gained", "resigned", "lost")] == [True, True, False]
    for handle in handles:
        await handle.result(20)
    check_order(fleet)


async def test_a_leader_that_was_stopped_for_longer_than_its_lease_does_nothing_more(fleet: Fleet) -> None:
    leader, (other,) = await led(fleet)
    stopped = time.monotonic()
    leader.send(signal.SIGSTOP)
    entry = await takes_over(fleet, other, within=LEASE + 2, since=stopped)
    leader.send(signal.SIGCONT)
    await until(lambda: leader.says("leader.lost"), "it steps down")
    await asyncio.sleep(LEASE)
    assert [one for one in terms(fleet) if one.pid == leader.pid and one.at > entry.at] == []
    assert len(leader.events("leader.gained")) == 1
    check_order(fleet)


async def test_a_handler_that_blocks_the_loop_stops_no_service_of_the_leader(
    fleet: Fleet, client: Client
) -> None:
    await led(fleet, count=1)
    began = time.monotonic()
    handle = await client.enqueue_by_name("block", {"seconds": 2 * LEASE})
    await handle.result(20)
    while_blocked = [entry.at for entry in terms(fleet) if entry.at > began]
    assert while_blocked[-1] - while_blocked[0] > 1.5 * LEASE
    gaps = [after - before for before, after in pairwise(while_blocked)]
    assert max(gaps) < LEASE / 2
    assert len({entry.id for entry in terms(fleet)}) == 1


@pytest.mark.parametrize("away", [0.2, 2 * LEASE])
async def test_a_redis_that_is_restarted_ends_no_process_and_fills_no_log(
    own_fleet: Fleet, own_server: RedisServer, away: float
) -> None:
    leader, (other,) = await led(own_fleet)
    own_server.stop()
    await asyncio.sleep(away)
    own_server.start()
    back = time.monotonic()
    await takes_over(own_fleet, leader, other, within=LEASE + 3, since=back)
    check_order(own_fleet)
    for worker in (leader, other):
        assert worker.alive
        lines = [line for line in worker.events() if line["event"].startswith("leader.")]
        assert len(lines) <= 3
        assert len(worker.events("redis.unavailable")) <= 1


async def test_the_leader_strikes_what_jobs_and_processes_have_left(fleet: Fleet, client: Client) -> None:
    await client.redis.hset("arq:queue:default:terms", "gone", "p1")
    await client.redis.sadd("arq:queue:former:workers", "dead")
    workers = await fleet.start(2)

    async def struck() -> bool:
        return not await client.redis.exists("arq:queue:default:terms", "arq:queue:former:workers")

    await until(struck, "it is tidy")
    await until(lambda: any(worker.says("housekeeper.swept") for worker in workers), "the leader says so")
    assert sum(worker.says("leader.gained") for worker in workers) == 1
