"""Cancelling: a waiting job is taken away at once, a running one within a second, a finished one not at all."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from rota import Client, JobCancelled, Run, State, job
from tests.waiting import until_in


@job
async def sweep(run: Run) -> None:
    try:
        await asyncio.sleep(60)
    finally:
        run.deps.append("put the broom away")


@job
async def rest(run: Run) -> str:
    return "rested"


@asynccontextmanager
async def lifespan() -> AsyncIterator[list[str]]:
    yield []


async def test_a_job_that_waits_is_cancelled_at_once(client: Client) -> None:
    handle = await client.enqueue(sweep.options(delay=3600))
    assert await handle.cancel() == "cancelled"
    with pytest.raises(JobCancelled):
        await handle.result(timeout=10)


async def test_a_job_that_runs_is_stopped_and_may_tidy_up(client: Client, deps: list[str]) -> None:
    handle = await client.enqueue(sweep)
    await until_in(handle, State.ACTIVE)
    assert await handle.cancel() == "requested"
    with pytest.raises(JobCancelled):
        await handle.result(timeout=10)
    assert deps == ["put the broom away"]


async def test_a_job_that_is_over_stays_as_it_is(client: Client) -> None:
    handle = await client.enqueue(rest)
    await handle.result(timeout=10)
    assert await handle.cancel() == "finished"
    assert (await handle.status()).state is State.COMPLETED
