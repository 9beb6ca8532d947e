"""Where a job's time goes, in the worker and in Redis: `python -m benchmarks.hotspots [--jobs N] [--task NAME]`.

Three runs of rota, each over a backlog: one for CPU and Redis' own accounts; one under a profiler, whose own cost makes
calls look dearer than they are: its times compare functions, and do not add up to the first run's; and one in which the
worker's bytecode instructions are counted, the same on a busy machine as on a quiet one.
"""

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.bench import Bench, set_up
from benchmarks.counted import Counted
from benchmarks.profiled import Spent
from benchmarks.promises import OURS
from benchmarks.rounds import work_off
from benchmarks.systems import SYSTEMS

TOP = 40
#: The most jobs whose instructions are counted.
COUNTED = 5_000
#: Calls that take Redis longer than this are slow, in microseconds; and the most of them that Redis remembers.
SLOW, MOST_SLOW = 5_000, 128
ROTA = next(system for system in SYSTEMS if system.key == OURS)
#: Commands whose time includes the time of the commands inside.
SCRIPTS = ("evalsha", "eval")


async def redis_side(task: str, jobs: int) -> list[str]:
    """Lines: CPU a job of worker and server, and the server's time by command."""
    async with set_up(ROTA) as bench:
        await _backlog(bench, task, jobs)
        redis = bench.server.redis
        await redis.config_set("slowlog-log-slower-than", SLOW)
        await redis.slowlog_reset()
        await redis.config_resetstat()
        before = await bench.server.command_times()
        rate, cpu, did = await work_off(bench, jobs)
        times = _since(await bench.server.command_times(), before)
        steps = await _step_times(redis)
    lines = [
        f"{rate:,.0f} jobs/s; worker {cpu / jobs * 1e6:.1f} µs, Redis {did.cpu / jobs * 1e6:.1f} µs CPU a job"
    ]
    scripts = sum(seconds for name, (_, seconds) in times.items() if name in SCRIPTS)
    inner = {name: value for name, value in times.items() if name not in SCRIPTS}
    lua = scripts - sum(seconds for _, seconds in inner.values())
    lines.append(
        f"scripts {scripts / jobs * 1e6:.1f} µs a job, of them Lua itself {lua / jobs * 1e6:.1f} µs; {steps}; commands:"
    )
    for name, (calls, seconds) in sorted(times.items(), key=lambda item: -item[1][1]):
        lines.append(f"{seconds / jobs * 1e6:10.2f} µs a job {calls / jobs:8.3f} calls a job  {name}")
    return lines


async def _step_times(redis: Any) -> str:
    """Return how long calls of scripts took, as LATENCY HISTOGRAM and SLOWLOG tell."""
    _, (_, calls, _, buckets) = await redis.execute_command("LATENCY", "HISTOGRAM", "evalsha")
    # Each number of microseconds, a power of two, with how many calls took no longer.
    within = list(zip(buckets[::2], buckets[1::2], strict=True))
    half, most = (next(us for us, count in within if count >= share * calls) for share in (0.5, 0.99))
    slow = [
        entry["duration"]
        for entry in await redis.slowlog_get(MOST_SLOW)
        if entry["command"].startswith(b"EVALSHA")
    ]
    longest = f", the longest {max(slow) / 1000:.1f} ms" if slow else ""
    return f"half of the calls within {half} µs, 99 % within {most} µs, {len(slow)} above {SLOW / 1000:g} ms{longest}"


async def worker_side(task: str, jobs: int) -> list[str]:
    """Lines: the functions that cost the worker most, by their own time a job under the profiler."""
    seen = [Spent(**entry) for entry in await _watched("benchmarks.profiled", task, jobs)]
    total = sum(one.seconds for one in seen)
    lines = [f"under the profiler {total / jobs * 1e6:.0f} µs a job; own time:"]
    for one in seen[:TOP]:
        share = f"{one.seconds / jobs * 1e6:8.2f} µs a job {one.seconds / total:6.1%} {one.calls / jobs:8.2f} calls"
        lines.append(f"{share}  {one.name} {one.place}".rstrip())
    return lines


async def instructions(task: str, jobs: int) -> list[str]:
    """Lines: the functions that take the worker most bytecode instructions a job."""
    seen = [Counted(**entry) for entry in await _watched("benchmarks.counted", task, jobs)]
    total, calls = sum(one.instructions for one in seen) / jobs, sum(one.calls for one in seen) / jobs
    lines = [f"{total:,.0f} bytecode instructions a job, in {calls:.0f} calls of functions:"]
    for one in seen[:TOP]:
        share = f"{one.instructions / jobs:8.1f} a job {one.calls / jobs:8.2f} calls"
        lines.append(f"{share}  {one.name} {one.place}".rstrip())
    return lines


async def _watched(module: str, task: str, jobs: int) -> list[dict[str, Any]]:
    """Return what a worker that `module` runs has noted while it worked off a backlog."""
    with TemporaryDirectory(prefix="bench-") as folder:
        path = Path(folder) / "seen.json"
        async with set_up(ROTA, [sys.executable, "-m", module, str(path)]) as bench:
            await _backlog(bench, task, jobs)
            bench.worker.send(signal.SIGUSR1)
            await work_off(bench, jobs)
            bench.worker.send(signal.SIGUSR2)
            await bench.worker.until(path.exists, "it wrote down nothing")
        seen: list[dict[str, Any]] = json.loads(path.read_text())
    return seen


async def _backlog(bench: Bench, task: str, jobs: int) -> None:
    await bench.worker.freeze()
    await bench.producer.fill(task, bench.numbers(jobs))


def _since(
    after: Mapping[str, tuple[int, float]], before: Mapping[str, tuple[int, float]]
) -> dict[str, tuple[int, float]]:
    gone = {name: before.get(name, (0, 0.0)) for name in after}
    past = {name: (after[name][0] - gone[name][0], after[name][1] - gone[name][1]) for name in after}
    # The driver's own commands.
    return {name: value for name, value in past.items() if value[0] and name not in ("zcard", "info")}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.hotspots", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--task", choices=("noop", "nap", "stamp"), default="noop")
    chosen = parser.parse_args()
    print("\n".join(asyncio.run(redis_side(chosen.task, chosen.jobs))))
    print("\n".join(["", *asyncio.run(worker_side(chosen.task, chosen.jobs))]))
    # Counting takes a hundred times as long as the jobs do, and is exact with few of them.
    print("\n".join(["", *asyncio.run(instructions(chosen.task, min(chosen.jobs, COUNTED)))]))


if __name__ == "__main__":
    main()
