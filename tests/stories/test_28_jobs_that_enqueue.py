"""A job enqueues others: `run.enqueue`, or `job.enqueue` for short, by the worker's own connection.

A plain function writes `run.enqueue_sync`, or `job.enqueue_sync`. What is enqueued has the job's headers.
"""

import asyncio
from typing import Any

import pytest

import rota
from rota import Client, Handle, Run, SyncHandle, job, pipeline
from rota.settings.load import load
from tests.servers import RedisServer


@job
async def greet(run: Run, name: str) -> str:
    return f"{run.headers.get('tenant', 'nobody')}: Hello, {name}"


@job(queue="text")
async def shout(run: Run, text: str) -> str:
    return text.upper()


greet_loudly = pipeline(greet, shout)


@job
async def greet_all(run: Run, names: list[str]) -> list[str]:
    first, *others = names
    handles: list[Handle[str]] = [await run.enqueue(greet.options(priority=3), name=first)]
    handles += [await greet.enqueue(name) for name in others]
    loud = await run.enqueue(greet_loudly, "you")
    return [await one.result(timeout=20) for one in handles] + [await loud.result(timeout=20)]


@job
def greet_all_from_a_thread(run: Run, names: list[str]) -> list[str]:
    first, *others = names
    handles: list[SyncHandle[str]] = [run.enqueue_sync(greet, name=first)]
    handles += [greet.enqueue_sync(name) for name in others]
    loud = greet_loudly.enqueue_sync("you")
    return [one.result(timeout=20) for one in handles] + [loud.result(timeout=20)]


@job
async def mistake(run: Run) -> None:
    run.enqueue_sync(greet, "Ann")


@job(process=True, max_attempts=1)
def from_a_process(run: Run, url: str) -> str:
    with pytest.raises(RuntimeError, match=r"rota\.connect_sync\(\)"):
        run.enqueue_sync(greet, "Ann")
    with rota.connect_sync(load({"REDIS_URL": url})):
        return greet.enqueue_sync("Ann").id


HELLOS = ["acme: Hello, Ann", "acme: Hello, Bob", "ACME: HELLO, YOU"]


@pytest.mark.parametrize("greeting", [greet_all, greet_all_from_a_thread])
async def test_what_a_job_enqueues_has_its_headers(client: Client, greeting: Any) -> None:
    with rota.headers(tenant="acme"):
        handle = await client.enqueue(greeting, ["Ann", "Bob"])
    assert await handle.result(timeout=30) == HELLOS


async def test_on_the_event_loop_a_job_does_not_block(client: Client) -> None:
    handle = await client.enqueue(mistake.options(max_attempts=1))
    with pytest.raises(rota.JobFailed, match=r"await rota\.connect"):
        await handle.result(timeout=20)


async def test_a_handler_in_a_child_process_connects_itself(client: Client, server: RedisServer) -> None:
    with rota.headers(tenant="acme"):
        handle = await client.enqueue(from_a_process, server.url)
    greeting = client.handle("default", await handle.result(timeout=30), greet)
    assert await greeting.result(timeout=20) == "acme: Hello, Ann"


async def test_in_an_application_a_job_finds_the_client_that_is_open_on_its_loop(
    server: RedisServer, client: Client
) -> None:
    with pytest.raises(
        RuntimeError, match=r"no client to enqueue greet with; open one with `await rota\.connect"
    ):
        await greet.enqueue("Ann")
    async with await rota.connect(load({"REDIS_URL": server.url})):
        assert await (await greet.enqueue("Ann")).result(timeout=20) == "nobody: Hello, Ann"
        with pytest.raises(RuntimeError, match="no client"):
            await asyncio.to_thread(asyncio.run, greet_loudly.enqueue("Ann"))
    with pytest.raises(RuntimeError, match="no client"):
        await greet.enqueue("Ann")


def test_plain_functions_find_the_client_that_was_made_last(server: RedisServer) -> None:
    with pytest.raises(
        RuntimeError, match=r"no client to enqueue greet-shout with; make one with rota\.connect_sync"
    ):
        greet_loudly.enqueue_sync("Ann")
    with rota.connect_sync(load({"REDIS_URL": server.url})):
        assert greet.enqueue_sync("Ann").created
    with pytest.raises(RuntimeError, match="no client"):
        greet.enqueue_sync("Ann")


def test_a_run_that_a_test_made_says_what_is_missing() -> None:
    with pytest.raises(RuntimeError, match=r"no worker behind this run to enqueue greet with.*bench\.run"):
        asyncio.run(Run(id="1", job="greet_all", queue="default").enqueue(greet, "Ann"))
