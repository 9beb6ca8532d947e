"""What the dashboard costs: how long its pages take among few jobs and many, and what open ones take from workers.

The API is a real process of MODE=api. Its pages are asked for by a visitor who has logged in. BENCH_WAITING and
BENCH_RECORDED set how many jobs wait, and how many rows the audit table has. `python -m benchmarks.dashboard` measures
this alone.
"""

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from urllib.parse import urlencode

import httpx2
from sqlalchemy import text

from benchmarks import ledger
from benchmarks.bench import Bench, set_up
from benchmarks.failures import BenchFailed
from benchmarks.over_http import api_process
from benchmarks.process import ROOT
from benchmarks.producers import OwnProducer
from benchmarks.rounds import work_off
from benchmarks.server import PrivateServer
from benchmarks.sizes import Sizes
from benchmarks.systems import SYSTEMS, System
from benchmarks.visitors import log_in
from rota.model.access.keys import Scope
from rota.settings.database_url import DatabaseTarget
from rota.store import migrations
from rota.store.engine import Database
from tests.databases import PostgresServer, new_schema, shared_folder

#: The pages that are measured, beside that of a job that waits.
PAGES = (
    "/",
    "/queues",
    "/queues/bench",
    "/jobs?queue=bench&state=waiting",
    "/jobs?status=COMPLETED",
    "/jobs?queue=bench&status=COMPLETED",
    "/failures",
    "/flows",
    "/schedules",
    "/workers",
    "/activity",
    "/system",
)
#: How often each page is asked for before its time counts, so that connections and caches are warm.
_WARM_UP = 2
#: What waits and is recorded at first, so that lists are as long as they ever are.
_FEW = 200
_PORTION = 5_000
#: How many times the backlog of a round is worked off, which has to take seconds: pages ask once in two.
_TIMES = 3
#: Open dashboards, whose cost is promised.
OPEN = 10
_ROWS = text("""
    INSERT INTO _jobs (
        id, queue, name, payload, status, attempts, enqueued_at, started_at, finished_at, worker, event
    )
    SELECT 'bench:' || n, 'bench', 'noop', '{"number": 1}', 'COMPLETED', 1, at, at, at, 'bench-1', n || '-0'
    FROM generate_series(CAST(:first AS integer), CAST(:last AS integer)) AS n,
        LATERAL (SELECT clock_timestamp() - n * interval '50 ms' AS at) AS moment
""")


async def measure(system: System, sizes: Sizes) -> dict[str, float]:
    """Return both: the times of pages, and the cost of open ones."""
    return await times(sizes) | await cost(system, sizes)


async def times(sizes: Sizes) -> dict[str, float]:
    """Return how long the slowest page takes among many jobs, and how many times as long as among few."""
    with TemporaryDirectory(prefix="bench-") as name, _postgres() as postgres:
        folder = Path(name)
        schema = await new_schema(postgres)
        await migrations.prepare(DatabaseTarget.from_url(schema), "auto")
        async with (
            PrivateServer(folder) as server,
            api_process(server, folder, Scope.ADMIN, DATABASE_URL=schema) as place,
            httpx2.AsyncClient(base_url=place.url, timeout=60) as http,
            contextlib.aclosing(_Backlog(server.url, schema)) as backlog,
        ):
            await log_in(http, place.key)
            newest = await backlog.grow(_FEW, _FEW)
            few = await _asked(http, newest, sizes.looks)
            await backlog.grow(sizes.waiting, sizes.recorded)
            many = await _asked(http, newest, sizes.looks)
    for page, took in many.items():
        sys.stderr.write(f"    {took:6.1f} ms, {few[page]:6.1f} ms among few: {page}\n")
    return {"page_ms": max(many.values()), "page_times": max(many[page] / few[page] for page in many)}


async def cost(system: System, sizes: Sizes) -> dict[str, float]:
    """Return the share of a worker's throughput that it keeps while dashboards are open. Raises BenchFailed."""
    shares = []
    with TemporaryDirectory(prefix="bench-") as name:
        async with (
            set_up(system) as bench,
            api_process(bench.server, Path(name), Scope.ADMIN, gives_way=True) as place,
        ):
            before = await _rate(bench, sizes)
            for _ in range(sizes.rounds):
                async with _open(place.url, place.key):
                    shown = await _rate(bench, sizes)
                # A fuller Redis is slower: what lies before and behind is compared with.
                after = await _rate(bench, sizes)
                shares.append(shown / ((before + after) / 2))
                before = after
            ledger.check(await bench.worker.stop(), bench.enqueued)
    return {"dashboards_share": median(shares)}


async def _rate(bench: Bench, sizes: Sizes) -> float:
    """Let the worker work off a backlog; return the jobs a second."""
    count = _TIMES * sizes.jobs
    await bench.worker.freeze()
    await bench.producer.fill("noop", bench.numbers(count))
    rate, _, _ = await work_off(bench, count)
    return rate


@asynccontextmanager
async def _open(url: str, key: str) -> AsyncIterator[None]:
    """Keep dashboards open while a block lasts, in a process that gets what time workers and Redis leave.

    Raises BenchFailed where they end before.
    """
    process = await asyncio.create_subprocess_exec(
        *("nice", "-n", "19", sys.executable, "-m", "benchmarks.visitors", url, str(OPEN)),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(key.encode() + b"\n")
        async with asyncio.timeout(60):
            await process.stdout.readuntil(b"open\n")
        yield
        if process.returncode is not None:
            raise BenchFailed("the open dashboards ended before the jobs did, so their cost is not known")
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _asked(http: httpx2.AsyncClient, job_id: str, looks: int) -> dict[str, float]:
    """Return the median time of each page, in milliseconds."""
    took = {}
    for page in (*PAGES, f"/job?{urlencode({'queue': 'bench', 'id': job_id})}"):
        seen = []
        for _ in range(_WARM_UP + looks):
            began = time.perf_counter()
            answer = await http.get(f"/ui{page}")
            seen.append((time.perf_counter() - began) * 1000)
            answer.raise_for_status()
        took[page.partition("&id=")[0]] = median(seen[_WARM_UP:])
    return took


class _Backlog:
    """The jobs that wait in a Redis, and the rows of an audit table."""

    def __init__(self, url: str, schema: str) -> None:
        self._url = url
        self._database = Database(DatabaseTarget.from_url(schema), patience=None)
        self._waiting = self._recorded = 0

    async def grow(self, waiting: int, recorded: int) -> str:
        """Add jobs until this many wait and are recorded; return the id of the one that was enqueued last."""
        job_id = ""
        producer = await OwnProducer.connect(self._url)
        for first in range(self._waiting, waiting, _PORTION):
            job_id = (await producer.fill("noop", range(first, min(first + _PORTION, waiting))))[-1]
        await producer.close()
        async with self._database.write() as connection:
            await connection.execute(_ROWS, {"first": self._recorded, "last": recorded - 1})
            # As the server itself does some time after a table has grown.
            await connection.execute(text("ANALYZE _jobs"))
        self._waiting, self._recorded = waiting, recorded
        return job_id

    async def aclose(self) -> None:
        await self._database.close()


@contextmanager
def _postgres() -> Iterator[PostgresServer]:
    server = PostgresServer(shared_folder())
    server.join()
    try:
        yield server
    finally:
        server.leave()


if __name__ == "__main__":
    print(asyncio.run(measure(SYSTEMS[-1], Sizes.read(os.environ))))
