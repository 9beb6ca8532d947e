"""The same jobs in other shapes: more queues, more worker processes, more or fewer slots.

Each point has a server and workers of its own, which stay through all rounds and are idle while it is not their turn.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from benchmarks.conditions.series import Figures, Measure, Series
from benchmarks.conditions.sizes import Sizes
from benchmarks.conditions.stage import Stage, staged
from benchmarks.systems import CONCURRENCY

QUEUES = (1, 10, 50)
WORKERS = (1, 2, 4)
SLOTS = (1, 10, 100, 1_000)


def _series(
    name: str,
    x: str,
    points: Sequence[int],
    at: Callable[[int], AbstractAsyncContextManager[Stage]],
    measured: Callable[[Stage, int, Sizes], Awaitable[Figures]],
) -> Series:
    """Return the series whose points are stages that `at` sets up, and that are `measured` one by one."""

    @asynccontextmanager
    async def open_all(sizes: Sizes) -> AsyncIterator[Measure]:
        async with AsyncExitStack() as stack:
            stages = {x: await stack.enter_async_context(at(x)) for x in points}
            yield lambda x: measured(stages[x], x, sizes)
            for stage in stages.values():
                await stage.end()

    return Series(name, x, name.partition("_")[0], lambda sizes: points, open_all)


async def _no_ops(stage: Stage, x: int, sizes: Sizes) -> Figures:
    return (await stage.work_off("noop", sizes.jobs)).figures()


async def _by_slots(stage: Stage, slots: int, sizes: Sizes) -> Figures:
    noops = await stage.work_off("noop", sizes.jobs if slots > 1 else sizes.jobs // 3)
    # As many as few slots do in the time that a hundred take.
    naps = await stage.work_off("nap", min(sizes.naps, max(sizes.naps * slots // CONCURRENCY, 100)))
    return {**noops.figures(), "nap_per_s": naps.per_s}


def _at_queues(variables: Mapping[str, str]) -> Callable[[int], AbstractAsyncContextManager[Stage]]:
    return lambda queues: staged(queues=queues, variables=variables)


SHAPES = (
    _series("queues", "queues in one process, each with a hundred slots", QUEUES, _at_queues({}), _no_ops),
    _series(
        "queues_capped",
        "queues in one process with a hundred slots in all",
        QUEUES,
        _at_queues({"WORKER_CONCURRENCY": str(CONCURRENCY)}),
        _no_ops,
    ),
    _series("workers", "processes on one queue", WORKERS, lambda workers: staged(workers=workers), _no_ops),
    _series(
        "slots",
        "jobs at once in one process",
        SLOTS,
        lambda slots: staged(variables={"QUEUE_CONCURRENCY": str(slots)}),
        _by_slots,
    ),
)
