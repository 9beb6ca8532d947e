"""Failures by cause: the dead letters of one bug are one group, to be brought back when the bug is fixed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from rota import Client, Run, job


@dataclass
class Code:
    """The code of the jobs, which a deploy fixes."""

    is_fixed: bool = False


@asynccontextmanager
async def lifespan() -> AsyncIterator[Code]:
    yield Code()


@job(queue="bills", max_attempts=1)
async def invoice(run: Run, order: int) -> int:
    if not run.deps.is_fixed:
        raise KeyError(f"order {order} of customer 'c-{order}' has no address")
    return order


@job(queue="bills", max_attempts=1)
async def remind(run: Run) -> None:
    raise TimeoutError("the printer does not answer")


async def test_one_cause_is_found_fixed_and_brought_back(client: Client, deps: Code) -> None:
    invoices = await client.enqueue_many(invoice.call(order) for order in (17, 18, 19))
    reminder = await client.enqueue(remind)
    for job_id in (reminder.id, *(one.id for one in invoices)):
        await client.wait("bills", job_id, timeout=10)

    # `rota failures` shows this: numbers, ids and quoted words in a message do not make another cause.
    many, one = await client.failures("bills")
    assert (many.count, many.tasks, many.last_hour) == (3, ("invoice",), 3)
    assert (one.count, one.ids) == (1, (reminder.id,))
    assert "has no address" in many.error.message

    # The code is fixed and deployed. `rota retry bills --cause …` brings back the letters of that cause.
    deps.is_fixed = True
    assert await client.retry_dead("bills", cause=many.cause) == 3
    assert [await handle.result(timeout=10) for handle in invoices] == [17, 18, 19]

    # What is not worth it is deleted: `rota purge bills --cause …`.
    assert await client.purge_dead("bills", cause=one.cause) == 1
    assert await client.failures("bills") == []
