"""Long jobs whose workers are killed, stopped or frozen: they go on from the last thing they saved.

After an orderly end that is the very last; after kill -9 it is not older than the last write, half a second before.
"""

import asyncio
import contextlib
import random
import signal
import time
from collections.abc import AsyncIterator

import pytest

from rota import Client, Handle, Job, State
from rota.engine.pulse import PULSE
from rota.wire.keys import QueueKeys, queue_key
from tests.faults.fleet import SEED, Fleet, records, scaled
from tests.faults.jobs_for_faults.that_save import walk, walk_in_a_process, walk_in_a_thread
from tests.waiting import until

KINDS = pytest.mark.parametrize(
    "job", [walk, walk_in_a_thread, walk_in_a_process], ids=["loop", "thread", "process"]
)
KEYS = QueueKeys.of(queue_key("default"))
#: A busy machine may be late with a write by this much, seconds.
LATE = 2.0


def saved(fleet: Fleet, job_id: str, before: float = float("inf")) -> int:
    """Return the last step that a job had saved by that time."""
    return max(
        (
            int(entry.event.removeprefix("saved-"))
            for entry in fleet.ledger.entries()
            if entry.id == job_id and entry.event.startswith("saved-") and entry.at < before
        ),
        default=0,
    )


def begun(fleet: Fleet, job_id: str) -> list[int]:
    """Return the steps at which the attempts of a job began."""
    return [
        int(entry.event.removeprefix("from-"))
        for entry in fleet.ledger.entries()
        if entry.id == job_id and entry.event.startswith("from-")
    ]


async def stored(client: Client, job_id: str) -> int:
    """Return the step that Redis holds for a job."""
    raw = await client.redis.hget(KEYS.checkpoint, job_id)
    return int(raw.split(b":")[1].rstrip(b"}")) if raw else 0


@KINDS
async def test_after_kill_9_a_job_goes_on_from_the_last_write(
    fleet: Fleet, client: Client, job: Job[..., None]
) -> None:
    (victim,) = await fleet.start(lease=1)
    handle = await client.enqueue(job, steps=100_000)
    moment = random.Random(SEED).randint(60, 160)
    await until(lambda: saved(fleet, handle.id) >= moment, f"it is at step {moment}; seed {SEED}")
    victim.kill()
    killed_at = time.monotonic()
    kept = await stored(client, handle.id)
    await fleet.start(lease=1)
    await until(lambda: len(begun(fleet, handle.id)) == 2, "it runs again")

    assert begun(fleet, handle.id) == [0, kept]
    assert saved(fleet, handle.id, killed_at - PULSE - LATE) <= kept
    assert 0 < kept <= saved(fleet, handle.id, killed_at) + 1
    await fleet_ends(client, handle)


async def fleet_ends(client: Client, handle: Handle[None]) -> None:
    """Cancel the job, which then leaves nothing of what it saved."""
    await handle.cancel()
    info = await client.wait(handle.queue, handle.id, 30)
    assert info.state is State.CANCELLED
    assert await client.redis.exists(KEYS.checkpoint) == 0


@KINDS
async def test_after_sigterm_it_goes_on_from_the_very_last(
    fleet: Fleet, client: Client, job: Job[..., None]
) -> None:
    (worker,) = await fleet.start(drain_timeout=0.2)
    handle = await client.enqueue(job, steps=100_000)
    await until(lambda: saved(fleet, handle.id) >= 20, "it is under way")
    worker.send(signal.SIGTERM)
    assert await worker.ended() == 0
    last = saved(fleet, handle.id)
    # A process may be killed when it had saved a step and not yet said so in the ledger.
    assert await stored(client, handle.id) - last in ((0, 1) if job is walk_in_a_process else (0,))
    kept = await stored(client, handle.id)
    await fleet.start()
    await until(lambda: len(begun(fleet, handle.id)) == 2, "it runs again")
    assert begun(fleet, handle.id) == [0, kept]
    assert await records(client, "interrupted") == {handle.id: 1}
    await fleet_ends(client, handle)


def last_started(fleet: Fleet) -> int:
    """Return the process in which the latest attempt began (the child's, for a job in a process)."""
    return next(
        (entry.pid for entry in reversed(fleet.ledger.entries()) if entry.event.startswith("from-")), 0
    )


