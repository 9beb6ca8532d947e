"""How fast the audit table is written: `python -m benchmarks.recorder`, on a private Redis, PostgreSQL and SQLite.

A stream of records is filled as workers would have: jobs of 100 bytes that are enqueued, start and are completed, 20 in
an entry. Then a recorder reads, folds and writes all of it. BENCH_JOBS sets how many jobs there are.

* live: as while a worker works, its three events of a job reach the recorder far apart, so each is a write of its own
  (enqueue all, then start and complete in entries by turns).
* behind: the three events of a job are near each other, as when the recorder catches up, and are folded into one row.
"""

import asyncio
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic_core import to_json
from redis.asyncio import Redis
from rich.console import Console
from rich.table import Table
from sqlalchemy import func, select

from benchmarks.server import PrivateServer
from rota.process.clock import SYSTEM_CLOCK
from rota.services.figures import Figures
from rota.services.leadership import Leadership
from rota.services.recorder import Recorder
from rota.settings.database_url import DatabaseTarget
from rota.store import migrations
from rota.store.engine import Database
from rota.store.schema import jobs
from rota.wire.envelopes import encode_job
from rota.wire.keys import records_key
from tests.databases import PostgresServer, new_schema

NAMESPACE = "bench"
#: The jobs of one entry, as many as a busy worker's step has.
STEP = 20
PAYLOAD = encode_job("send", to_json({"to": "x" * 60}), enqueued_ms=1_767_225_600_000)
Fields = dict[str, bytes]


def enqueued(numbers: range) -> Fields:
    events = [["enqueued", "email", f"email:{number}", "send", 0, {"due": 1}] for number in numbers]
    return {"e": to_json(events), **{f"p{index}": PAYLOAD for index in range(len(numbers))}}


def entries(count: int, *, live: bool) -> Iterator[Fields]:
    """Yield the entries of `count` jobs."""
    steps = [range(start, min(start + STEP, count)) for start in range(0, count, STEP)]
    if live:
        yield from map(enqueued, steps)
        yield from (_started(step) for step in steps)
        yield from (_completed(step) for step in steps)
    else:
        for step in steps:
            yield from (enqueued(step), _started(step), _completed(step))


def _started(numbers: range) -> Fields:
    extras = {"worker": "host-1-abc", "due": 1_767_225_600_000}
    return {"e": to_json([["started", "email", f"email:{number}", "send", 1, extras] for number in numbers])}


def _completed(numbers: range) -> Fields:
    events = [["completed", "email", f"email:{number}", "send", 1] for number in numbers]
    return {"e": to_json(events), **{f"d{index}": b'{"sent":true}' for index in range(len(numbers))}}


async def measure(redis_url: str, database_url: str, count: int, *, live: bool) -> tuple[float, float, float]:
    """Return rows a second, events a second, and microseconds of this process' CPU an event."""
    redis = Redis.from_url(redis_url)
    await redis.flushall()
    pipe = redis.pipeline(transaction=False)
    for fields in entries(count, live=live):
        pipe.xadd(records_key(NAMESPACE), fields)
    await pipe.execute()
    target = DatabaseTarget.from_url(database_url)
    await migrations.prepare(target, "auto")
    figures = Figures()
    term = Leadership(1, SYSTEM_CLOCK.monotonic() + 3600)
    recorder = Recorder(lambda: Redis.from_url(redis_url), lambda: Database(target), NAMESPACE, term, figures)
    began, cpu = time.perf_counter(), time.process_time()
    task = asyncio.create_task(recorder.run())
    while not task.done() and await redis.xlen(records_key(NAMESPACE)) > 1:
        await asyncio.sleep(0.02)
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await _check(target, count)
    await redis.aclose()
    return figures.rows / took, 3 * count / took, cpu / count / 3 * 1e6


async def _check(target: DatabaseTarget, count: int) -> None:
    database = Database(target)
    async with database.read() as connection:
        found = await connection.scalar(
            select(func.count()).select_from(jobs).where(jobs.c.status == "COMPLETED")
        )
    await database.close()
    if found != count:
        raise RuntimeError(f"{found} rows of {count} jobs are completed")


async def main(count: int) -> None:
    table = Table(title=f"The recorder, {count} jobs")
    for column in ("", "rows/s", "events/s", "µs CPU an event"):
        table.add_column(column, justify="right" if column else "left")
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        postgres = PostgresServer(folder / "postgres")
        postgres.join()
        try:
            async with PrivateServer(folder) as redis:
                for live in (True, False):
                    when = "live" if live else "behind"
                    for kind in ("PostgreSQL", "SQLite"):
                        url = (
                            await new_schema(postgres)
                            if kind == "PostgreSQL"
                            else f"sqlite:///{folder}/{when}.db"
                        )
                        rows, events, cpu = await measure(redis.url, url, count, live=live)
                        table.add_row(f"{kind}, {when}", f"{rows:,.0f}", f"{events:,.0f}", f"{cpu:.1f}")
        finally:
            postgres.leave()
    Console().print(table)


if __name__ == "__main__":
    try:
        asyncio.run(main(int(os.environ.get("BENCH_JOBS", "30000"))))
    except KeyboardInterrupt:
        sys.exit(130)
