"""How long it takes from the start of a process to the body of its first job, which waits already.

Logs are JSON, as in production: those for the console load structlog and rich. Beside that, what an interpreter takes
that does nothing, and one that imports the package. `python -m benchmarks.conditions.startup` writes to startup.txt
which modules take the worker's time, by `python -X importtime`.
"""

import asyncio
import re
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median

import psutil
from arq.constants import result_key_prefix
from arq.jobs import deserialize_result

import rota
from benchmarks.conditions.jobs import TASKS
from benchmarks.conditions.series import Figures, Measure, Series
from benchmarks.conditions.sizes import Sizes
from benchmarks.conditions.stage import Stage, staged
from benchmarks.process import ROOT

NOTHING, IMPORT, FIRST_JOB = "an interpreter alone", "import rota", "to the first job"
OUTPUT = Path(__file__).with_suffix(".txt")
_JSON = {"LOG_FORMAT": "json"}
_TIMED = (sys.executable, "-X", "importtime", "-m", "rota", "worker")
#: Told by the interpreter of each module: its own time in µs, and its name.
_LINE = re.compile(r"import time: +(\d+) \| +\d+ \| +(\S+)")
#: Each module's shortest time of this number of takes counts.
_TAKES, _TOP = 4, 30


@asynccontextmanager
async def _open(sizes: Sizes) -> AsyncIterator[Measure]:
    async with staged(workers=0) as stage:

        async def measure(point: str) -> Figures:
            taken = [await _once(stage, point) for _ in range(sizes.starts)]
            return {name: median(one[name] for one in taken) for name in taken[0]}

        yield measure


async def _once(stage: Stage, point: str) -> Figures:
    if point == FIRST_JOB:
        return await _first_job(stage)
    code = "pass" if point == NOTHING else "import rota"
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, cwd=ROOT / "src")
    await process.wait()
    return {"ms": (time.perf_counter() - began) * 1000}


async def _first_job(stage: Stage) -> Figures:
    (number,) = stage.numbers(1)
    handle = await stage.client.enqueue(TASKS["stamp"][0], number)
    began = time.monotonic_ns()
    async with stage.worker(_JSON) as worker:
        await stage.until(0)
        figures = {
            "cpu_ms": worker.cpu() * 1000,
            "rss_mb": psutil.Process(worker.pid).memory_info().rss / 2**20,
        }
        await stage.end()
    raw = await stage.server.redis.get(result_key_prefix + handle.id)
    body = deserialize_result(raw, deserializer=rota.job_deserializer).result
    return {"ms": (body - began) / 1e6, **figures}


def _points(sizes: Sizes) -> Sequence[str]:
    return (NOTHING, IMPORT, FIRST_JOB)


STARTUP = Series("startup", "from the start of a process", "", _points, _open)


async def imports() -> list[str]:
    """Return lines: the modules whose own import takes a worker longest, of those until its first job."""
    shortest: dict[str, int] = {}
    async with staged(workers=0) as stage:
        for _ in range(_TAKES):
            await stage.client.enqueue(TASKS["stamp"][0], 0)
            async with stage.worker(_JSON, command=_TIMED) as worker:
                await stage.until(0)
                log = worker.log()
            for own, name in _LINE.findall(log):
                shortest[name] = min(shortest.get(name, int(own)), int(own))
    packages = Counter[str]()
    for name, own in shortest.items():
        packages[".".join(name.split(".")[: 2 if name.startswith("rota.") else 1])] += own
    total = sum(shortest.values())
    lines = [f"{len(shortest)} modules, {total / 1000:.0f} ms in all; by package, and the longest, ms:"]
    for told in (packages, Counter(shortest)):
        lines += ["", *(f"{own / 1000:7.1f}  {name}" for name, own in told.most_common(_TOP))]
    return lines


if __name__ == "__main__":
    told = "\n".join(asyncio.run(imports()))
    OUTPUT.write_text(f"{told}\n", "utf-8")
    print(told)
