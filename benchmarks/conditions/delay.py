"""What a farther Redis costs: worker and clients behind a proxy, by which each round trip takes some ms longer.

The point of 0 ms is behind the proxy too, so that the delay is all that differs. The backlogs are enqueued directly.
"""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import rota
from benchmarks.callers import CALLERS, at_once
from benchmarks.conditions.jobs import TASKS
from benchmarks.conditions.proxy import farther
from benchmarks.conditions.series import Figures, Measure, Series
from benchmarks.conditions.sizes import Sizes
from benchmarks.conditions.stage import Stage, staged
from rota.settings.load import load

#: The delays, in ms.
POINTS = (0, 1, 3)


@asynccontextmanager
async def _open(sizes: Sizes) -> AsyncIterator[Measure]:
    async with AsyncExitStack() as stack:
        stages = {ms: await stack.enter_async_context(staged(way=partial(farther, ms=ms))) for ms in POINTS}
        yield lambda ms: _measured(stages[ms], sizes)
        for stage in stages.values():
            await stage.end()


async def _measured(stage: Stage, sizes: Sizes) -> Figures:
    noops = await stage.work_off("noop", sizes.jobs)
    naps = await stage.work_off("nap", sizes.naps)
    return {
        "noop_per_s": noops.per_s,
        "nap_per_s": naps.per_s,
        "worker_us": noops.figures()["worker_us"],
        "redis_us": noops.figures()["redis_us"],
        **await _enqueued(stage, sizes),
    }


async def _enqueued(stage: Stage, sizes: Sizes) -> Figures:
    """Enqueue singly, by many callers at once, and in bulk, while nobody works; then let all of it be done."""
    for worker in stage.workers:
        await worker.freeze()
    noop = TASKS["noop"][0]
    async with await rota.connect(load({"REDIS_URL": stage.address})) as client:

        async def callers(count: int, total: int) -> float:
            numbers = iter(stage.numbers(total))
            return await at_once([lambda _: client.enqueue(noop, next(numbers))] * count, total)

        # Opens the connections, and makes scripts known.
        await callers(CALLERS, CALLERS)
        figures = {
            "enqueue_one_per_s": await callers(1, sizes.enqueues),
            "enqueue_100_per_s": await callers(CALLERS, 10 * sizes.enqueues),
        }
        began, numbers = time.perf_counter(), stage.numbers(10 * sizes.enqueues)
        await client.enqueue_many(noop.call(number) for number in numbers)
        figures["enqueue_bulk_per_s"] = len(numbers) / (time.perf_counter() - began)
    for worker in stage.workers:
        worker.thaw()
    await stage.until(0)
    return figures


def _points(sizes: Sizes) -> Sequence[int]:
    return POINTS


DELAY = Series("delay", "a round trip takes longer by", "ms", _points, _open)
