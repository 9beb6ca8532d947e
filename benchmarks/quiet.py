"""What idle workers cost: one alone, and many on a queue when a single job comes. Counted command by command."""

import asyncio
import time
from dataclasses import dataclass

from benchmarks.bench import Bench, set_up
from benchmarks.figures import caused, steady_rate
from benchmarks.monitor import Monitor
from benchmarks.producers import Producer
from benchmarks.sizes import Sizes
from benchmarks.systems import System
from benchmarks.worker import SPREAD
from rota.telemetry.history.sender import EVERY

#: The time from the warm-up until workers are idle, in seconds.
CALM = 1.5
#: The time between two single enqueues, in seconds: everything that one causes happens within it.
GAP = 0.15
#: The fraction of the listening time in which a fleet gets no job.
CALM_SHARE = 0.4


@dataclass(frozen=True, slots=True)
class Rates:
    """Commands a second of workers that have nothing to do: sent by them, and executed in all."""

    network: float
    all: float


async def idle(system: System, sizes: Sizes) -> dict[str, float]:
    """Commands a second of one idle worker: all that were executed, and those that it sent."""
    async with set_up(system) as bench:
        # What a worker counted in the warm-up, it tells the history within EVERY.
        await asyncio.sleep(CALM + min(EVERY, sizes.quiet))
        async with Monitor(bench.server.port) as monitor:
            await asyncio.sleep(sizes.quiet)
        return {
            "idle_per_s": steady_rate(monitor.all(), sizes.quiet),
            "idle_network_per_s": steady_rate(monitor.network(), sizes.quiet),
        }


async def fleet(system: System, sizes: Sizes) -> dict[str, float]:
    """Commands that one enqueue causes among many idle workers, the enqueue and the job itself included.

    What the idle workers do in a time as long without any enqueue is taken off; a worker that was woken need not poll
    for a while, and that counts in the enqueue's favour. `fleet_network` counts what clients
    sent, `fleet_all` also what scripts executed; `fleet_stock_…` are for jobs of a stock client.
    """
    async with set_up(system, system.command(sizes.fleet)) as bench:
        await asyncio.sleep(SPREAD + CALM)
        seconds = sizes.quiet * CALM_SHARE
        async with Monitor(bench.server.port) as monitor:
            await asyncio.sleep(seconds)
        calm = Rates(len(monitor.network()) / seconds, len(monitor.all()) / seconds)
        figures = await _nudged(bench, bench.stock, calm, "fleet_stock", sizes.nudges)
        if bench.producer is not bench.stock:
            figures |= await _nudged(bench, bench.producer, calm, "fleet", sizes.nudges)
        return figures


async def _nudged(bench: Bench, producer: Producer, calm: Rates, figure: str, count: int) -> dict[str, float]:
    async with Monitor(bench.server.port) as monitor:
        began = time.monotonic()
        ids = []
        for number in bench.numbers(count):
            ids.append(await producer.one("noop", number))
            await asyncio.sleep(GAP)
        seconds = time.monotonic() - began
    await bench.drain()
    await bench.results(ids)
    return {
        f"{figure}_network": caused(len(monitor.network()), calm.network, seconds, count),
        f"{figure}_all": caused(len(monitor.all()), calm.all, seconds, count),
    }
