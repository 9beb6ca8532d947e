"""What jobs take in Redis: `python -m benchmarks.memory`, while they wait and once their results are kept.

Bytes are the growth of the server's used_memory, divided by the jobs; the columns of kinds add up MEMORY USAGE of the
keys. What belongs to no key are the tables that list the keys, and memory that the allocator does not use. The jobs are
`noop`, each with a number, and nothing is recorded. BENCH_JOBS has the numbers of jobs, and BENCH_SERVER names another
program than the embedded server, such as `redis-server`.
"""

import asyncio
import os
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks.bench import Bench
from benchmarks.process import WorkerProcess
from benchmarks.producers import Producer
from benchmarks.server import PrivateServer
from benchmarks.systems import SYSTEMS

_COUNTS = "10000,100000"
#: The keys whose memory is asked for in one round trip.
_PAGE = 1_000
#: This many jobs run before, so that the server has its scripts, tables and lists, for which the others do not pay.
_FIRST = 100
_SYSTEM = next(system for system in SYSTEMS if system.key == "rota")

_KINDS = {"arq:job:": "payload", "arq:result:": "result", "arq:queue:": "queue", "rota:events": "events"}


class State(NamedTuple):
    """The memory of a server at one moment: in all, and of the keys of each kind."""

    used: int
    kinds: Counter[str]

    async def since(self, redis: Any) -> "State":
        """Return the memory that the server has taken since this moment."""
        now = await look(redis)
        kinds = Counter({kind: size - self.kinds[kind] for kind, size in now.kinds.items()})
        return State(now.used - self.used, kinds)


async def look(redis: Any) -> State:
    """Measure every key of a server, and then the server."""
    kinds: Counter[str] = Counter()
    page: list[bytes] = []
    async for key in redis.scan_iter(count=_PAGE):
        page.append(key)
        if len(page) == _PAGE:
            await _add(redis, page, kinds)
            page.clear()
    await _add(redis, page, kinds)
    return State((await redis.info("memory"))["used_memory"], kinds)


async def _add(redis: Any, keys: list[bytes], kinds: Counter[str]) -> None:
    pipe = redis.pipeline(transaction=False)
    for key in keys:
        pipe.memory_usage(key, samples=0)
    for key, size in zip(keys, await pipe.execute(), strict=True):
        name = key.decode("utf-8", "replace")
        kinds[next((kind for head, kind in _KINDS.items() if name.startswith(head)), "others")] += size or 0


async def measure(folder: Path, count: int) -> tuple[str, dict[str, State]]:
    """Return the server's version, and what `count` jobs take of it while they wait and once they are over."""
    async with PrivateServer(folder) as server:
        assert _SYSTEM.own is not None
        producer = await _SYSTEM.own(server.url)
        try:
            await producer.many("noop", range(_FIRST))
            await _drain(server, producer, folder)
            before = await look(server.redis)
            await producer.many("noop", range(_FIRST, _FIRST + count))
            waiting = await before.since(server.redis)
            await _drain(server, producer, folder)
            return await server.version(), {"waiting": waiting, "kept": await before.since(server.redis)}
        finally:
            await producer.close()


async def _drain(server: PrivateServer, producer: Producer, folder: Path) -> None:
    async with WorkerProcess(_SYSTEM.command(), _SYSTEM.env, server.url, folder) as worker:
        await Bench(_SYSTEM, server, worker, producer, producer).drain()
        await worker.stop()


async def _measured() -> None:
    console = Console()
    for count in map(int, os.environ.get("BENCH_JOBS", _COUNTS).split(",")):
        with TemporaryDirectory(prefix="bench-") as folder:
            version, states = await measure(Path(folder), count)
        console.print(_table(f"{count:,} jobs, {version}: bytes a job", count, states))


def _table(title: str, count: int, states: dict[str, State]) -> Table:
    kinds = [*_KINDS.values(), "others"]
    table = Table("", "in all", *kinds, "no key's", title=title)
    for name, state in states.items():
        sizes = [state.kinds[kind] for kind in kinds]
        figures = [state.used, *sizes, state.used - sum(sizes)]
        table.add_row(name, *(f"{figure / count:.0f}" for figure in figures))
    return table


if __name__ == "__main__":
    asyncio.run(_measured())
