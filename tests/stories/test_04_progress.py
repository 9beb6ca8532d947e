"""Progress: `run.progress(50, "half of it")` is seen from outside while the job runs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rota import Client, Run, State, job
from tests.waiting import until_job


@job
async def bake(run: Run) -> str:
    timer: asyncio.Event = run.deps
    run.progress(50, "in the oven")
    await timer.wait()
    return "bread"


@asynccontextmanager
async def lifespan() -> AsyncIterator[asyncio.Event]:
    yield asyncio.Event()


async def test_progress_is_seen_while_the_job_runs(client: Client, deps: asyncio.Event) -> None:
    handle = await client.enqueue(bake)
    info = await until_job(handle, lambda info: info.percent is not None)
    assert (info.state, info.percent, info.message) == (State.ACTIVE, 50, "in the oven")
    deps.set()
    assert await handle.result(timeout=10) == "bread"
    assert (await handle.status()).percent == 100


async def test_a_percentage_stays_within_its_bounds() -> None:
    heard: list[tuple[float, str]] = []
    run = Run(id="1", job="bake", queue="default", report=lambda *report: heard.append(report))
    run.progress(140, "overdone")
    assert heard == [(100, "overdone")]
