"""What an enqueue costs, in the client and in Redis: `python -m benchmarks.enqueueing [--rounds N] [--profile]`.

Each way to enqueue runs in short rounds, one way after the other, on a server that is emptied between them. The least
CPU of all rounds counts, because what else the machine does only adds to it. With `--profile` the client runs once more
under a profiler, whose own cost makes calls look dearer than they are.
"""

import argparse
import cProfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import uvloop

import rota
from benchmarks.callers import CALLERS, at_once
from benchmarks.jobs import noop
from benchmarks.profiled import spent
from benchmarks.server import PrivateServer
from rota.settings.load import load

#: Functions that a profile lists.
TOP = 25
#: Jobs that one call of the script puts at most.
PORTION = 200


class Way(NamedTuple):
    """A way to enqueue: the jobs of a round, and how often it has its turn, 1 = in every round."""

    enqueue: Callable[[rota.Client, int], Awaitable[object]]
    jobs: int
    every: int = 1


async def one_by_one(client: rota.Client, jobs: int) -> None:
    for number in range(jobs):
        await client.enqueue(noop, number)


async def together(client: rota.Client, jobs: int) -> None:
    await at_once([lambda number: client.enqueue(noop, number)] * CALLERS, jobs)


async def in_bulk(client: rota.Client, jobs: int) -> None:
    await client.enqueue_many(noop.call(number) for number in range(jobs))


WAYS: dict[str, Way] = {
    "one by one": Way(one_by_one, 300),
    f"{CALLERS} at once": Way(together, 1_000),
    f"{PORTION} a call": Way(in_bulk, PORTION),
    "10,000 a call": Way(in_bulk, 10_000, every=8),
}


class Costs:
    """The least that an enqueue has cost, in seconds: CPU of the client and of Redis, the script, and by the clock."""

    def __init__(self) -> None:
        self._least: list[float] = []

    async def add(self, server: PrivateServer, client: rota.Client, way: Way) -> None:
        """Run one round, and keep what it cost where that is less than before."""
        await server.redis.flushall()
        await way.enqueue(client, CALLERS)
        await server.redis.config_resetstat()
        redis_cpu, cpu, clock = (await server.counters()).cpu, time.process_time(), time.perf_counter()
        await way.enqueue(client, way.jobs)
        took = [time.process_time() - cpu, 0.0, 0.0, time.perf_counter() - clock]
        took[1] = (await server.counters()).cpu - redis_cpu
        took[2] = (await server.command_times())["evalsha"][1]
        costs = [seconds / way.jobs for seconds in took]
        self._least = list(map(min, costs, self._least or costs))

    def __str__(self) -> str:
        client, redis, script, clock = self._least
        within = f"Redis {redis * 1e6:5.1f} µs (the script {script * 1e6:5.1f} µs)"
        return f"client {client * 1e6:5.1f} µs, {within} CPU an enqueue; {1 / clock:9,.0f}/s"


async def main(rounds: int, *, profiles: bool) -> list[str]:
    """Measure all ways; return lines about each."""
    with TemporaryDirectory(prefix="bench-") as folder:
        async with (
            PrivateServer(Path(folder)) as server,
            await rota.connect(load({"REDIS_URL": server.url})) as client,
        ):
            costs = {name: Costs() for name in WAYS}
            for number in range(rounds):
                for name, way in WAYS.items():
                    if number % way.every == 0:
                        await costs[name].add(server, client, way)
            lines = [f"{name:>14}: {costs[name]}" for name in WAYS]
            for name, way in WAYS.items() if profiles else ():
                lines += ["", f"{name}, the client under the profiler, own time an enqueue:"]
                lines += await _profile(client, way)
    return lines


async def _profile(client: rota.Client, way: Way) -> list[str]:
    profile = cProfile.Profile()
    with profile:
        await way.enqueue(client, way.jobs)
    return [
        f"{one.seconds / way.jobs * 1e6:8.2f} µs {one.calls / way.jobs:7.2f} calls  {one.name} {one.place}".rstrip()
        for one in spent(profile)[:TOP]
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.enqueueing", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--profile", action="store_true")
    chosen = parser.parse_args()
    print("\n".join(uvloop.run(main(chosen.rounds, profiles=chosen.profile))))
