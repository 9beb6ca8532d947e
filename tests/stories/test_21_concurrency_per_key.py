"""Concurrency per key: only a number of each customer's jobs run at once, over all processes."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rota import Client, Run, at_most, job


class Meter:
    """How many run, and ran, at once."""

    def __init__(self) -> None:
        self.now: Counter[str] = Counter()
        self.most: Counter[str] = Counter()

    async def measure(self, key: str) -> None:
        self.now[key] += 1
        self.most[key] = max(self.most[key], self.now[key])
        await asyncio.sleep(0.05)
        self.now[key] -= 1


@job(queue="sync", concurrency=at_most(2, key="customer"))
async def sync(run: Run, customer: str) -> None:
    await run.deps.measure(customer)


@job(queue="sync", concurrency=at_most(1))
async def tidy(run: Run) -> None:
    await run.deps.measure("tidy")


@asynccontextmanager
async def lifespan() -> AsyncIterator[Meter]:
    yield Meter()


async def test_each_customer_has_two_at_a_time(client: Client, deps: Meter) -> None:
    calls = [sync.call(customer) for _ in range(6) for customer in ("ann", "bob")]
    for handle in await client.enqueue_many(calls):
        await handle.result(timeout=20)
    assert deps.most == {"ann": 2, "bob": 2}


async def test_without_a_key_the_job_as_a_whole_is_meant(client: Client, deps: Meter) -> None:
    for handle in await client.enqueue_many([tidy.call() for _ in range(5)]):
        await handle.result(timeout=20)
    assert deps.most["tidy"] == 1
