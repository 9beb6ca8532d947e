"""A worker's start and end: faults of Redis do not end the start, and nothing that hangs outlasts two signals."""

import asyncio
import signal
import time

import pytest

from rota.process.signals import ECHO
from rota.wire.scripts import PUBLISH
from tests.faults.fleet import JOBS, Fleet
from tests.faults.proxy import Answer, Proxy, containing
from tests.faults.test_redis_faults import ERRORS
from tests.processes import Worker
from tests.servers import RedisServer
from tests.waiting import until

HANGING = "tests.faults.jobs_that_hang"


async def hanging(fleet: Fleet, where: str) -> Worker:
    """Start a worker whose lifespan hangs, and wait until it does."""
    worker = fleet.spawn(jobs_package=HANGING, hangs=where)
    if "end" in where:
        await until(lambda: worker.says("worker.ready"), f"it works: {worker.log}")
        worker.send(signal.SIGTERM)
    await until(lambda: worker.says("hangs"), f"it hangs: {worker.log}")
    return worker


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_a_lifespan_that_hangs_as_it_starts_is_stopped_by_a_signal(
    fleet: Fleet, signum: signal.Signals
) -> None:
    worker = await hanging(fleet, "start")
    worker.send(signum)
    assert await worker.ended(5) == 0
    (stopped,) = worker.events("worker.stopped")
    assert stopped["why"] == signum.name
    assert not worker.says("worker.ready")


async def test_one_that_hangs_as_it_ends_is_stopped_by_the_next_signal(fleet: Fleet) -> None:
    worker = await hanging(fleet, "end")
    worker.send(signal.SIGINT)
    assert await worker.ended(5) == 0
    assert worker.says("worker.hurried")


@pytest.mark.parametrize("where", ["start deaf", "end deaf"])
async def test_one_that_ignores_its_cancellation_does_not_outlast_a_second_signal(
    fleet: Fleet, where: str
) -> None:
    worker = await hanging(fleet, where)
    worker.send(signal.SIGTERM)
    if "start" in where:
        await until(lambda: worker.says("worker.draining"), "it is told")
        worker.send(signal.SIGTERM)
    told_at = time.monotonic()
    assert await worker.ended(10) == 1
    assert time.monotonic() - told_at < 5
    (cut,) = worker.events("worker.cut_short")
    assert cut["while"] == ("starting" if "start" in where else "ending")


@pytest.mark.parametrize("where", ["start blocking", "end blocking"])
async def test_one_that_blocks_the_event_loop_is_ended_by_a_signal_that_comes_again(
    fleet: Fleet, where: str
) -> None:
    worker = await hanging(fleet, where)
    worker.send(signal.SIGINT)
    await asyncio.sleep(ECHO * 1.1)  # what comes at once is the same signal
    worker.send(signal.SIGINT)
    assert await worker.ended(5) == 1
    assert worker.says("worker.cut_short")


@pytest.mark.parametrize("fault", ["cut", "LOADING", "READONLY"])
async def test_a_fault_of_redis_while_a_worker_starts_is_tried_again(
    fleet: Fleet, server: RedisServer, fault: str
) -> None:
    """Its jobs have limits, which are written to Redis before it works."""
    async with Proxy(server.port) as proxy:
        writes = containing(PUBLISH.sha)
        proxy.answers.append(Answer(writes, b"" if fault == "cut" else ERRORS[fault], times=2))
        worker = fleet.spawn(redis_url=f"redis://127.0.0.1:{proxy.port}", jobs_package=JOBS, boot_timeout=10)
        if fault == "cut":
            await until(lambda: proxy.answers[0].seen, "it writes")
            proxy.cut()
        await until(lambda: worker.says("worker.ready"), f"ready: {worker.log}")
        assert worker.says("redis.waiting")
        worker.send(signal.SIGTERM)
        assert await worker.ended() == 0
