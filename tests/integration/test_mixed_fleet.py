"""arq's workers and ours on one queue, arq's client and ours in front of it: every job runs once, on either worker.

`MIXED_FLEET_JOBS` says how many jobs the large test runs; a sample by default.
"""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from arq.connections import ArqRedis
from arq.jobs import Job, JobStatus
from arq.worker import Retry, Worker

from rota import Run, job, job_deserializer, job_serializer
from rota.worker.worker import QueueWorker
from tests.integration.arq_holes.ledger import Ledger, ended, process
from tests.integration.arq_holes.service import client_for, service
from tests.integration.arq_holes.side_by_side import make, named
from tests.servers import RedisServer
from tests.waiting import until
from tests.workers import at_work

Ctx = dict[Any, Any]
QUEUE = "arq:queue:mixed"
PAIR: Any = {"job_serializer": job_serializer, "job_deserializer": job_deserializer}
JOBS = int(os.environ.get("MIXED_FLEET_JOBS", "1000"))


@pytest.fixture
def stock(redis: ArqRedis) -> ArqRedis:
    """Yield a stock client with our serializers."""
    redis.job_serializer, redis.job_deserializer = job_serializer, job_deserializer
    redis.default_queue_name = QUEUE
    return redis


class Book:
    """A record outside Redis: how often each number started and ended, and which kind of worker ran it."""

    def __init__(self) -> None:
        self.starts: Counter[int] = Counter()
        self.ends: Counter[int] = Counter()
        self.by: Counter[str] = Counter()

    def function(self, who: str) -> Any:
        async def count(ctx: Ctx, number: int) -> int:
            return await self.run(who, number)

        return named("count", count)

    async def run(self, who: str, number: int) -> int:
        self.starts[number] += 1
        self.by[who] += 1
        await asyncio.sleep(0.01)
        self.ends[number] += 1
        return number


def stock_worker(redis: ArqRedis, *functions: Any, **options: Any) -> Worker:
    options = {"queue_name": QUEUE, "poll_delay": 0.02, **PAIR, **options}
    return make(Worker, redis, functions, **options)


def our_worker(redis: ArqRedis, *functions: Any, **options: Any) -> Worker:
    return make(QueueWorker, redis, functions, queue_name=QUEUE, **PAIR, **options)


def batches(numbers: range, size: int) -> Iterator[range]:
    for start in range(0, len(numbers), size):
        yield numbers[start : start + size]


async def enqueue_from_both(stock: ArqRedis, numbers: range) -> None:
    """Enqueue every second batch through our client, the others through a stock client."""

    @job(queue="mixed")
    async def count(run: Run, number: int) -> int:
        return number

    client = client_for(stock)
    for turn, batch in enumerate(batches(numbers, 50)):
        if turn % 2:
            await client.enqueue_many([count.call(number=number) for number in batch])
        else:
            await asyncio.gather(*(stock.enqueue_job("count", number=number) for number in batch))


