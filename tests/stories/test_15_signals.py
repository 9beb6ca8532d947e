"""Signals: a handler chooses the outcome of its attempt by raising one, on the loop, in a thread or in a process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from rota import Cancel, Client, EventType, JobCancelled, JobFailed, Retry, Run, Snooze, State, fixed, job
from tests.streams import events_in


class NotYet(Exception):
    """An error that passes by itself."""


@job
def fetch_report(run: Run) -> str:
    """Raise signals in a plain function, which runs in a thread."""
    if run.deps.ready_after > run.snoozes:
        if run.snoozes == 3:
            raise Cancel("there is no report today")
        raise Snooze(timedelta(milliseconds=20))
    return f"fetched after {run.snoozes} snoozes, at attempt {run.attempt}"


@job(process=True, max_attempts=3, backoff=fixed(3600))
def render(run: Run) -> int:
    """Retry from a process of its own, with a delay that wins over the backoff of an hour."""
    if run.attempt < 3:
        raise Retry(0.02, "the licence is in use")
    return run.attempt


@job(process=True)
def resize(run: Run, image: str) -> None:
    raise Cancel(f"{image} is gone")


@job(max_attempts=3, backoff=fixed(0.02), retry_on=(NotYet,))
async def poll(run: Run, broken: bool) -> int:
    """Retry only errors that pass by themselves."""
    if broken:
        raise ValueError("no such feed")
    if run.attempt < 3:
        raise NotYet("nothing new")
    return run.attempt


@job(process=True, max_attempts=3, backoff=fixed(0.02), give_up_on=(LookupError,))
def convert(run: Run) -> None:
    """Give up in a child process too, and for subclasses of the error."""
    raise KeyError("no such format")


@job(max_attempts=2, backoff=fixed(0.02))
async def miscount(run: Run) -> None:
    raise Snooze(-60)


class Reports:
    """A source of reports, which has one after `ready_after` visits."""

    ready_after = 2


@asynccontextmanager
async def lifespan() -> AsyncIterator[Reports]:
    yield Reports()


async def test_a_snooze_puts_a_job_off_and_spends_no_attempt(client: Client) -> None:
    handle = await client.enqueue(fetch_report)
    assert await handle.result(timeout=10) == "fetched after 2 snoozes, at attempt 1"


async def test_a_job_that_has_snoozed_enough_may_say_so(client: Client, deps: Reports) -> None:
    deps.ready_after = 99
    handle = await client.enqueue(fetch_report)
    with pytest.raises(JobCancelled, match="there is no report today"):
        await handle.result(timeout=10)


async def test_every_snooze_is_on_record(client: Client, deps: Reports) -> None:
    handle = await client.enqueue(fetch_report)
    await handle.result(timeout=10)
    events = [event.type for event in events_in(await client.redis.xrange("rota:events"))]
    assert events.count(EventType.SNOOZED) == 2


async def test_a_retry_with_a_delay_beats_the_back_off_from_a_process_too(client: Client) -> None:
    handle = await client.enqueue(render)
    assert await handle.result(timeout=30) == 3


async def test_a_cancel_ends_the_job_with_its_reason_from_a_process_too(client: Client) -> None:
    handle = await client.enqueue(resize, image="cat.png")
    with pytest.raises(JobCancelled, match=r"cat\.png is gone"):
        await handle.result(timeout=30)
    assert (await handle.status()).reason == "cat.png is gone"


async def test_only_the_errors_that_a_job_names_are_tried_again(client: Client) -> None:
    assert await (await client.enqueue(poll, broken=False)).result(timeout=10) == 3
    info = await client.wait("default", (await client.enqueue(poll, broken=True)).id, timeout=10)
    assert (info.state, info.attempts) == (State.DEAD, 1)


async def test_or_all_but_those_it_gives_up_on(client: Client) -> None:
    info = await client.wait("default", (await client.enqueue(convert)).id, timeout=30)
    assert (info.state, info.attempts) == (State.DEAD, 1)


async def test_a_delay_that_cannot_be_is_an_error_of_the_handler_and_the_job_is_kept(client: Client) -> None:
    handle = await client.enqueue(miscount)
    with pytest.raises(JobFailed, match="Snooze got the delay -60; it takes seconds from 0 to ten years"):
        await handle.result(timeout=10)
    await client.retry("default", handle.id)
