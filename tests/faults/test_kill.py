"""kill -9 of workers: what ran there resumes at its place, nothing else is touched, and a killer is found out."""

import asyncio
import contextlib
import random
import time

from rota import Client, State
from tests.faults.fleet import SEED, Fleet, records, scaled, sized
from tests.faults.jobs_for_faults.on_loop import kill, work
from tests.processes import Worker
from tests.waiting import until, until_empty

SLOTS = 20
#: A handler may have ended whose settlement the kill cut off: such a job runs again, as at-least-once says.
UNSETTLED = 0.25


def in_flight(fleet: Fleet, victim: Worker, killed_at: float) -> tuple[set[str], set[str]]:
    """Return the jobs that ran in `victim` when it was killed, and those ended there that may not be settled."""
    own = [entry for entry in fleet.ledger.entries("end") if entry.pid == victim.pid]
    return fleet.ledger.running(victim.pid), {entry.id for entry in own if entry.at > killed_at - UNSETTLED}


async def test_jobs_of_a_killed_worker_resume_at_their_place_within_lease_and_five_seconds(
    fleet: Fleet, client: Client
) -> None:
    lease = sized(10, 2)
    workers = await fleet.start(2, lease=lease, queue_concurrency=SLOTS)
    victim, survivor = random.Random(SEED).sample(workers, 2)
    count = scaled(2000, at_least=440)
    handles = await client.enqueue_many(work.call(seconds=0.3) for _ in range(count))
    order = {handle.id: place for place, handle in enumerate(handles)}

    moment = random.Random(SEED).randint(SLOTS, count // 4)
    await until(
        lambda: len(fleet.ledger.running(victim.pid)) == SLOTS and len(fleet.ledger.entries("end")) >= moment,
        f"{SLOTS} jobs run in the victim; seed {SEED}",
    )
    victim.kill()
    killed_at = time.monotonic()
    running, unsettled = in_flight(fleet, victim, killed_at)
    assert running
    await fleet.all_ended(order)

    resumed = [
        entry for entry in fleet.ledger.entries("start") if entry.at > killed_at and entry.id in running
    ]
    assert {entry.id for entry in resumed} == running
    assert {entry.attempt for entry in resumed} == {1}, "a lost execution spends no attempt"
    assert max(entry.at for entry in resumed) - killed_at <= lease + 5
    assert fleet.ledger.twice("start") <= running | unsettled
    assert fleet.ledger.twice("end") <= unsettled
    await until_empty(client)
    assert await records(client, "completed") == dict.fromkeys(order, 1)
    await nothing_stays(client)

    # Their original place: from the first of them on, they go before everything younger.
    after = [entry.id for entry in fleet.ledger.entries("start") if entry.pid == survivor.pid]
    first = min(after.index(job_id) for job_id in running)
    last = max(len(after) - 1 - after[::-1].index(job_id) for job_id in running)
    assert last - first < 2 * (len(running) + len(unsettled))
    assert len(after) - last > SLOTS, "the test wants a backlog behind them"


async def nothing_stays(client: Client) -> None:
    """Assert that all keys left expire (results, the dead worker's memory), but for a few of each queue."""
    for key in await client.redis.keys("arq:*"):
        lasts = key.rpartition(b":")[2] in {b"wake", b"stats", b"workers"}
        assert lasts or await client.redis.pttl(key) > 0, key


@contextlib.asynccontextmanager
async def kept_running(fleet: Fleet, **settings: object):  # type: ignore[no-untyped-def]
    """Run one worker at a time, and start a new one as soon as the last has ended, as an orchestrator does."""

    async def keep() -> None:
        while True:
            await fleet.spawn(**settings).ended(seconds=100)

    task = asyncio.create_task(keep())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_job_that_kills_its_process_each_time_is_dead_lettered_and_its_neighbours_finish(
    fleet: Fleet, client: Client
) -> None:
    """A suspect runs alone, so that its neighbours are not lost as often as the killer."""
    killer = await client.enqueue(kill, after=0.2)
    neighbours = await client.enqueue_many(work.call(seconds=0.6) for _ in range(5))
    async with kept_running(fleet, lease=1, max_lost=3):
        info = await client.wait("default", killer.id, 80)
        states = {(await client.wait("default", handle.id, 20)).state for handle in neighbours}
    assert (info.state, info.reason, info.task) == (State.DEAD, "lost", "kill")
    assert info.error is not None
    assert info.error.type.endswith("JobLost")
    story = await client.redis.xrange("rota:events")
    assert fleet.ledger.times("start")[killer.id] == 3, story
    assert {entry.attempt for entry in fleet.ledger.entries("start")} == {1}, "a loss spends no attempt"
    assert states == {State.COMPLETED}
