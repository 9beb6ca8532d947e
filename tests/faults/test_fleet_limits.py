"""Limits in a fleet of real processes, some of which are killed: never too many, never none, nothing left behind."""

import asyncio
import itertools
import random
from collections import Counter

from rota import Client, State
from tests.faults.fleet import SEED, Entry, Fleet, scaled, sized
from tests.faults.jobs_for_faults.limited import everything, hold, tick
from tests.streams import events_in
from tests.waiting import until, until_empty

PER_SECOND = 50


async def granted(client: Client) -> list[int]:
    """Return when the script let each job start, in milliseconds of the server's clock."""
    entries = await client.redis.xrange("rota:events")
    started = [event for event in events_in(entries) if event.type == "started"]
    return sorted(int(event.position.partition("-")[0]) for event in started)


async def test_four_workers_keep_one_rate_and_use_it_up(fleet: Fleet, client: Client) -> None:
    await fleet.start(4, queue_concurrency=5)
    count = scaled(1000, at_least=200)
    handles = await client.enqueue_many(tick.call(number) for number in range(count))
    await until(
        lambda: len(fleet.ledger.entries("start")) == count, "all have started", count / PER_SECOND * 2 + 20
    )
    times = await granted(client)
    assert len(times) == count
    assert fleet.ledger.times("start") == dict.fromkeys((handle.id for handle in handles), 1)
    for first, beyond in zip(times, times[PER_SECOND:], strict=False):
        assert beyond - first >= 1000 - 1  # times are cut to a millisecond
    # That none of it is wasted is shown to the millisecond on a clock of the tests' own; a busy machine may be late.
    assert times[-1] - times[0] <= (count - 1) / PER_SECOND * 1000 * 1.5


async def test_a_key_s_slots_are_free_again_when_the_lease_of_a_killed_worker_ends(
    fleet: Fleet, client: Client
) -> None:
    (victim,) = await fleet.start(lease=2)
    handles = await client.enqueue_many(hold.call("ann", 0.2 if number > 1 else 60) for number in range(6))
    await until(lambda: len(fleet.ledger.running(victim.pid)) == 2, "both slots are taken")
    await fleet.start(lease=2)
    other = await client.enqueue(hold, "bob", 0.1)
    await other.result(timeout=10)
    assert [(await handle.status()).state for handle in handles[2:]] == [State.WAITING] * 4
    victim.kill()
    await until(lambda: started_again(fleet), "the lost ones run again", 15)
    for handle in handles[:2]:
        await handle.cancel()
    for handle in handles[2:]:
        await handle.result(timeout=15)
    survivors = [entry for entry in fleet.ledger.entries() if entry.pid != victim.pid]
    assert most_at_once([entry for entry in survivors if entry.id != other.id]) <= 2


async def started_again(fleet: Fleet) -> bool:
    return len(fleet.ledger.twice("start")) == 2


def most_at_once(entries: list[Entry]) -> int:
    """Return the most jobs that ran at once, by the ledger; a job without an end ran until it was cancelled."""
    ended = {(entry.id, entry.pid) for entry in entries if entry.event == "end"}
    steps = [1 if entry.event == "start" else -1 for entry in entries if (entry.id, entry.pid) in ended]
    return max(itertools.accumulate(steps), default=0)


async def test_with_everything_on_and_workers_dying_nothing_is_lost_and_nothing_left(
    fleet: Fleet, client: Client
) -> None:
    chance = random.Random(SEED)
    count = scaled(2000, at_least=200)
    for _ in range(3):
        await fleet.start(lease=sized(5, 2), max_lost=1000)
    keys = ["ann", "bob", "eve", "zoe"]
    calls = [
        (chance.choice(keys), number, chance.uniform(0, 0.5), chance.randrange(4)) for number in range(count)
    ]
    handles = []
    for key, number, seconds, priority in calls:
        handles.append(await client.enqueue(everything.options(priority=priority), key, number, seconds))
    for _ in range(scaled(20, at_least=3)):
        done = len(fleet.ledger.entries("end"))
        if len(fleet.ledger.times("end")) == count:
            break
        await until(lambda done=done: len(fleet.ledger.entries("end")) > done, "somebody works")
        await asyncio.sleep(chance.uniform(0, 0.3))  # the kill comes at any moment
        chance.choice([worker for worker in fleet.workers if worker.alive]).kill()
        await fleet.start(lease=sized(5, 2), max_lost=1000)
    await fleet.all_ended(handle.id for handle in handles)
    await until_empty(client, "mixed")
    left = await client.redis.keys("*")
    kinds = (b":line:", b":parked", b":terms", b"rota:slots:everything:", b"rota:unique:", b":levels", b":p1")
    assert [key for key in left if any(kind in key for kind in kinds)] == []
    events = events_in(await client.redis.xrange("rota:events"))
    finished = Counter(event.id for event in events if event.type == "completed")
    assert finished == dict.fromkeys((handle.id for handle in handles), 1)
