"""Pausing: a queue stands still for everybody, at once, and goes on where it was."""

import asyncio

from rota import Client, Run, State, job


@job
async def work(run: Run, seconds: float = 0) -> str:
    await asyncio.sleep(seconds)
    return "done"


async def test_a_paused_queue_takes_jobs_and_runs_none(client: Client) -> None:
    await client.pause("default")
    handle = await client.enqueue(work)
    await asyncio.sleep(0.3)
    assert (await handle.status()).state is State.WAITING
    assert await client.paused_since("default") is not None
    await client.resume("default")
    assert await handle.result(timeout=10) == "done"
    assert await client.paused_since("default") is None


async def test_what_runs_goes_on_to_its_end(client: Client) -> None:
    handle = await client.enqueue(work, 0.5)
    while (await handle.status()).state is not State.ACTIVE:
        await asyncio.sleep(0.01)
    await client.pause("default")
    assert await handle.result(timeout=10) == "done"
