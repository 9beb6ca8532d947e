"""A worker process of many queues: its connections do not grow with them, and each queue is served at once."""

import signal
import time
from collections.abc import Awaitable, Iterator
from pathlib import Path

import pytest

from rota import Client
from rota.app.resources import MOST
from rota.server import connections
from rota.server.target import RedisTarget
from tests.processes import Worker, environment
from tests.servers import RedisServer
from tests.waiting import until

QUEUES = 20
#: Beside the shared ones: of the lease keeper, of the heartbeat, that which waits for tokens, that which waits to be
#: asked where jobs are, that on which it hears of changes, and two of the election.
OWN = 7
#: One for each service of the process that leads.
LEADERS = 4

JOBS = f"""
from rota import Run, job

def make(number):
    @job(queue=f"q{{number}}", name="work")
    async def work(run: Run) -> int:
        return number
    return work

globals().update({{f"work{{number}}": make(number) for number in range({QUEUES})}})
"""


@pytest.fixture
def workers(own_server: RedisServer, tmp_path: Path) -> Iterator[list[Worker]]:
    """Yield two workers of all queues, on a server of their own."""
    (tmp_path / "many.py").write_text(JOBS, "utf-8")
    settings = {"REDIS_URL": own_server.url, "JOBS_PACKAGE": "many", "METRICS_PORT": "off"}
    own = environment(tmp_path, HOME=str(tmp_path), LOG_FORMAT="json", **settings)
    workers = [Worker(tmp_path / f"{number}.log", own) for number in range(2)]
    yield workers
    for worker in workers:
        worker.close()


async def test_a_process_has_few_connections_however_many_queues_it_serves(
    workers: list[Worker], own_server: RedisServer
) -> None:
    await until(lambda: all(worker.says("worker.ready") for worker in workers), "they work", 30)
    async with Client(connections.async_client(RedisTarget.from_url(own_server.url))) as client:
        began = time.monotonic()
        for _ in range(6):
            handles = [await client.enqueue_by_name(f"q{number}:work", {}) for number in range(QUEUES)]
            assert [await handle.result(10) for handle in handles] == list(range(QUEUES))
        # By themselves the queues would find their jobs within three seconds each time.
        assert time.monotonic() - began < 12

        async def listened_to() -> int:
            return int((await client.redis.info("stats"))["tracking_total_keys"])

        # One worker of each queue hears of what stock clients enqueue, and of its health key.
        await until(lambda: is_all(listened_to()), "each queue is listened to")

        async def few() -> bool:
            return len(await client.redis.client_list()) <= 2 * (MOST + OWN) + LEADERS + 1

        # On a busy machine the lead may have passed to the other process, and those of both are open for a moment.
        await until(few, "connections are few")
        for worker in workers:
            worker.send(signal.SIGTERM)
            assert await worker.ended() == 0
        await until(lambda: nothing(client.redis.keys("arq:bell:*")), "no bell is left")


async def is_all(keys: Awaitable[int]) -> bool:
    return await keys == 4 * QUEUES


async def nothing(keys: Awaitable[list[bytes]]) -> bool:
    return not await keys
