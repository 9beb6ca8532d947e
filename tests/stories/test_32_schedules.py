"""Schedules: `@every` lets a job run by the clock, once a tick over all workers."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from rota import Client, Run, UnknownSchedule, every, job
from tests.servers import RedisServer
from tests.waiting import until
from tests.workers import Works, leading

GREETED: list[str] = []
STARTED: list[str] = []


@every("1s", args={"name": "Ann"}, name="greeting")
@job
async def greet(run: Run, name: str) -> None:
    GREETED.append(f"{name} {run.id}")


@every("1s")
@job
async def slow(run: Run) -> None:
    STARTED.append(run.id)
    await asyncio.sleep(2.5)


@every("0 4 * * *", tz="Europe/Berlin", name="nightly")
@job
async def count(run: Run) -> str:
    return "counted"


@pytest.fixture(autouse=True)
async def leader(works: Works, server: RedisServer) -> AsyncIterator[None]:
    """Let one of the workers lead, and plan the ticks."""
    async with leading(server.url, __name__):
        yield


async def test_each_tick_runs_once(client: Client) -> None:
    await until(lambda: len(GREETED) > 2)
    assert len(GREETED) == len(set(GREETED))
    assert all(one.startswith("Ann cron:greeting:") for one in GREETED)


async def test_a_tick_is_left_out_while_the_one_before_still_runs(client: Client) -> None:
    def overlapped() -> bool:
        return len(STARTED) > 1

    await until(overlapped)
    first, second = (int(one.rpartition(":")[2]) for one in STARTED[:2])
    assert second - first >= 3000


async def test_schedules_are_seen_paused_and_run_by_hand(client: Client) -> None:
    async def planned() -> bool:
        return any(one.next for one in await client.schedules() if one.name == "nightly")

    await until(planned)
    await client.pause_schedule("nightly")
    (nightly,) = [one for one in await client.schedules() if one.name == "nightly"]
    assert (nightly.job, nightly.words) == ("default:count", "At 04:00 every day, Europe/Berlin")
    assert (nightly.next, nightly.paused_since is None) == (None, False)
    await client.resume_schedule("nightly")
    handle = await client.run_schedule("nightly")
    assert await handle.result(timeout=10) == "counted"
    with pytest.raises(UnknownSchedule, match="nightly"):
        await client.run_schedule("nightli")
