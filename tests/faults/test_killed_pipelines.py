"""kill -9 of the workers of a pipeline, wherever it stands: none is lost, and its merge completes once."""

import asyncio
import os
import random
import time

import pytest

from rota import Client, State
from tests.faults.fleet import FULL, SCALE, SEED, Fleet, records
from tests.faults.jobs_for_faults.in_pipelines import squares
from tests.processes import Worker
from tests.waiting import until

#: Runs of the pipeline, by themselves one after another, each with a kill in it.
RUNS = int(os.environ.get("PIPELINE_RUNS", "200" if FULL else str(max(4, round(20 * SCALE)))))
ITEMS = 20
RESULT = sum(number * number for number in range(ITEMS))
#: The longest that a run takes undisturbed, seconds: a kill falls anywhere into it.
LENGTH = 0.35


async def killed_amid(client: Client, fleet: Fleet, workers: list[Worker], moment: float) -> str:
    """Run the pipeline once, kill one of the workers after `moment` seconds, and return the run's id."""
    handle = await client.enqueue(squares, count=ITEMS)
    await asyncio.sleep(moment)  # the kill comes at any moment of the run
    victim = workers.pop(0)
    victim.kill()
    workers += [fleet.spawn(lease=1, queue_concurrency=5)]
    assert await handle.result(timeout=60) == RESULT
    return handle.id


@pytest.mark.timeout(60 + 10 * RUNS)
async def test_a_pipeline_whose_workers_are_killed_loses_no_item_and_merges_once(
    fleet: Fleet, client: Client
) -> None:
    dice = random.Random(SEED)
    workers = await fleet.start(2, lease=1, queue_concurrency=5)
    started = time.monotonic()
    runs = []
    for _ in range(RUNS):
        runs.append(await killed_amid(client, fleet, workers, dice.uniform(0, LENGTH)))
        await until(lambda: _works(fleet, workers), "the new worker is ready")

    completed = await records(client, "completed")
    merges = fleet.ledger.times(f"merge-{ITEMS}")
    for flow_id in runs:
        assert completed[f"{flow_id}.2.0"] == 1, "a merge completes once"
        assert [completed[f"{flow_id}.1.{item}"] for item in range(ITEMS)] == [1] * ITEMS
        assert merges[f"{flow_id}.2.0"] >= 1
        assert (await client.flow(flow_id).status()).state is State.COMPLETED
    assert not fleet.ledger.entries("merge-wrong"), "each merge gets all, in order"
    assert not await records(client, "dead", "cancelled")
    assert not [
        key async for key in client.redis.scan_iter("rota:flow:*") if await client.redis.pttl(key) < 0
    ]
    again = sum(merges[f"{flow_id}.2.0"] - 1 for flow_id in runs)
    lost = sum((await records(client, "lost")).values())
    print(  # noqa: T201 - the summary of the long suite
        f"{RUNS} runs of {ITEMS} items, {RUNS} workers killed: {lost} executions lost with them, {again} merges "
        f"killed and started again, 0 lost, 0 completed twice; {time.monotonic() - started:.0f} s"
    )


async def _works(fleet: Fleet, workers: list[Worker]) -> bool:
    return all(worker.says("worker.ready") for worker in workers)
