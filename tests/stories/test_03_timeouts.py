"""Timeouts: an attempt that takes too long is stopped, and tried again like any failure."""

import asyncio

from rota import Client, Run, State, fixed, job


@job(timeout=0.2, max_attempts=3, backoff=fixed(0.05))
async def fetch(run: Run, slow_attempts: int) -> int:
    await asyncio.sleep(60 if run.attempt <= slow_attempts else 0)
    return run.attempt


async def test_an_attempt_that_takes_too_long_is_stopped_and_tried_again(client: Client) -> None:
    handle = await client.enqueue(fetch, slow_attempts=1)
    assert await handle.result(timeout=10) == 2


async def test_a_job_that_is_always_too_slow_dies_of_it(client: Client) -> None:
    handle = await client.enqueue(fetch, slow_attempts=99)
    info = await client.wait(handle.queue, handle.id, timeout=10)
    assert (info.state, info.reason, info.attempts) == (State.DEAD, "timeout", 3)
    assert "longer than 0.2 s" in str(info.error)


async def test_one_enqueue_may_have_more_time(client: Client) -> None:
    handle = await client.enqueue(fetch.options(timeout=120), slow_attempts=1)
    await asyncio.sleep(0.5)  # longer than the job's own timeout
    assert (await handle.status()).state is State.ACTIVE
    assert await handle.cancel() == "requested"