@pytest.mark.parametrize("ours", ["bare", "service"])
async def test_two_and_two_workers_run_every_job_exactly_once(stock: ArqRedis, ours: str) -> None:
    book = Book()

    @job(queue="mixed")
    async def count(run: Run, number: int) -> int:
        return await book.run("ours", number)

    theirs = [stock_worker(stock, book.function("stock")) for _ in range(2)]
    if ours == "bare":
        fleet = [our_worker(stock, book.function("ours"), lease=5, max_jobs=3) for _ in range(2)]
    else:
        fleet = [service(stock, count, lease=5, queue_concurrency=3) for _ in range(2)]
    numbers = range(JOBS)
    half = numbers[: JOBS // 2]
    await enqueue_from_both(stock, half)
    async with at_work(*theirs):
        # Ours are so much quicker that arq's might find nothing.
        await until(lambda: book.by["stock"] > 0)
        async with at_work(*fleet):
            await enqueue_from_both(stock, numbers[len(half) :])
            await until(lambda: len(book.ends) == JOBS, seconds=30 + JOBS / 50)
            await until(lambda: _is_empty(stock))
    assert set(book.starts.values()) == {1}
    assert set(book.ends.values()) == {1}
    assert sorted(book.ends) == list(numbers)
    assert set(book.by) == {"stock", "ours"}
    assert len(await stock.keys("arq:result:*")) == JOBS
    assert await stock.keys("arq:job:*") == []


async def test_a_retry_of_arqs_beside_ours_lands_when_it_was_asked_to(stock: ArqRedis) -> None:
    """Workers that look at the queue meanwhile leave the job where its holder has put it."""
    times: list[float] = []

    async def fickle(ctx: Ctx) -> str:
        times.append(time.time())
        if ctx["job_try"] == 1:
            await asyncio.sleep(0.3)
            raise Retry(0.5)
        return "done"

    async with at_work(stock_worker(stock, named("fickle", fickle))):
        found = await stock.enqueue_job("fickle")
        assert found is not None
        await until(lambda: len(times) == 1)
        async with at_work(our_worker(stock, named("fickle", fickle), lease=1)):
            other = await stock.enqueue_job("fickle", _job_try=2)
            assert other is not None
            assert await other.result(timeout=10, poll_delay=0.02) == "done"
            assert await found.result(timeout=10, poll_delay=0.02) == "done"
    first, last = times[0], times[-1]
    assert 0.7 < last - first < 6


async def test_jobs_that_a_stock_worker_holds_do_not_hide_fresh_ones(stock: ArqRedis) -> None:
    gate = asyncio.Event()
    held = 0

    async def hold(ctx: Ctx) -> None:
        nonlocal held
        held += 1
        await gate.wait()

    async def quick(ctx: Ctx) -> str:
        return "done"

    for _ in range(120):
        await stock.enqueue_job("hold")
    functions = (named("hold", hold), named("quick", quick))
    async with at_work(stock_worker(stock, *functions, max_jobs=120)):
        await until(lambda: held == 120)
        async with at_work(our_worker(stock, *functions, max_jobs=2)):
            fresh = await stock.enqueue_job("quick")
            assert fresh is not None
            assert await fresh.result(timeout=10, poll_delay=0.02) == "done"
        gate.set()
        await until(lambda: _is_empty(stock))
    assert held == 120


@pytest.mark.parametrize("holder", ["stock", "ours"])
async def test_either_client_can_look_at_and_abort_what_the_other_side_runs(
    stock: ArqRedis, holder: str
) -> None:
    entered = asyncio.Event()

    async def hold(ctx: Ctx) -> None:
        entered.set()
        await asyncio.sleep(30)

    @job(queue="mixed", name="hold")
    async def ours(run: Run) -> None:
        entered.set()
        await asyncio.sleep(30)

    client = client_for(stock)
    handle = await client.enqueue(ours)
    worker = (
        stock_worker(stock, named("hold", hold), allow_abort_jobs=True)
        if holder == "stock"
        else service(stock, ours)
    )
    async with at_work(worker):
        await asyncio.wait_for(entered.wait(), 10)
        assert await Job(handle.id, stock, QUEUE, job_deserializer).status() is JobStatus.in_progress
        assert (await handle.status()).state == "active"
        assert await handle.cancel() == "requested"
        await until(lambda: _is_empty(stock))
    assert await Job(handle.id, stock, QUEUE, job_deserializer).status() is JobStatus.complete
    assert (await handle.status()).state == "cancelled"


async def test_a_stock_worker_heals_what_a_killed_one_of_ours_left(
    stock: ArqRedis, server: RedisServer, tmp_path: Path
) -> None:
    ledger = Ledger(tmp_path / "ledger")
    found = await stock.enqueue_job("work", 30)
    assert found is not None
    ran = []

    async def work(ctx: Ctx, seconds: float) -> str:
        ran.append(ctx["job_try"])
        return "healed"

    with process("rota", server, QUEUE, ledger, lease=2) as victim:
        await ledger.reaches("start", 1)
        async with at_work(stock_worker(stock, named("work", work))):
            await asyncio.sleep(1)  # fifty polls
            assert ran == []  # it is held
            victim.send_signal(signal.SIGKILL)
            await ended(victim)
            assert await found.result(timeout=10, poll_delay=0.02) == "healed"
    assert ran == [2]


async def test_ours_forgets_what_a_stock_worker_healed(
    stock: ArqRedis, server: RedisServer, tmp_path: Path
) -> None:
    """The dead worker's claim leaves nothing behind, and the id can be used again."""
    ledger = Ledger(tmp_path / "ledger")
    await stock.enqueue_job("work", 30, _job_id="mine")
    ran = []

    async def work(ctx: Ctx, seconds: float) -> None:
        ran.append(ctx["job_id"])

    with process("rota", server, QUEUE, ledger, lease=1) as victim:
        await ledger.reaches("start", 1)
        victim.send_signal(signal.SIGKILL)
        await ended(victim)
    async with at_work(stock_worker(stock, named("work", work))):
        await until(lambda: ran == ["mine"])
        await until(lambda: _is_empty(stock))
    await stock.delete("arq:result:mine")
    async with at_work(our_worker(stock, named("work", work), lease=1)):
        await stock.enqueue_job("work", 0, _job_id="mine")
        await until(lambda: ran == ["mine", "mine"])
        await until(lambda: _is_empty(stock))
        await stock.enqueue_job("work", 0, _job_id="other")
        await until(lambda: len(ran) == 3)
        await until(lambda: _left(stock))


async def _left(redis: ArqRedis) -> bool:
    return not await redis.exists(f"{QUEUE}:runs", f"{QUEUE}:active")


async def _is_empty(redis: ArqRedis) -> bool:
    return not await redis.exists(QUEUE)
