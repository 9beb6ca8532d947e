"""A handler that blocks the event loop keeps its job, is reported with its stack, and past a limit ends the process."""

import time

from rota import Client
from tests.faults.fleet import Fleet, records, sized, until
from tests.faults.jobs_for_faults.on_loop import block, work


async def test_a_job_that_blocks_the_loop_longer_than_its_lease_is_not_started_twice(
    fleet: Fleet, client: Client
) -> None:
    lease, seconds = sized(10, 2), sized(14, 4)
    workers = await fleet.start(2, lease=lease)
    handle = await client.enqueue(block, seconds=seconds)
    await fleet.all_ended([handle.id])
    # The other worker had every occasion: it was idle, and looks by itself.
    await until_free(client)
    assert fleet.ledger.times("start") == {handle.id: 1}
    assert fleet.ledger.times("end") == {handle.id: 1}
    assert await records(client, "completed") == {handle.id: 1}
    assert not await records(client, "lost")

    (started,) = fleet.ledger.entries("start")
    blocked, other = sorted(workers, key=lambda worker: worker.pid != started.pid)
    (report,) = blocked.events("loop.blocked")
    assert "in block" in report["stack"]
    assert "time.sleep(seconds)" in report["stack"]
    assert not other.says("loop.blocked")
    assert blocked.alive


async def until_free(client: Client) -> None:
    deadline = time.monotonic() + 10
    while any((await client.counts("default")).values()):
        assert time.monotonic() < deadline


async def test_neighbours_of_a_blocking_job_keep_their_leases_too(fleet: Fleet, client: Client) -> None:
    (worker,) = await fleet.start(lease=1)
    neighbours = await client.enqueue_many(work.call(seconds=2) for _ in range(3))
    await until(lambda: len(fleet.ledger.running(worker.pid)) == 3, "they run")
    await client.enqueue(block, seconds=3)
    await until(lambda: len(fleet.ledger.running(worker.pid)) == 4, "it blocks")
    await fleet.start(lease=1)
    await fleet.all_ended(handle.id for handle in neighbours)
    assert not fleet.ledger.twice("start")


async def test_a_loop_blocked_past_the_limit_ends_the_process_and_another_takes_over(
    fleet: Fleet, client: Client
) -> None:
    (hung,) = await fleet.start(lease=1, loop_block_limit=1.5)
    handle = await client.enqueue(block, seconds=60)
    await until(lambda: fleet.ledger.entries("start"), "it blocks")
    (other,) = await fleet.start(lease=1, loop_block_limit=1.5)
    assert await hung.ended() == 70
    await fleet.all_ended([handle.id])
    assert [entry.pid for entry in fleet.ledger.entries("start")] == [hung.pid, other.pid]
    (report,) = hung.events("loop.hung")
    assert "in block" in report["stack"]
    assert other.alive
