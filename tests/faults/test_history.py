"""The history of queues, of real worker processes: what a deploy looks like there, and what a kill costs."""

import signal

from rota import Client
from rota.telemetry.history.sender import EVERY
from tests.faults.fleet import Fleet
from tests.faults.jobs_for_faults.on_loop import work
from tests.waiting import until, until_empty

COUNT = 40


async def test_a_kill_costs_one_interval_of_one_process_and_a_stop_nothing(
    fleet: Fleet, client: Client
) -> None:
    queue = client.queue_of(work)

    async def completed() -> int:
        return (await client.history(queue, period=3600)).total.completed

    async def run_all() -> None:
        handles = await client.enqueue_many(work.call(seconds=0.02) for _ in range(COUNT))
        await fleet.all_ended(handle.id for handle in handles)
        await until_empty(client)

    (victim,) = await fleet.start(1, app_version="1.4.1", queue_concurrency=2)
    (survivor,) = await fleet.start(1, app_version="1.4.2", queue_concurrency=2)
    await run_all()

    async def all_told() -> bool:
        return await completed() == COUNT

    await until(all_told, "both have told all that they have done", EVERY * 2)
    before = len(fleet.ledger.entries("end"))
    await run_all()
    victim.kill()
    survivor.send(signal.SIGTERM)
    assert await survivor.ended() == 0
    later = fleet.ledger.entries("end")[before:]
    of_survivor = sum(entry.pid == survivor.pid for entry in later)
    assert COUNT + of_survivor <= await completed() <= 2 * COUNT
    assert of_survivor > 0

    history = await client.history(queue, period=3600)
    assert [mark.version for mark in history.marks] == ["1.4.1", "1.4.2"]
    assert history.total.run.p50 is not None
    assert 0.01 < history.total.run.p50 < 0.2
    assert history.total.dead == history.total.retried == 0
