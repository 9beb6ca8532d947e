"""What a job costs while many others wait: the same number of jobs is worked off in front of each backlog.

Each backlog has a server of its own, which keeps it through all rounds. A round enqueues the jobs that it works off; a
new worker begins, and is looked at from when it is warm until the jobs are done; the backlog itself stays. The worker
does not lead: who begins to lead looks at all keys of Redis, and each five minutes again. That is 0.2 s for a million
jobs, and would be laid to the few that are worked off here.
"""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from benchmarks.conditions.series import Figures, Measure, Series
from benchmarks.conditions.sizes import Sizes
from benchmarks.conditions.stage import Stage, Worked, staged

#: Jobs that a new worker does before it is looked at, and those that it may do while it is stopped.
_EDGE = 1_000


@asynccontextmanager
async def _open(sizes: Sizes) -> AsyncIterator[Measure]:
    async with AsyncExitStack() as stack:
        stages: dict[int, Stage] = {}

        async def measure(backlog: int) -> Figures:
            if backlog not in stages:
                stages[backlog] = await stack.enter_async_context(staged(workers=0))
            return (await _worked(stages[backlog], backlog, sizes.jobs)).figures()

        yield measure


async def _worked(stage: Stage, backlog: int, jobs: int) -> Worked:
    await stage.fill("noop", backlog + jobs + 2 * _EDGE - await stage.left())
    async with stage.worker({"LEADER": "false"}) as worker:
        (_, first) = (await stage.until(backlog + jobs + _EDGE))[-1]
        before, cpu, began = await stage.server.counters(), worker.cpu(), time.perf_counter()
        looks = await stage.until(first - jobs)
        ended, cpu = time.perf_counter(), worker.cpu() - cpu
        did = (await stage.server.counters()).since(before, own=len(looks) + 1)
        done = first - looks[-1][1]
        await stage.end()
    return Worked(done, done / (ended - began), cpu, did)


def _points(sizes: Sizes) -> Sequence[int]:
    return sizes.backlogs


BACKLOG = Series("backlog", "jobs that wait behind", "jobs", _points, _open)
