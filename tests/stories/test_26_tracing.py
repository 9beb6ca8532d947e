"""Tracing: a request, the jobs that it enqueues and their errors are one trace, and a failure is reported once."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import sentry_sdk

from rota import Client, Run, fixed, job
from tests.envelopes import DSN, Captured, forgotten
from tests.waiting import until


@job
async def order(run: Run, card: str) -> None:
    charges: asyncio.Queue[Any] = run.deps
    client: Client = await charges.get()
    await client.enqueue(charge, card)


@job(queue="billing", max_attempts=2, backoff=fixed(0, jitter=0))
async def charge(run: Run, card: str) -> None:
    sentry_sdk.set_tag("bank", "north")
    raise ConnectionError(f"attempt {run.attempt}: the bank did not take {card}")


@asynccontextmanager
async def lifespan() -> AsyncIterator[asyncio.Queue[Any]]:
    yield asyncio.Queue()


@pytest.fixture(autouse=True)
def sentry() -> Iterator[Captured]:
    """Set up a Sentry that keeps what it gets; a real worker sets it up by SENTRY_DSN."""
    with forgotten():
        sentry_sdk.init(DSN, transport=Captured, traces_sample_rate=1)
        transport = sentry_sdk.get_client().transport
        assert isinstance(transport, Captured)
        yield transport


async def one_error(sentry: Captured) -> dict[str, Any]:
    await until(lambda: sentry.errors)
    (error,) = sentry.errors
    return error


async def test_from_the_request_to_the_error_of_a_job_s_job_it_is_one_trace(
    client: Client, deps: asyncio.Queue[Any], sentry: Captured
) -> None:
    deps.put_nowait(client)
    with sentry_sdk.start_transaction(op="http.server", name="POST /orders") as request:
        await client.enqueue(order, "4000-0000-0000-0002")
    error = await one_error(sentry)
    traces = {
        one["transaction"]: one["contexts"]["trace"]["trace_id"] for one in (*sentry.transactions, error)
    }
    assert traces == dict.fromkeys(["POST /orders", "default:order", "billing:charge"], request.trace_id)


async def test_it_is_reported_once_when_its_attempts_are_spent(client: Client, sentry: Captured) -> None:
    await client.enqueue(charge, "4000-0000-0000-0002")
    error = await one_error(sentry)
    assert error["exception"]["values"][0]["value"].startswith("attempt 2: ")
    crumbs = [one["message"] for one in error["breadcrumbs"]["values"] if one["category"] == "rota.retried"]
    assert [crumb.partition(": the")[0] for crumb in crumbs] == ["attempt 1: ConnectionError: attempt 1"]
    wanted = {"queue": "billing", "task": "charge", "reason": "failed", "bank": "north"}
    assert wanted.items() <= error["tags"].items()