@contextlib.asynccontextmanager
async def killed_at_random(fleet: Fleet, times: int, **settings: object) -> AsyncIterator[list[float]]:
    """Run two workers, kill one of them at random and replace it, `times` times; yield the times of the kills."""
    chance, killed = random.Random(SEED), []
    workers = await fleet.start(2, **settings)

    async def keep_killing() -> None:
        for _ in range(times):
            await asyncio.sleep(chance.uniform(0.2, 2))  # the kill comes at any moment
            victim = next((worker for worker in workers if worker.pid == last_started(fleet)), workers[0])
            workers.remove(victim)
            victim.kill()
            killed.append(time.monotonic())
            workers.extend(await fleet.start(1, **settings))

    task = asyncio.create_task(keep_killing())
    try:
        yield killed
        await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.timeout(600)
async def test_however_often_workers_are_killed_no_job_goes_back_behind_a_place_it_went_on_from(
    fleet: Fleet, client: Client
) -> None:
    """As a consequence, only the work saved since the last write is done twice."""
    kills = scaled(30, at_least=2)
    steps = 350 * kills  # they outlast the killing
    async with killed_at_random(fleet, kills, lease=1, max_lost=100) as killed:
        handles = [
            await client.enqueue(job, steps=steps)
            for job in (walk, walk_in_a_thread, walk_in_a_process)
            for _ in range(2)
        ]
        ids = [handle.id for handle in handles]
        for handle in handles:
            assert (await client.wait("default", handle.id, 300)).state is State.COMPLETED
    assert len(killed) == kills
    for job_id in ids:
        places = begun(fleet, job_id)
        assert places == sorted(places), f"{places}; seed {SEED}"
        assert places[0] == 0
    lost = sum(len(begun(fleet, job_id)) - 1 for job_id in ids)
    assert lost > 0, "some kill hit a job"
    assert await client.redis.exists(KEYS.checkpoint) == 0


async def test_a_worker_that_stood_still_cannot_take_a_job_back(fleet: Fleet, client: Client) -> None:
    """A checkpoint not written before the stop arrives when another worker is further, and is refused."""
    (frozen,) = await fleet.start(lease=1)
    handle = await client.enqueue(walk, steps=100_000)
    await until(lambda: saved(fleet, handle.id) >= 30, "it is under way")
    frozen.send(signal.SIGSTOP)
    first = saved(fleet, handle.id)
    await fleet.start(lease=1)
    await until(lambda: saved(fleet, handle.id) > first + 50, "another is further")

    seen: list[int] = []

    async def look() -> bool:
        seen.append(await stored(client, handle.id))
        return len(seen) > 5 and frozen.says("lease.lost") and seen[-1] > seen[0]

    frozen.send(signal.SIGCONT)
    await until(look, "the one that stood still has noticed, and the other moves on")
    await until(lambda: frozen.says("job.lost"), "it has stopped its handler")
    assert seen == sorted(seen)
    await fleet_ends(client, handle)


async def test_a_job_that_dies_takes_it_into_its_letter_and_a_replay_goes_on_from_it(
    fleet: Fleet, client: Client
) -> None:
    """The job is lost with its worker until it is dead; each time it has got further."""
    handle = await client.enqueue(walk, steps=100_000)
    for number in range(2):
        (worker,) = await fleet.start(lease=1, max_lost=2)
        before = saved(fleet, handle.id)
        await until(lambda n=number: len(begun(fleet, handle.id)) == n + 1, "it runs")
        await until(lambda before=before: saved(fleet, handle.id) > before + 100, "it is further")
        worker.kill()
    await fleet.start(lease=1, max_lost=2)
    info = await client.wait("default", handle.id, 30)
    assert (info.state, info.reason) == (State.DEAD, "lost")
    place = info.checkpoint["step"]
    assert 0 < begun(fleet, handle.id)[1] < place <= saved(fleet, handle.id)
    await client.retry("default", handle.id)
    await until(lambda: len(begun(fleet, handle.id)) == 3, "it runs again")
    assert begun(fleet, handle.id)[2] == place
    await fleet_ends(client, handle)
