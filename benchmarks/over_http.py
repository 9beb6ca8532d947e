"""Enqueues over HTTP, by a real process of MODE=api, beside those of a client that enqueues directly.

Callers are in a process of their own. Nobody works the jobs off: what is enqueued is counted at the end.
"""

import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.callers import WARM_UP
from benchmarks.failures import BenchFailed, LedgerMismatch
from benchmarks.process import ROOT, WorkerProcess
from benchmarks.server import PrivateServer, free_port
from benchmarks.sizes import Sizes
from rota.model.access.keys import Scope, make
from rota.wire.access import AccessRecords

#: The longest time that callers may take, in seconds.
STANDSTILL = 120.0
_COMMAND = [sys.executable, "-m", "rota"]
_ENV = {
    "MODE": "api",
    "ENABLE_JOB_RUNNER": "false",
    "JOBS_PACKAGE": "benchmarks.jobs",
    "APP_ENV": "development",
    "METRICS_PORT": "off",
    "LOG_LEVEL": "warning",
}


async def measure(sizes: Sizes) -> dict[str, float]:
    """Return the rates of all ways to enqueue, one after the other. Raises LedgerMismatch, BenchFailed."""
    with TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        async with PrivateServer(folder) as server, api_process(server, folder, Scope.ENQUEUE) as place:
            where = ("--port", str(place.port), "--pid", str(place.pid), "--key", place.key)
            figures = await _called("--url", server.url, *where, "--total", str(sizes.requests))
            await _check(server, 4 * sizes.requests + 2 * WARM_UP)
    return figures


@dataclass(frozen=True, slots=True)
class Place:
    """An API that answers: its port, its process, and a key that it takes."""

    port: int
    pid: int
    key: str

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"


@asynccontextmanager
async def api_process(
    server: PrivateServer, folder: Path, scope: Scope, *, gives_way: bool = False, **variables: str
) -> AsyncIterator[Place]:
    """Run the API while a block lasts, with a key of this scope. `folder` takes its log.

    :param gives_way: whether the process gets only what time others leave.
    """
    port = free_port()
    text, key = make(frozenset({scope}))
    await AccessRecords(server.redis, "rota").put({key.id: key.write()})
    env = {**_ENV, "API_PORT": str(port), **variables}
    command = ["nice", "-n", "19", *_COMMAND] if gives_way else _COMMAND
    async with WorkerProcess(command, env, server.url, folder) as api:
        await api.until(lambda: _listens(api, port), "it did not listen")
        yield Place(port, api.pid, text)


def _listens(api: WorkerProcess, port: int) -> bool:
    api.check()
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def _called(*options: str) -> dict[str, float]:
    """Run callers in a process of their own, and return their figures. Raises BenchFailed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.callers", *options,
        cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(STANDSTILL):
            out, errors = await process.communicate()
    except TimeoutError:
        raise BenchFailed(f"callers did not come to an end within {STANDSTILL:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode:
        raise BenchFailed(f"callers ended with status {process.returncode}\n{errors.decode()[-2_000:]}")
    found: dict[str, float] = json.loads(out)
    return found


async def _check(server: PrivateServer, enqueued: int) -> None:
    found = await server.redis.zcard("arq:queue:bench")
    if found != enqueued:
        raise LedgerMismatch(f"of {enqueued} jobs that were answered for, {found} are there")
