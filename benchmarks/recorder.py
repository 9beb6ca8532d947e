"""How fast the audit table is written: `python -m benchmarks.recorder`, on a private Redis, PostgreSQL and SQLite.

A stream of records is filled as workers would have: jobs of 100 bytes that are enqueued, start and are completed, 20 in
an entry. Then a recorder reads, folds and writes all of it. BENCH_JOBS sets how many jobs there are.

* live: as while a worker works, its three events of a job reach the recorder far apart, so each is a write of its own
  (enqueue all, then start and complete in entries by turns).
* behind: the three events of a job are near each other, as when the recorder catches up, and are folded into one row.
* after a worker: the stream that a real worker leaves which works off a backlog of jobs that do nothing, beside the
  rate at which it did so. The recorder of a deployment with one busy worker must write more jobs a second than that.

PostgreSQL does not wait for its disk here: with fsync, each page costs one wait more.
"""

import asyncio
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydantic_core import to_json
from redis.asyncio import Redis
from rich.console import Console
from rich.table import Table
from sqlalchemy import func, select

from benchmarks.bench import set_up
from benchmarks.rounds import work_off
from benchmarks.server import PrivateServer
from benchmarks.systems import SYSTEMS
from rota.process.clock import SYSTEM_CLOCK
from rota.services.figures import Figures
from rota.services.leadership import Leadership
from rota.services.recorder import Recorder
from rota.settings.database_url import DatabaseTarget
from rota.store import migrations
from rota.store.engine import Database
from rota.store.schema import jobs
from rota.wire.envelopes import encode_job
from rota.wire.keys import recording_key, records_key
from tests.databases import PostgresServer, new_schema

NAMESPACE = "rota"
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


@dataclass(frozen=True, slots=True)
class Recorded:
    """The figures of one recorder: it wrote `rows` in `seconds`, of which its process worked for `cpu`."""

    jobs: int
    rows: int
    seconds: float
    cpu: float

    def told(self, title: str, worker: str = "") -> tuple[str, ...]:
        """Return these figures as texts, in the order of the columns of the printed table."""
        rates = (self.rows / self.seconds, 3 * self.jobs / self.seconds, self.jobs / self.seconds)
        micros = (self.cpu / self.rows * 1e6, self.cpu / self.jobs / 3 * 1e6)
        return (title, *(f"{rate:,.0f}" for rate in rates), *(f"{one:.1f}" for one in micros), worker)


async def fill(redis: Any, count: int, *, live: bool) -> None:
    """Write the stream of `count` jobs into an empty Redis."""
    await redis.flushall()
    pipe = redis.pipeline(transaction=False)
    for fields in entries(count, live=live):
        pipe.xadd(records_key(NAMESPACE), fields)
    await pipe.execute()


async def record(redis: Any, redis_url: str, database_url: str, count: int) -> Recorded:
    """Let a recorder write what lies in the stream, of `count` jobs that were completed."""
    target = DatabaseTarget.from_url(database_url)
    await migrations.prepare(target, "auto")
    figures = Figures()
    term = Leadership(1, SYSTEM_CLOCK.monotonic() + 3600)
    recorder = Recorder(lambda: Redis.from_url(redis_url), lambda: Database(target), NAMESPACE, term, figures)
    began, cpu = time.perf_counter(), time.process_time()
    task = asyncio.create_task(recorder.run())
    while not task.done() and await redis.xlen(records_key(NAMESPACE)) > 1:
        await asyncio.sleep(0.05)
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await _check(target, count)
    return Recorded(count, figures.rows, took, cpu)


async def after_worker(postgres: PostgresServer, count: int) -> tuple[float, Recorded]:
    """Return the jobs a second of a worker that leaves records, and what a recorder makes of these."""
    async with set_up(SYSTEMS[-1]) as bench:
        await bench.worker.freeze()
        redis = bench.server.redis
        await redis.set(recording_key(NAMESPACE), f"0 {10 * count}")
        await bench.producer.fill("noop", bench.numbers(count))
        rate, _, _ = await work_off(bench, count)
        await bench.worker.stop()
        return rate, await record(redis, bench.server.url, await new_schema(postgres), count)


async def _check(target: DatabaseTarget, count: int) -> None:
    found = await completed_rows(target)
    if found != count:
        raise RuntimeError(f"{found} rows of {count} jobs are completed")


async def completed_rows(target: DatabaseTarget) -> int:
    """Return how many jobs the audit table has that were completed."""
    database = Database(target)
    async with database.read() as connection:
        found = await connection.scalar(
            select(func.count()).select_from(jobs).where(jobs.c.status == "COMPLETED")
        )
    await database.close()
    return int(found or 0)


async def main(count: int) -> None:
    table = Table(title=f"The recorder, {count} jobs")
    for column in (
        "",
        "rows/s",
        "events/s",
        "jobs/s",
        "µs CPU a row",
        "µs CPU an event",
        "the worker's jobs/s",
    ):
        table.add_column(column, justify="right" if column else "left")
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        postgres = PostgresServer(folder / "postgres")
        postgres.join()
        try:
            async with PrivateServer(folder) as server:
                for live in (True, False):
                    when = "live" if live else "behind"
                    for kind in ("PostgreSQL", "SQLite"):
                        await fill(server.redis, count, live=live)
                        url = (
                            await new_schema(postgres)
                            if kind == "PostgreSQL"
                            else f"sqlite:///{folder}/{when}.db"
                        )
                        done = await record(server.redis, server.url, url, count)
                        table.add_row(*done.told(f"{kind}, {when}"))
            rate, done = await after_worker(postgres, count)
            table.add_row(*done.told("PostgreSQL, after a worker", f"{rate:,.0f}"))
        finally:
            postgres.leave()
    Console(width=120).print(table)


if __name__ == "__main__":
    try:
        asyncio.run(main(int(os.environ.get("BENCH_JOBS", "30000"))))
    except KeyboardInterrupt:
        sys.exit(130)
