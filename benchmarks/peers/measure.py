"""One round of one system, and what is measured once: idle workers, and the bytes of jobs."""

import asyncio
import random
from collections.abc import Sequence

from benchmarks.figures import Counters, percentile, steady_rate
from benchmarks.monitor import Monitor
from benchmarks.peers.bench import SETTLE, Bench, rate, set_up
from benchmarks.peers.catalogue import Peer
from benchmarks.peers.sizes import PeerSizes
from benchmarks.rounds import GAPS
from benchmarks.rounds import SETTLE as THAWED
from rota.telemetry.history.sender import EVERY

#: The time from the warm-up until workers are idle, in seconds: rota tells its history within EVERY what it counted.
CALM = 1.5 + EVERY
FEW = 10


async def measure(peer: Peer, sizes: PeerSizes) -> dict[str, float]:
    """Measure every figure of one round. Raises LedgerMismatch if a job was lost or ran twice."""
    async with set_up(peer) as bench:
        async with bench.worker() as seconds:
            figures = {"start_s": seconds}
            figures |= await _no_ops(bench, sizes)
            figures |= await _naps(bench, sizes)
            figures |= await _pickups(bench, sizes)
            figures |= await _half_load(bench, sizes, figures["noop_per_s"])
            async with bench.worker():
                figures["noop_2_per_s"] = await _noop_rate(bench, sizes.jobs(peer))
        if peer.at_ten:
            async with bench.worker(FEW):
                # With a tenth of the jobs at once most systems are slower, some by far.
                figures["noop_10_per_s"] = await _noop_rate(bench, sizes.jobs(peer) // 3)
                figures["nap_10_per_s"] = (await _naps(bench, sizes, FEW))["nap_per_s"]
        return figures


async def _no_ops(bench: Bench, sizes: PeerSizes) -> dict[str, float]:
    """Enqueue rates into a frozen worker's queue, and then what the worker makes of the backlog."""
    # The client's connections are open before it is measured: some clients have one for each caller.
    await bench.enqueue("callers", "noop", 2 * sizes.callers, callers=sizes.callers)
    await bench.drain()
    await bench.freeze()
    total = sizes.jobs(bench.peer)
    count = min(sizes.enqueues, total // 5)
    one = await bench.enqueue("one", "noop", count)
    callers = await bench.enqueue("callers", "noop", count, callers=sizes.callers)
    many = await bench.enqueue("many", "noop", 2 * count)
    await bench.fill("noop", total - 4 * count)
    figures = await _work_off(bench, total)
    return {
        **figures,
        "enqueue_one_per_s": count / one["seconds"],
        "enqueue_callers_per_s": count / callers["seconds"],
        "enqueue_many_per_s": 2 * count / many["seconds"],
    }


async def _work_off(bench: Bench, total: int) -> dict[str, float]:
    """Thaw the worker: jobs a second, its CPU, and what the server did for it."""
    # What one reading of the counters costs the server is told by two in a row.
    idle = await bench.server.counters()
    before = await bench.server.counters()
    cpu = bench.cpu()
    bench.thaw()
    runs = await bench.drain()
    cpu = bench.cpu() - cpu
    after = await bench.server.counters()
    did = each(after, before, idle, total)
    return {"noop_per_s": rate(runs), "worker_us": cpu / total * 1e6, **did}


def each(after: Counters, before: Counters, idle: Counters, jobs: int) -> dict[str, float]:
    """Return what a server did for each job, less what one reading of the counters made it do, `idle` to `before`."""
    did, own = after.since(before, own=0), before.since(idle, own=0)
    return {
        "redis_us": (did.cpu - own.cpu) / jobs * 1e6,
        "commands": (did.commands - own.commands) / jobs,
        "round_trips": (did.reads - own.reads) / jobs,
        "sent_bytes": (did.sent - own.sent) / jobs,
        "received_bytes": (did.received - own.received) / jobs,
    }


async def _noop_rate(bench: Bench, count: int) -> float:
    await bench.freeze()
    await bench.fill("noop", count)
    bench.thaw()
    return rate(await bench.drain())


async def _naps(bench: Bench, sizes: PeerSizes, concurrency: int | None = None) -> dict[str, float]:
    await bench.freeze()
    most = sizes.naps(bench.peer)
    # With few jobs at once, no system can do more than this.
    await bench.fill("nap", most if concurrency is None else min(most, sizes.seconds * concurrency * 200))
    bench.thaw()
    return {"nap_per_s": rate(await bench.drain())}


async def _pickups(bench: Bench, sizes: PeerSizes) -> dict[str, float]:
    """Take the time from the enqueue call to the job's body, at random gaps, the same for every system."""
    await asyncio.sleep(THAWED)
    chance = random.Random(sizes.singles)
    gaps = [chance.uniform(*GAPS) for _ in range(sizes.singles)]
    waits, _ = await _waits(bench, "singles", sizes.singles, gaps=gaps)
    return {f"pickup_p{share}_ms": percentile(waits, share / 100) for share in (50, 95, 99)}


async def _half_load(bench: Bench, sizes: PeerSizes, full: float) -> dict[str, float]:
    """Take the same time while jobs come evenly, half as many as the system can do; how many came, the client tells."""
    count = min(sizes.jobs(bench.peer), max(sizes.least, round(full / 2 * sizes.seconds)))
    waits, seconds = await _waits(bench, "paced", count, pace=full / 2)
    return {
        "half_per_s": count / seconds,
        "half_p50_ms": percentile(waits, 0.5),
        "half_p99_ms": percentile(waits, 0.99),
    }


async def _waits(bench: Bench, do: str, count: int, **order: object) -> tuple[list[float], float]:
    """Enqueue jobs: the milliseconds from each call to the job's body, and the seconds of all calls."""
    first = bench.enqueued
    answer = await bench.enqueue(do, "noop", count, **order)
    ran = dict(await bench.drain())
    bench.check()
    called: Sequence[int] = answer["called"]
    return [(ran[first + at] - call) / 1e6 for at, call in enumerate(called)], answer["seconds"]


async def idle(peer: Peer, sizes: PeerSizes) -> dict[str, float]:
    """Count the commands a second of one idle worker, those inside scripts included, and its memory."""
    async with set_up(peer) as bench, bench.worker():
        await asyncio.sleep(CALM)
        async with Monitor(bench.server.port) as monitor:
            await asyncio.sleep(sizes.quiet)
        memory = sum(worker.memory() for worker in bench.workers)
        return {"idle_per_s": steady_rate(monitor.all(), sizes.quiet), "rss_mb": memory / 1e6}


async def sizes_of_jobs(peer: Peer, sizes: PeerSizes) -> dict[str, float]:
    """Weigh a waiting and a kept job in Redis, with whatever the system keeps beside them."""
    async with set_up(peer) as bench, bench.worker():
        await bench.freeze()
        empty = await bench.server.memory()
        await bench.fill("noop", sizes.kept)
        waiting = await bench.server.memory()
        bench.thaw()
        await bench.drain()
        await asyncio.sleep(SETTLE)
        kept = await bench.server.memory()
    # A system that keeps nothing may leave the server with less than there was: its buffers are freed, too.
    return {
        "waiting_bytes": max(0.0, waiting - empty) / sizes.kept,
        "kept_bytes": max(0.0, kept - empty) / sizes.kept,
    }
