"""Dead letters: a job that failed for good keeps its payload and its last error, and can be brought back."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from rota import Client, JobNotFound, Run, State, job


class PrinterBroken(Exception):
    pass


class Printer:
    """A printer that works once it has been repaired."""

    works = False


@asynccontextmanager
async def lifespan() -> AsyncIterator[Printer]:
    yield Printer()


@job(queue="office", max_attempts=1)
async def print_out(run: Run, page: int) -> int:
    printer: Printer = run.deps
    if not printer.works:
        raise PrinterBroken(f"page {page} is stuck")
    return page


@job(queue="office", max_attempts=1)
async def staple(run: Run) -> None:
    raise PrinterBroken("no staples")


async def test_a_dead_letter_keeps_everything(client: Client) -> None:
    handle = await client.enqueue(print_out, page=7)
    await client.wait("office", handle.id, timeout=10)
    (letter,) = await client.jobs("office", State.DEAD)
    assert letter.id == handle.id
    assert (letter.task, letter.payload, letter.attempts) == ("print_out", {"page": 7}, 1)
    assert letter.error is not None
    assert letter.error.message == "page 7 is stuck"


async def test_one_is_brought_back_when_the_cause_is_removed(client: Client, deps: Printer) -> None:
    handle = await client.enqueue(print_out, page=7)
    await client.wait("office", handle.id, timeout=10)
    deps.works = True
    again = await client.retry("office", handle.id)
    assert await again.result(timeout=10) == 7
    assert await client.jobs("office", State.DEAD) == []


async def test_many_are_brought_back_by_what_they_are(client: Client, deps: Printer) -> None:
    pages = await client.enqueue_many(print_out.call(page) for page in (1, 2, 3))
    other = await client.enqueue(staple)
    for job_id in [other.id, *(page.id for page in pages)]:
        await client.wait("office", job_id, timeout=10)
    deps.works = True
    assert await client.retry_dead("office", task="print_out") == 3
    assert [await handle.result(timeout=10) for handle in pages] == [1, 2, 3]
    assert [letter.id for letter in await client.jobs("office", State.DEAD)] == [other.id]


async def test_only_a_dead_letter_can_be_brought_back(client: Client) -> None:
    with pytest.raises(JobNotFound):
        await client.retry("office", "no-such-letter")
