"""What a recorder and an API beside cost the worker: they share its Redis, and here its two cores too.

The recorder runs in a thread of the worker, as in a deployment with one worker, and writes to a private PostgreSQL. At
the end the audit table must have a row for each job.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.bench import WARM_UP
from benchmarks.conditions.series import Figures, Measure, Series
from benchmarks.conditions.sizes import Sizes
from benchmarks.conditions.stage import Stage, staged
from benchmarks.failures import BenchFailed, LedgerMismatch
from benchmarks.over_http import api_process
from benchmarks.recorder import completed_rows
from rota.model.access.keys import Scope
from rota.settings.database_url import DatabaseTarget
from rota.store import migrations
from rota.wire.keys import recording_key, records_key
from tests.databases import PostgresServer, new_schema, shared_folder

ALONE, RECORDER, ALL = "nothing", "recorder", "recorder and API"
#: A recorder that is behind for this long has failed, in seconds.
_BEHIND = 120.0


@asynccontextmanager
async def _open(sizes: Sizes) -> AsyncIterator[Measure]:
    postgres = PostgresServer(shared_folder())
    postgres.join()
    try:
        async with AsyncExitStack() as stack:
            stages = {ALONE: await stack.enter_async_context(staged())}
            schemas = {}
            for point in (RECORDER, ALL):
                schemas[point] = schema = await new_schema(postgres)
                await migrations.prepare(DatabaseTarget.from_url(schema), "auto")
                stages[point] = await stack.enter_async_context(staged(variables={"DATABASE_URL": schema}))
                await _until(stages[point], _records, "nothing is recorded")
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="bench-")))
            api = api_process(stages[ALL].server, folder, Scope.ADMIN, DATABASE_URL=schemas[ALL])
            await stack.enter_async_context(api)
            yield lambda point: _measured(stages[point], point, sizes)
            for point, stage in stages.items():
                await stage.end()
                if point in schemas:
                    await _check(stage, schemas[point])
    finally:
        postgres.leave()


async def _measured(stage: Stage, point: str, sizes: Sizes) -> Figures:
    figures = (await stage.work_off("noop", sizes.jobs)).figures()
    if point == ALONE:
        return figures
    done = time.perf_counter()
    await _until(stage, _has_written, "the recorder has not written the jobs")
    return {**figures, "recorder_behind_s": time.perf_counter() - done}


async def _records(stage: Stage) -> bool:
    return bool(await stage.server.redis.exists(recording_key("rota")))


async def _has_written(stage: Stage) -> bool:
    return int(await stage.server.redis.xlen(records_key("rota"))) <= 1


async def _until(stage: Stage, condition: Callable[[Stage], Awaitable[bool]], otherwise: str) -> None:
    """Wait for what the recorder should do in time. Raises BenchFailed."""
    try:
        async with asyncio.timeout(_BEHIND):
            while not await condition(stage):
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise BenchFailed(f"{otherwise} within {_BEHIND:g} s") from None


async def _check(stage: Stage, schema: str) -> None:
    """Raise LedgerMismatch unless each job has a row, but for those of the warm-up, before anything was recorded."""
    rows = await completed_rows(DatabaseTarget.from_url(schema))
    if not stage.enqueued - WARM_UP <= rows <= stage.enqueued:
        raise LedgerMismatch(f"of {stage.enqueued} jobs {rows} are in the audit table")


def _points(sizes: Sizes) -> Sequence[str]:
    return (ALONE, RECORDER, ALL)


COMPANY = Series("company", "beside the worker", "", _points, _open)
