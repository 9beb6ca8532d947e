"""Recycling with real processes: nothing is lost and no attempt spent from one life of a worker to the next."""

import os
import signal
from collections import Counter

from rota import Client, State
from rota.app.recycling import EXIT_RECYCLE
from tests.faults.fleet import Fleet, records, scaled
from tests.faults.jobs_for_faults.on_loop import work
from tests.processes import Worker, gone
from tests.waiting import until

RESPAWN = ("worker", "--respawn")
JOBS = scaled(200, at_least=100)


def lives(parent: Worker) -> list[int]:
    """Return the processes that the parent has started, oldest first."""
    return [event["pid"] for event in parent.events("worker.spawned")]


async def test_a_worker_that_ran_enough_jobs_drains_and_asks_to_be_restarted(
    fleet: Fleet, client: Client
) -> None:
    handles = await client.enqueue_many(work.call(seconds=0.05) for _ in range(40))
    worker = fleet.spawn(recycle_after_jobs=20, queue_concurrency=5)
    assert await worker.ended() == EXIT_RECYCLE
    ended = fleet.ledger.times("end")
    assert 18 <= len(ended) <= 20 + 2 * 5
    assert fleet.ledger.times("start") == ended == await records(client, "completed")
    assert (await client.counts("default"))[State.WAITING] == len(handles) - len(ended)


async def test_what_cannot_finish_in_time_is_put_back_unspent(fleet: Fleet, client: Client) -> None:
    long = await client.enqueue(work, seconds=60)
    await client.enqueue_many(work.call(seconds=0.01) for _ in range(5))
    worker = fleet.spawn(recycle_after_jobs=5, drain_timeout=0.3)
    assert await worker.ended() == EXIT_RECYCLE
    info = await long.status()
    assert (info.state, info.attempts) == (State.WAITING, 0)


async def test_all_jobs_are_done_once_in_many_lives(fleet: Fleet, client: Client) -> None:
    handles = await client.enqueue_many(work.call(seconds=0.02) for _ in range(JOBS))
    surprise = {"unknown_delay": 60, "unknown_grace": 60}
    parent = fleet.spawn(*RESPAWN, recycle_after_jobs=20, queue_concurrency=4, **surprise)
    await fleet.all_ended(handle.id for handle in handles)
    parent.send(signal.SIGTERM)
    assert await parent.ended() == 0

    once = dict.fromkeys((handle.id for handle in handles), 1)
    assert fleet.ledger.times("start") == fleet.ledger.times("end") == once
    assert await records(client, "completed") == once
    assert not await records(client, "interrupted", "lost", "retried")
    pids = {entry.pid for entry in fleet.ledger.entries("end")}
    # In one life at least 18, and at most 20 and those that ran beside the last of them.
    assert JOBS / (20 + 2 * 4) <= len(pids) <= JOBS / 18 + 1
    assert pids <= set(lives(parent))
    statuses = [event["status"] for event in parent.events("worker.stopped")]
    assert set(statuses[:-1]) == {EXIT_RECYCLE}
    assert statuses[-1] == 0
    advice = Counter(event["advice"].partition(" ")[0] for event in parent.events("settings.advice"))
    assert advice["UNKNOWN_DELAY"] == 1, "it is given once, and not by each life"


async def test_a_worker_whose_parent_is_killed_finishes_what_runs_and_ends(
    fleet: Fleet, client: Client
) -> None:
    handle = await client.enqueue(work, seconds=1.5)
    parent = fleet.spawn(*RESPAWN)
    await until(lambda: fleet.ledger.entries("start"), "it runs")
    (child,) = lives(parent)
    parent.kill()
    await until(lambda: gone(child), "the child ends")
    assert fleet.ledger.times("end") == {handle.id: 1}
    assert [event["why"] for event in parent.events("worker.draining")] == ["orphaned"]


async def test_a_worker_that_is_killed_is_started_again_and_its_jobs_resume(
    fleet: Fleet, client: Client
) -> None:
    handle = await client.enqueue(work, seconds=0.7)
    parent = fleet.spawn(*RESPAWN, lease=1)
    await until(lambda: fleet.ledger.entries("start"), "it runs")
    os.kill(lives(parent)[0], signal.SIGKILL)
    await fleet.all_ended([handle.id])
    assert parent.events("worker.crashed")[0]["status"] == 128 + signal.SIGKILL
    assert len(lives(parent)) == 2
    parent.send(signal.SIGTERM)
    assert await parent.ended() == 0


async def test_a_signal_to_the_whole_group_counts_once(fleet: Fleet, client: Client) -> None:
    handle = await client.enqueue(work, seconds=1.5)
    parent = fleet.spawn(*RESPAWN)
    await until(lambda: fleet.ledger.entries("start"), "it runs")
    parent.send(signal.SIGINT, group=True)
    assert await parent.ended() == 0
    assert fleet.ledger.times("end") == {handle.id: 1}
    assert not parent.says("worker.hurried")


async def test_settings_that_cannot_work_end_the_parent_too(fleet: Fleet) -> None:
    parent = fleet.spawn(*RESPAWN, jobs_package="nosuch")
    assert await parent.ended() == 2
    assert len(lives(parent)) == 1
