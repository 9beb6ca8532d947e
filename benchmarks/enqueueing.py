"""What an enqueue costs, in the client and in Redis: `python -m benchmarks.enqueueing [--jobs N] [--profile]`.

Each way to enqueue runs in short rounds, one way after the other, on a queue that is emptied between them. The least
CPU of the rounds counts, because what else the machine does only adds to it. With `--profile` the client runs once more
under a profiler, whose own cost makes calls look dearer than they are.
"""

import argparse
import cProfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import uvloop

import rota
from benchmarks.callers import CALLERS, at_once
from benchmarks.jobs import noop
from benchmarks.profiled import spent
from benchmarks.server import PrivateServer
from rota.settings.load import load

ROUNDS = 5
#: Functions that a profile lists.
TOP = 25
#: Jobs of the largest call of `enqueue_many`.
BULK = 10_000
#: Jobs that one call of the script puts at most.
PORTION = 200

#: Enqueues a number of jobs.
Way = Callable[[rota.Client, int], Awaitable[object]]


async def one_by_one(client: rota.Client, jobs: int) -> None:
    for number in range(jobs):
        await client.enqueue(noop, number)


async def together(client: rota.Client, jobs: int) -> None:
    await at_once([lambda number: client.enqueue(noop, number)] * CALLERS, jobs)


async def portions(client: rota.Client, jobs: int) -> None:
    for start in range(0, jobs, PORTION):
        await client.enqueue_many(noop.call(number) for number in range(start, start + PORTION))


async def bulk(client: rota.Client, jobs: int) -> None:
    for start in range(0, jobs, BULK):
        await client.enqueue_many(noop.call(number) for number in range(start, min(start + BULK, jobs)))


WAYS: dict[str, Way] = {
    "one by one": one_by_one,
    f"{CALLERS} at once": together,
    f"{PORTION} a call": portions,
    f"{BULK:,} a call": bulk,
}


class Costs:
    """The least that an enqueue has cost, in seconds: CPU of the client and of Redis, the script, and by the clock."""

    def __init__(self) -> None:
        self._least: list[float] = []

    async def add(self, server: PrivateServer, client: rota.Client, way: Way, jobs: int) -> None:
        """Run one round, and keep what it cost where that is less than before."""
        await server.redis.flushall()
        await way(client, PORTION)
        await server.redis.config_resetstat()
        redis_cpu, cpu, clock = (await server.counters()).cpu, time.process_time(), time.perf_counter()
        await way(client, jobs)
        took = [time.process_time() - cpu, 0.0, 0.0, time.perf_counter() - clock]
        took[1] = (await server.counters()).cpu - redis_cpu
        took[2] = (await server.command_times())["evalsha"][1]
        costs = [seconds / jobs for seconds in took]
        self._least = list(map(min, costs, self._least or costs))

    def __str__(self) -> str:
        client, redis, script, clock = self._least
        within = f"Redis {redis * 1e6:5.1f} µs (the script {script * 1e6:5.1f} µs)"
        return f"client {client * 1e6:5.1f} µs, {within} CPU an enqueue; {1 / clock:9,.0f}/s"


async def main(jobs: int, *, profiles: bool) -> list[str]:
    """Measure all ways; return lines about each."""
    with TemporaryDirectory(prefix="bench-") as folder:
        async with (
            PrivateServer(Path(folder)) as server,
            await rota.connect(load({"REDIS_URL": server.url})) as client,
        ):
            costs = {name: Costs() for name in WAYS}
            for _ in range(ROUNDS):
                for name, way in WAYS.items():
                    await costs[name].add(server, client, way, jobs)
            lines = [f"{name:>14}: {costs[name]}" for name in WAYS]
            for name, way in WAYS.items() if profiles else ():
                lines += ["", f"{name}, the client under the profiler, own time an enqueue:"]
                lines += await _profile(client, way, jobs)
    return lines


async def _profile(client: rota.Client, way: Way, jobs: int) -> list[str]:
    profile = cProfile.Profile()
    with profile:
        await way(client, jobs)
    return [
        f"{one.seconds / jobs * 1e6:8.2f} µs {one.calls / jobs:7.2f} calls  {one.name} {one.place}".rstrip()
        for one in spent(profile)[:TOP]
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.enqueueing", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--jobs", type=int, default=10_000, help="enqueues of each round")
    parser.add_argument("--profile", action="store_true")
    chosen = parser.parse_args()
    print("\n".join(uvloop.run(main(chosen.jobs, profiles=chosen.profile))))
