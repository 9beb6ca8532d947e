"""One round of one system: enqueue, no-op jobs, jobs of 5 ms, and the pick-up on an idle queue."""

import asyncio
import random
import time

from benchmarks import ledger, over_http
from benchmarks.bench import Bench, set_up
from benchmarks.figures import Counters, completion_rate, percentile
from benchmarks.producers import Producer
from benchmarks.sizes import Sizes
from benchmarks.systems import System

#: The time between two jobs on an idle queue, in seconds.
GAPS = (0.01, 0.05)
#: A frozen worker of rota takes its loop for blocked: the time for its watch to see the loop alive again, in seconds.
SETTLE = 0.3


async def measure(system: System, sizes: Sizes) -> dict[str, float]:
    """Measure every figure of one round. Raises LedgerMismatch if a job was lost or ran twice."""
    async with set_up(system) as bench:
        figures = await _no_ops(bench, sizes)
        figures |= await _naps(bench, sizes)
        figures |= await _pickups(bench, sizes)
        ledger.check(await bench.worker.stop(), bench.enqueued)
    if system.own:
        figures |= await over_http.measure(sizes)
    return figures


async def _no_ops(bench: Bench, sizes: Sizes) -> dict[str, float]:
    """Enqueue rates into a frozen worker's queue, and then what the worker makes of the backlog."""
    await bench.worker.freeze()
    total = bench.system.jobs(sizes)
    count = min(sizes.enqueues, total // 3)
    ids, one_per_s = await _enqueue_singly(bench, count)
    began = time.perf_counter()
    ids += await bench.producer.many("noop", bench.numbers(count))
    many_per_s = count / (time.perf_counter() - began)
    ids += await bench.producer.fill("noop", bench.numbers(total - 2 * count))
    rate, cpu, did = await work_off(bench, total)
    await bench.results(ids)
    return {
        "noop_per_s": rate,
        "worker_us": cpu / total * 1e6,
        "redis_us": did.cpu / total * 1e6,
        "commands": did.commands / total,
        "round_trips": did.reads / total,
        "enqueue_one_per_s": one_per_s,
        "enqueue_many_per_s": many_per_s,
    }


async def _enqueue_singly(bench: Bench, count: int) -> tuple[list[str], float]:
    began = time.perf_counter()
    ids = [await bench.producer.one("noop", number) for number in bench.numbers(count)]
    return ids, count / (time.perf_counter() - began)


async def work_off(bench: Bench, total: int) -> tuple[float, float, Counters]:
    """Thaw the worker: jobs a second, its CPU seconds, and what the server did for it."""
    before, cpu = await bench.server.counters(), bench.worker.cpu()
    thawed = (time.perf_counter(), total)
    bench.worker.thaw()
    looks = await bench.drain()
    cpu = bench.worker.cpu() - cpu
    after = await bench.server.counters()
    # The driver's own requests: one for each look, and the one that read `before`.
    return completion_rate([thawed, *looks], total), cpu, after.since(before, own=len(looks) + 1)


async def _naps(bench: Bench, sizes: Sizes) -> dict[str, float]:
    await bench.worker.freeze()
    total = bench.system.naps(sizes)
    ids = await bench.producer.fill("nap", bench.numbers(total))
    rate, _, _ = await work_off(bench, total)
    await bench.results(ids)
    return {"nap_per_s": rate}


async def _pickups(bench: Bench, sizes: Sizes) -> dict[str, float]:
    await asyncio.sleep(SETTLE)
    stock = await _pickup(bench, bench.stock, sizes.singles)
    figures = {"stock_pickup_p50_ms": percentile(stock, 0.5), "stock_pickup_p95_ms": percentile(stock, 0.95)}
    if bench.producer is not bench.stock:
        own = await _pickup(bench, bench.producer, sizes.singles)
        figures |= {"own_pickup_p50_ms": percentile(own, 0.5), "own_pickup_p95_ms": percentile(own, 0.95)}
    return figures


async def _pickup(bench: Bench, producer: Producer, count: int) -> list[float]:
    """Milliseconds from the enqueue call to the job's body, of jobs at random gaps; the same gaps for everyone."""
    gaps = random.Random(count)
    called, ids = [], []
    for number in bench.numbers(count):
        await asyncio.sleep(gaps.uniform(*GAPS))
        called.append(time.monotonic_ns())
        ids.append(await producer.one("stamp", number))
    await bench.drain()
    bodies = await bench.results(ids)
    return [(body - call) / 1e6 for call, body in zip(called, bodies, strict=True)]
