"""Pausing: no worker claims from a paused queue, at once, and after a resume its jobs go on."""

import asyncio

from rota import Client, Run, State, job
from tests.waiting import until_in


@job
async def work(run: Run, seconds: float = 0) -> str:
    await asyncio.sleep(seconds)
    return "done"


async def test_a_paused_queue_takes_jobs_and_runs_none(client: Client) -> None:
    await client.pause("default")
    handle = await client.enqueue(work)
    await asyncio.sleep(0.3)  # a hundred times what a pick-up takes
    assert (await handle.status()).state is State.WAITING
    assert await client.paused_since("default") is not None
    await client.resume("default")
    assert await handle.result(timeout=10) == "done"
    assert await client.paused_since("default") is None


async def test_what_runs_goes_on_to_its_end(client: Client) -> None:
    handle = await client.enqueue(work, 0.5)
    await until_in(handle, State.ACTIVE)
    await client.pause("default")
    assert await handle.result(timeout=10) == "done"
