"""A handler that blocks the event loop keeps its job, is reported with its stack, and past a limit ends the process."""

from rota import Client
from tests.faults.fleet import Fleet, records, sized
from tests.faults.jobs_for_faults.on_loop import block, work
from tests.processes import ENGINE_FILES
from tests.waiting import until, until_empty


async def test_a_job_that_blocks_the_loop_longer_than_its_lease_is_not_started_twice_nor_are_its_neighbours(
    fleet: Fleet, client: Client
) -> None:
    lease, seconds = sized(10, 2), sized(14, 7)
    (blocked,) = await fleet.start(lease=lease)
    neighbours = await client.enqueue_many(work.call(seconds=2) for _ in range(3))
    await until(lambda: len(fleet.ledger.running(blocked.pid)) == 3, "they run")
    handle = await client.enqueue(block, seconds=seconds)
    await until(lambda: len(fleet.ledger.running(blocked.pid)) == 4, "it blocks")
    stack = await client.stack(handle.queue, handle.id)
    assert (stack.blocks, stack.frames[-1].code) == (True, "time.sleep(seconds)")
    # The other worker has every occasion: it is idle, and looks by itself.
    (other,) = await fleet.start(lease=lease)
    ids = [handle.id, *(neighbour.id for neighbour in neighbours)]
    await fleet.all_ended(ids)
    await until_empty(client)
    assert fleet.ledger.times("start") == dict.fromkeys(ids, 1)
    assert await records(client, "completed") == dict.fromkeys(ids, 1)
    assert not await records(client, "lost")

    (report,) = blocked.events("loop.blocked")
    assert "in block" in report["stack"]
    assert "time.sleep(seconds)" in report["stack"]
    assert ENGINE_FILES not in report["stack"], "the frames of the worker help nobody"
    assert report["job_id"] == handle.id
    assert not other.says("loop.blocked")
    assert blocked.alive


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
