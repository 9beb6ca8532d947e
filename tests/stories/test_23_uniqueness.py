"""Uniqueness: one job of a key at a time, one in a period, or the last of many."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from rota import Client, JobExists, Run, debounce, job, throttle, unique


@job(unique=unique(key="user"))
async def rebuild(run: Run, user: str) -> None:
    run.deps.append(user)


@job(unique=debounce(0.3, key="document"))
async def save(run: Run, document: str, text: str) -> None:
    run.deps.append((document, text))


@job(unique=throttle(60, key="user"))
async def remind(run: Run, user: str) -> str:
    return f"reminded {user}"


@asynccontextmanager
async def lifespan() -> AsyncIterator[list[object]]:
    yield []


async def test_a_thousand_enqueues_of_one_key_run_once(client: Client, deps: list[object]) -> None:
    await client.pause("default")
    handles = await asyncio.gather(*(client.enqueue(rebuild, "ann") for _ in range(1000)))
    assert len({handle.id for handle in handles}) == 1
    assert [handle.created for handle in handles].count(True) == 1
    await client.resume("default")
    await handles[0].result(timeout=10)
    assert deps == ["ann"]
    assert (await client.enqueue(rebuild, "ann")).created


async def test_the_caller_may_want_to_know_of_it(client: Client) -> None:
    first = await client.enqueue(rebuild.options(delay=60), "bob")
    with pytest.raises(JobExists) as caught:
        await client.enqueue(rebuild.options(on_taken="refuse"), "bob")
    assert caught.value.id == first.id


async def test_the_last_one_wins_after_a_quiet_time(client: Client, deps: list[object]) -> None:
    for text in ("h", "he", "hel", "hello"):
        handle = await client.enqueue(save, "readme", text)
    await client.enqueue(save, "other", "x")
    await handle.result(timeout=10)
    assert ("readme", "hello") in deps
    assert len([one for one in deps if one[0] == "readme"]) == 1  # type: ignore[index]


async def test_the_first_one_wins_for_a_while(client: Client) -> None:
    first = await client.enqueue(remind, "ann")
    assert await first.result(timeout=10) == "reminded ann"
    second = await client.enqueue(remind, "ann")
    assert (second.id, second.created) == (first.id, False)


async def test_an_id_may_be_replaced_while_its_job_waits(client: Client, deps: list[object]) -> None:
    plan = rebuild.options(id="plan", delay=0.5)
    await client.enqueue(plan, "old")
    handle = await client.enqueue(plan.options(on_taken="replace"), "new")
    await handle.result(timeout=10)
    assert deps == ["new"]
