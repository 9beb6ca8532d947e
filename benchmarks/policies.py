"""What each policy costs: `python -m benchmarks.policies` works off the same jobs with it and without, in one run.

BENCH_JOBS and BENCH_ROUNDS set the sizes. The limits are so wide that nothing waits.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from benchmarks import jobs, ledger
from benchmarks.bench import Bench, set_up
from benchmarks.producers import OwnProducer
from benchmarks.promises import OURS
from benchmarks.rounds import work_off
from benchmarks.systems import SYSTEMS
from rota import Client, Job

RECORD = Path(__file__).parent / "policies.json"
Enqueue = Callable[[Client, range], Awaitable[object]]


def each_of(job: Job[[int], int]) -> Enqueue:
    """Enqueue one `job` for each number, in bulk."""
    return lambda client, numbers: client.enqueue_many(job.call(number) for number in numbers)


PIPELINE = "a pipeline over all"
POLICIES: dict[str, Enqueue] = {
    "none": each_of(jobs.noop),
    "priority": each_of(jobs.urgent),
    "rate limit": each_of(jobs.rated),
    "rate limit, each job its own key": each_of(jobs.rated_by_key),
    "concurrency": each_of(jobs.slotted),
    "unique": each_of(jobs.alone),
    "checkpoint": each_of(jobs.saving),
    "a batch of all": lambda client, numbers: client.batch([jobs.noop.call(number) for number in numbers]),
    PIPELINE: lambda client, numbers: client.enqueue(jobs.of_many, numbers.start, numbers.stop),
}
#: Figures of one policy: jobs/s, Redis' microseconds a job, bulk enqueues a second.
Figures = dict[str, float]


async def measure(count: int, rounds: int) -> dict[str, Figures]:
    """Return the medians of all rounds, by policy; the first round is not counted."""
    system = next(one for one in SYSTEMS if one.key == OURS)
    found: dict[str, list[Figures]] = {name: [] for name in POLICIES}
    async with set_up(system) as bench:
        for number in range(rounds + 1):
            for name in POLICIES if number % 2 == 0 else reversed(POLICIES):
                figures = await _one(bench, POLICIES[name], count)
                if number:
                    found[name].append(figures)
        ledger.check(await bench.worker.stop(), bench.enqueued)
    return {name: {key: median(one[key] for one in many) for key in many[0]} for name, many in found.items()}


async def _one(bench: Bench, enqueue: Enqueue, count: int) -> Figures:
    if not isinstance(bench.producer, OwnProducer):
        raise TypeError("policies are measured with rota's own client")
    await bench.worker.freeze()
    began = time.perf_counter()
    await enqueue(bench.producer.client, bench.numbers(count))
    enqueued = count / (time.perf_counter() - began)
    began = time.perf_counter()
    # Not by the rate that work_off returns: a pipeline begins with one job, from which the others come.
    _, _, did = await work_off(bench, count)
    return {
        "jobs_per_s": count / (time.perf_counter() - began),
        "redis_us": did.cpu / count * 1e6,
        "enqueued_per_s": enqueued,
    }


def main() -> int:
    """Measure, write the record, print it beside the jobs without a policy."""
    count, rounds = int(os.environ.get("BENCH_JOBS", "6000")), int(os.environ.get("BENCH_ROUNDS", "5"))
    figures = asyncio.run(measure(count, rounds))
    RECORD.write_text(json.dumps({"jobs": count, "rounds": rounds, "policies": figures}, indent=2) + "\n")
    table = Table("policy", "jobs/s", "of none", "Redis µs/job", "bulk enqueues/s", "of none")
    plain = figures["none"]
    for name, one in figures.items():
        table.add_row(
            name,
            f"{one['jobs_per_s']:.0f}",
            f"{one['jobs_per_s'] / plain['jobs_per_s']:.0%}",
            f"{one['redis_us']:.0f}",
            *(
                ("", "")  # a pipeline is one enqueue
                if name == PIPELINE
                else (
                    f"{one['enqueued_per_s']:.0f}",
                    f"{one['enqueued_per_s'] / plain['enqueued_per_s']:.0%}",
                )
            ),
        )
    Console(highlight=False).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
