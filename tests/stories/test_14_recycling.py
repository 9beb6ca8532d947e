"""Recycling: a process that has run enough jobs finishes what runs and ends, and another goes on in its place."""

import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from rota import Client, Run, connect, job
from rota.settings.load import load
from tests.processes import ROOT, Worker, environment
from tests.servers import RedisServer


@job(max_attempts=1)
async def who_runs_me(run: Run) -> int:
    return os.getpid()


@pytest.fixture
async def client(server: RedisServer) -> AsyncIterator[Client]:
    async with await connect(load({"REDIS_URL": server.url})) as client:
        yield client


@pytest.fixture
def service(server: RedisServer, tmp_path: Path) -> Iterator[Worker]:
    """Start `rota worker --respawn`, as you would in a terminal."""
    variables = environment(
        *(ROOT, Path(__file__).parent),
        REDIS_URL=server.url,
        JOBS_PACKAGE=__name__,
        QUEUE_CONCURRENCY="2",
        RECYCLE_AFTER_JOBS="10",
    )
    service = Worker(tmp_path / "log", variables, "worker", "--respawn")
    yield service
    service.close()


async def test_no_process_runs_many_more_jobs_than_it_should(client: Client, service: Worker) -> None:
    handles = await client.enqueue_many(who_runs_me.call() for _ in range(25))
    pids = Counter([await handle.result(timeout=60) for handle in handles])

    # Ten (or nine: processes that start together should not end together), and the jobs that ran beside the last one.
    assert len(pids) >= 2
    assert max(pids.values()) <= 10 + 2 * 2

    # The process that starts the workers runs no job, and ends with the last worker when it is told to.
    assert service.pid not in pids
    service.send(signal.SIGTERM)
    assert await service.ended() == 0
