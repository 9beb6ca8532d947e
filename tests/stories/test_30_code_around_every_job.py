"""A jobs package says what runs around all of its jobs: `middleware`, `subscribers` and `senders`, lists of it.

Middleware is called around each attempt, the first of the list outermost; a subscriber is told of each event after it
became true, and cannot change anything; a sender is around what jobs enqueue. This file is such a package.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

import rota
from rota import (
    CallNext,
    Cancel,
    Client,
    Event,
    JobCancelled,
    Middleware,
    Outgoing,
    Run,
    Sender,
    Subscriber,
    job,
)
from rota.settings.load import load
from tests.servers import RedisServer

around: list[str] = []
told: list[Event] = []


async def outer(run: Run, call_next: CallNext) -> Any:
    around.append(f"outer {run.job}")
    try:
        return await call_next(run)
    finally:
        around.append(f"out {run.job}")


async def inner(run: Run, call_next: CallNext) -> Any:
    around.append("inner")
    if run.headers.get("tenant") == "closed":
        raise Cancel("the tenant has left")
    result = await call_next(run)
    return result.upper() if isinstance(result, str) else result


class Remembering:
    """A subscriber may be an object, and say which events it wants."""

    def wants(self, event_type: str) -> bool:
        return event_type != "started"

    def __call__(self, event: Event) -> None:
        told.append(event)


def failing(event: Event) -> None:
    raise RuntimeError("the chat is down")


@contextmanager
def of_a_job(jobs: Sequence[Outgoing]) -> Iterator[None]:
    """Let what jobs enqueue say so, in a header."""
    for one in jobs:
        one.headers["by"] = "a job"
    yield


middleware: list[Middleware] = [outer, inner]
subscribers: list[Subscriber] = [failing, Remembering()]
senders: list[Sender] = [of_a_job]


@job
async def greet(run: Run, name: str) -> str:
    around.append("greet")
    return f"Hello, {name}"


@job
async def tell_by(run: Run) -> str:
    return run.headers.get("by", "nobody")


@job
async def ask(run: Run) -> str:
    handle = await run.enqueue(tell_by)
    return await handle.result(timeout=20)


@job(process=True)
def greet_in_a_process(run: Run, name: str) -> str:
    return f"Hello, {name}"


@pytest.fixture(autouse=True)
def _empty() -> None:
    around.clear()
    told.clear()


async def test_middleware_is_around_each_attempt_in_its_order(client: Client) -> None:
    handle = await client.enqueue(greet, "Ann")
    assert await handle.result(timeout=20) == "HELLO, ANN"
    assert around == ["outer greet", "inner", "greet", "out greet"]


async def test_it_is_around_jobs_in_child_processes_too(client: Client) -> None:
    await (await client.enqueue(greet_in_a_process, "Ann")).result(timeout=30)
    assert around == ["outer greet_in_a_process", "inner", "out greet_in_a_process"]


async def test_it_may_choose_the_outcome_by_a_signal(client: Client) -> None:
    with rota.headers(tenant="closed"):
        handle = await client.enqueue(greet, "Ann")
    with pytest.raises(JobCancelled, match="the tenant has left"):
        await handle.result(timeout=20)
    assert around == ["outer greet", "inner", "out greet"]


async def test_a_sender_is_around_what_jobs_enqueue(client: Client) -> None:
    assert await (await client.enqueue(ask)).result(timeout=20) == "A JOB"
    assert await (await client.enqueue(tell_by)).result(timeout=20) == "NOBODY"


async def test_an_application_has_senders_of_its_own(client: Client, server: RedisServer) -> None:
    settings = load({"REDIS_URL": server.url})
    async with await rota.connect(settings, senders=[of_a_job]) as own:
        assert await (await own.enqueue(tell_by)).result(timeout=20) == "A JOB"

    def enqueue() -> str:
        with rota.connect_sync(settings, senders=[of_a_job]) as own:
            return own.enqueue(tell_by).result(timeout=20)

    assert await asyncio.to_thread(enqueue) == "A JOB"


async def test_a_subscriber_that_fails_costs_neither_the_job_nor_the_others(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    handle = await client.enqueue(greet, "Ann")
    await handle.result(timeout=20)
    assert [(event.type, event.id) for event in told] == [("completed", handle.id)]
    failures = [record for record in caplog.records if record.getMessage() == "subscriber.failed"]
    assert [vars(record)["event_type"] for record in failures] == ["started", "completed"]
    assert all(record.exc_info for record in failures)
