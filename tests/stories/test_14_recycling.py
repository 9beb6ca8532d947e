"""Recycling: a process that has run enough jobs finishes what runs and ends, and another goes on in its place."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

import rota
from rota import Client, Run, connect, job
from rota.settings.load import load
from tests.servers import RedisServer

ROOT = Path(__file__).parents[2]


@job(max_attempts=1)
async def who_runs_me(run: Run) -> int:
    return os.getpid()


@pytest.fixture
async def client(server: RedisServer) -> AsyncIterator[Client]:
    async with await connect(load({"REDIS_URL": server.url})) as client:
        yield client


@pytest.fixture
def service(server: RedisServer, tmp_path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """`rota worker --respawn`, as you would start it in a terminal."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(
            map(str, (Path(rota.__file__).parents[1], ROOT, Path(__file__).parent))
        ),
        "REDIS_URL": server.url,
        "JOBS_PACKAGE": __name__,
        "QUEUE_CONCURRENCY": "2",
        "RECYCLE_AFTER_JOBS": "10",
    }
    command = [sys.executable, "-m", "rota", "worker", "--respawn"]
    process = subprocess.Popen(command, cwd=tmp_path, env=environment)
    yield process
    process.kill()
    process.wait(10)


async def test_no_process_runs_many_more_jobs_than_it_should(
    client: Client, service: "subprocess.Popen[bytes]"
) -> None:
    handles = await client.enqueue_many(who_runs_me.call() for _ in range(25))
    pids = Counter([await handle.result(timeout=60) for handle in handles])

    # Ten (or nine: processes that start together are not to end together), and what ran beside the last of them.
    assert len(pids) >= 2
    assert max(pids.values()) <= 10 + 2 * 2

    # What starts the workers is none of them, and ends with the last one when it is told to.
    assert service.pid not in pids
    service.send_signal(signal.SIGTERM)
    assert service.wait(30) == 0
