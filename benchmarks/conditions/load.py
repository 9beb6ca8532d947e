"""How long a job takes from end to end while jobs come evenly: at a part of what the worker is able to do.

The first figure is what it is able to do: no-op jobs a second out of a backlog. Then a process of its own enqueues at
a part of that pace, each millisecond what is due in one call. From that call to the body of the job is its latency:
`python -m benchmarks.conditions.load` is that process.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from statistics import median

import uvloop
from arq.constants import result_key_prefix
from arq.jobs import deserialize_result

import rota
from benchmarks.conditions.jobs import TASKS
from benchmarks.conditions.series import Figures, Measure, Series
from benchmarks.conditions.sizes import Sizes
from benchmarks.conditions.stage import Stage, staged
from benchmarks.failures import BenchFailed
from benchmarks.figures import percentile
from benchmarks.process import ROOT
from rota.settings.load import load

#: The parts of what the worker is able to do.
POINTS = (0.1, 0.25, 0.5)
#: Jobs that are enqueued before, at the same pace, so that everything is warm, in seconds.
_WARM_UP = 0.5
_TICK = 0.001
_PAGE = 500


@asynccontextmanager
async def _open(sizes: Sizes) -> AsyncIterator[Measure]:
    async with staged() as stage:
        able = median([(await stage.work_off("noop", sizes.jobs)).per_s for _ in range(3)])
        yield lambda part: _measured(stage, part * able, sizes.seconds)
        await stage.end()


async def _measured(stage: Stage, pace: float, seconds: int) -> Figures:
    numbers = stage.numbers(round(pace * (_WARM_UP + seconds)))
    called, ids, took = await _enqueued(stage, pace, numbers)
    await stage.until(0)
    warm = round(pace * _WARM_UP)
    bodies = await _bodies(stage, ids)
    latencies = [(body - call) / 1e6 for call, body in zip(called, bodies, strict=True)][warm:]
    return {
        "pace_per_s": pace,
        "enqueued_per_s": len(numbers) / took,
        **{f"p{part:g}_ms": percentile(latencies, part / 100) for part in (50, 95, 99)},
    }


async def _enqueued(stage: Stage, pace: float, numbers: range) -> tuple[list[int], list[str], float]:
    """Return when each job was enqueued, its id, and how many seconds all took. Raises BenchFailed."""
    options = {"url": stage.server.url, "pace": pace, "first": numbers.start, "count": len(numbers)}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.conditions.load"),
        *(text for name, value in options.items() for text in (f"--{name}", str(value))),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        out, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode:
        raise BenchFailed(f"the process that enqueues ended with status {process.returncode}")
    called, ids, took = json.loads(out)
    return called, ids, took


async def _bodies(stage: Stage, ids: Sequence[str]) -> list[int]:
    """Return the results of the jobs: the clock when their bodies began."""
    bodies: list[int] = []
    for start in range(0, len(ids), _PAGE):
        keys = [result_key_prefix + job_id for job_id in ids[start : start + _PAGE]]
        for raw in await stage.server.redis.mget(keys):
            bodies.append(deserialize_result(raw, deserializer=rota.job_deserializer).result)
    return bodies


async def enqueue(url: str, pace: float, first: int, count: int) -> tuple[list[int], list[str], float]:
    """Enqueue `count` jobs at `pace` a second, whether or not the calls before have been answered."""
    stamp = TASKS["stamp"][0]
    called: list[int] = []
    calls: list[asyncio.Task[list[rota.JobHandle[int | None]]]] = []
    async with await rota.connect(load({"REDIS_URL": url})) as client:
        began = time.perf_counter()
        while len(called) < count:
            due = min(count, int((time.perf_counter() - began) * pace) + 1)
            part = range(first + len(called), first + due)
            if part:
                called += [time.monotonic_ns()] * len(part)
                calls.append(asyncio.create_task(client.enqueue_many(stamp.call(number) for number in part)))
            await asyncio.sleep(_TICK)
        ids = [handle.id for call in calls for handle in await call]
    return called, ids, time.perf_counter() - began


def _points(sizes: Sizes) -> Sequence[float]:
    return POINTS


LOAD = Series("load", "part of the jobs/s that the worker is able to do", "of them", _points, _open)

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--pace", type=float, required=True)
    parser.add_argument("--first", type=int, required=True)
    parser.add_argument("--count", type=int, required=True)
    json.dump(uvloop.run(enqueue(**vars(parser.parse_args()))), sys.stdout)
