"""Rate limits: how many jobs start in a time, over all processes, and counted by what a payload says."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from rota import Client, Run, State, job, per_minute, per_second
from tests.waiting import until_job


@job(queue="mail")
async def greet(run: Run) -> float:
    return time.monotonic()


@job(queue="api", limit=per_second(10))
async def ask(run: Run, number: int) -> float:
    return time.monotonic()


@job(queue="api", limit=per_minute(1, key="tenant"))
async def report(run: Run, tenant: str) -> str:
    return f"report for {tenant}"


@pytest.fixture
def variables() -> dict[str, str]:
    """Limit the queue `mail` to five starts a second, whatever its jobs are."""
    return {"QUEUES__MAIL__RATE_LIMIT": "5/1s"}


async def test_a_queue_keeps_the_rate_that_its_variable_says(client: Client) -> None:
    handles = [await client.enqueue(greet) for _ in range(8)]
    starts = sorted([await handle.result(timeout=20) for handle in handles])
    # Seven turns of a fifth of a second; the last one may be early, or late, by what the machine needs.
    assert starts[-1] - starts[0] > 7 / 5 * 0.9


async def test_a_job_keeps_its_own(client: Client) -> None:
    handles = await client.enqueue_many([ask.call(number) for number in range(12)])
    starts = [await handle.result(timeout=20) for handle in handles]
    assert starts == sorted(starts)
    assert starts[-1] - starts[0] > 11 / 10 * 0.9


async def test_one_tenant_s_limit_is_none_of_the_others_business(client: Client) -> None:
    handles = [await client.enqueue(report, tenant) for tenant in ("ann", "ann", "bob", "eve")]
    for index, tenant in ((0, "ann"), (2, "bob"), (3, "eve")):
        assert await handles[index].result(timeout=10) == f"report for {tenant}"
    second = await handles[1].status()
    assert (second.state, second.attempts) == (State.WAITING, 0)
    assert second.due_at is not None
    assert await handles[1].cancel() == "cancelled"


async def test_a_limit_holds_for_a_job_that_was_enqueued_by_its_name_alone(client: Client) -> None:
    first = await client.enqueue_by_name("api:report", {"tenant": "zoe"})
    assert await first.result(timeout=10) == "report for zoe"
    second = await client.enqueue_by_name("api:report", {"tenant": "zoe"})
    # A worker finds out that Zoe's turn is in a minute, and the job waits for it.
    soon = datetime.now(UTC) + timedelta(seconds=30)
    info = await until_job(second, lambda info: info.due_at and info.due_at > soon)
    assert (info.state, info.attempts) == (State.WAITING, 0)
    await second.cancel()
