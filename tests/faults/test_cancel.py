"""A cancel that its worker never hears: the request stays in Redis, and the next worker of the job ends it."""

import signal

import pytest

from rota import Client, JobCancelled
from tests.faults.fleet import Fleet, records
from tests.faults.jobs_for_faults.on_loop import work
from tests.waiting import until


async def test_a_job_whose_worker_is_killed_before_it_hears_ends_as_cancelled_and_does_not_run_again(
    fleet: Fleet, client: Client
) -> None:
    (victim,) = await fleet.start(lease=2)
    handle = await client.enqueue(work.options(id="one"), seconds=60)
    await until(lambda: fleet.ledger.entries("start"), "it runs")
    victim.send(signal.SIGSTOP)
    assert await handle.cancel() == "requested"
    victim.kill()
    await fleet.start(lease=2)
    with pytest.raises(JobCancelled):
        await handle.result(30)
    assert fleet.ledger.times("start") == {handle.id: 1}
    assert await records(client, "cancelled") == {handle.id: 1}

    # The request has gone with it: the next job of the id runs.
    assert await client.redis.zcard("arq:abort") == 0
    await (await client.enqueue(work.options(id="one"), seconds=0)).result(10)
