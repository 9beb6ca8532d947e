"""How arq's worker loses work or does it twice: stated, and shown not to happen with ours."""

import asyncio
import contextlib
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from arq.connections import ArqRedis, create_pool
from arq.cron import cron
from arq.jobs import Job
from arq.worker import Retry, Worker, func
from redis.exceptions import RedisError

from rota import job_deserializer, job_serializer
from rota.engine.leases import Holding
from rota.worker.worker import QueueWorker
from tests.faults.proxy import Proxy
from tests.integration.arq_holes.ledger import Ledger, ended, process
from tests.integration.arq_holes.side_by_side import FAR_AHEAD, echo, is_gone, make, named, running
from tests.servers import RedisServer
from tests.waiting import until
from tests.workers import at_work

Ctx = dict[Any, Any]
KINDS = pytest.mark.parametrize("kind", [Worker, QueueWorker], ids=["arq", "rota"])


async def put(redis: ArqRedis, *args: Any, **options: Any) -> Job:
    job = await redis.enqueue_job(*args, **options)
    assert job is not None
    return job


class Gate:
    """A function that waits to be let through, and writes down what happens to it."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.open = asyncio.Event()

    def function(self, **options: Any) -> Any:
        async def gate(ctx: Ctx) -> None:
            self.events.append("start")
            await self.open.wait()
            self.events.append("end")

        return named("gate", gate, **options)


# A worker is killed


@pytest.mark.parametrize(("kind", "locks_for"), [("arq", 310_000), ("rota", 1_000)])
async def test_a_killed_workers_job_waits_for_arqs_lock_or_for_our_lease(
    redis: ArqRedis, server: RedisServer, tmp_path: Path, kind: str, locks_for: int
) -> None:
    redis.job_serializer, redis.job_deserializer = job_serializer, job_deserializer
    ledger = Ledger(tmp_path / "ledger")
    job = await put(redis, "work", 30.0)
    options = {} if kind == "arq" else {"lease": 1.0}
    with process(kind, server, "arq:queue", ledger, **options) as victim:
        await ledger.reaches("start", 1)
        victim.send_signal(signal.SIGKILL)
        await ended(victim)
    left = await redis.pttl(f"arq:in-progress:{job.job_id}")
    assert locks_for - 25_000 < left <= locks_for


async def test_stock_one_function_of_an_hour_locks_all_jobs_for_an_hour(redis: ArqRedis) -> None:
    gate = Gate()
    job = await put(redis, "gate")
    async with running(Worker, redis, [gate.function(), func(echo, timeout=3600)]):
        await until(lambda: gate.events == ["start"])
        assert 3_600_000 < await redis.pttl(f"arq:in-progress:{job.job_id}") <= 3_610_000
        gate.open.set()
        await until(lambda: gate.events == ["start", "end"])


async def test_a_lease_does_not_depend_on_timeouts(redis: ArqRedis) -> None:
    gate = Gate()
    job = await put(redis, "gate")
    functions = [gate.function(), func(echo, timeout=3600)]
    async with running(QueueWorker, redis, functions, lease=2):
        await until(lambda: gate.events == ["start"])
        assert 0 < await redis.pttl(f"arq:in-progress:{job.job_id}") <= 2_000
        gate.open.set()


# A worker is told to stop


async def slow_hook(ctx: Ctx) -> None:
    ctx["entered"].set()
    await asyncio.sleep(0.2)


@KINDS
async def test_a_stop_before_the_handler_ran_hides_the_job_from_all_in_arq_alone(
    redis: ArqRedis, kind: type[Worker]
) -> None:
    shutdowns, entered = [], asyncio.Event()

    async def shutdown(ctx: Ctx) -> None:
        shutdowns.append(True)

    job = await put(redis, "echo", 1)
    hooks = {"on_job_start": slow_hook, "on_shutdown": shutdown}
    async with running(kind, redis, [named("echo", echo)], ctx={"entered": entered}, **hooks):
        await entered.wait()
    left = await redis.pttl(f"arq:in-progress:{job.job_id}")
    if kind is Worker:
        assert 300_000 < left <= 310_000
        assert shutdowns == []
    else:
        assert left < 0
        assert shutdowns == [True]
    assert await redis.zscore("arq:queue", job.job_id) is not None


# Locks


async def test_stock_a_job_that_outlives_its_lock_runs_twice_and_unlocks_the_other(redis: ArqRedis) -> None:
    first, second = Gate(), Gate()
    job = await put(redis, "gate")
    lock = f"arq:in-progress:{job.job_id}"
    async with running(Worker, redis, [first.function()], max_jobs=1):
        await until(lambda: first.events == ["start"])
        await redis.pexpire(lock, 1)  # five minutes later
        async with running(Worker, redis, [second.function()]):
            await until(lambda: second.events == ["start"])
            assert await redis.exists(lock) == 1
            first.open.set()
            await until(lambda: first.events == ["start", "end"])
            await until(lambda: is_gone(redis, lock))
            assert second.events == ["start"]
            second.open.set()


async def test_deleting_the_lock_of_arq_does_not_free_our_job(redis: ArqRedis) -> None:
    first, second = Gate(), Gate()
    job = await put(redis, "gate")
    async with running(QueueWorker, redis, [first.function()], lease=1) as worker:
        await until(lambda: first.events == ["start"])
        await redis.delete(f"arq:in-progress:{job.job_id}")
        async with running(QueueWorker, redis, [second.function()], lease=1):
            await asyncio.sleep(1.5)  # longer than the lease
            assert second.events == []
            first.open.set()
            await until(lambda: worker.jobs_complete == 1)
    assert (first.events, second.events) == (["start", "end"], [])


async def test_a_worker_that_lost_its_lease_neither_ends_nor_frees_the_new_owners_run(
    redis: ArqRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = Gate(), Gate()
    job = await put(redis, "gate")
    stale = make(QueueWorker, redis, [first.function()], lease=1, max_jobs=1, worker_id="stale")
    renew_no_more(monkeypatch, "stale")
    async with at_work(stale):
        await until(lambda: first.events == ["start"])
        async with running(QueueWorker, redis, [second.function()], lease=1) as fresh:
            await until(lambda: second.events == ["start"])
            first.open.set()
            await until(lambda: first.events == ["start", "end"])
            await until(lambda: getattr(stale, "running", None) == 0)
            await asyncio.sleep(0.1)  # a settlement of the first run would be there by now
            assert await job.result_info() is None
            assert await redis.zscore("arq:queue", job.job_id) is not None
            second.open.set()
            await until(lambda: fresh.jobs_complete == 1)
            assert await job.result_info() is not None


async def test_a_worker_that_takes_its_own_job_again_ends_the_former_run(
    redis: ArqRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = []

    async def hold(ctx: Ctx) -> None:
        events.append("start")
        try:
            await asyncio.sleep(30)
        finally:
            events.append("stopped")

    await put(redis, "hold")
    renew_no_more(monkeypatch, "stale")
    async with running(QueueWorker, redis, [named("hold", hold)], lease=1, worker_id="stale") as worker:
        await until(lambda: events.count("start") == 2)
        await until(lambda: "stopped" in events, seconds=0.5)
        assert getattr(worker, "running", None) == 1


def renew_no_more(monkeypatch: pytest.MonkeyPatch, worker_id: str) -> None:
    """Stop renewing one worker's leases, as if its process stood still."""
    renew = Holding.renew

    def renew_others(self: Holding, redis: Any) -> int:
        return 0 if self.scripts.worker == worker_id else renew(self, redis)

    monkeypatch.setattr(Holding, "renew", renew_others)


# Cron

NOON = datetime(2099, 6, 1, 12, 0, 0, 200_000, tzinfo=UTC)


def every_second(**options: Any) -> Any:
    async def tick(ctx: Ctx) -> None:
        """Return at once, with nothing done."""

    return cron(tick, name="tick", second=set(range(60)), microsecond=0, **options)


@pytest.mark.parametrize(("kind", "runs"), [(Worker, 2), (QueueWorker, 1)], ids=["arq", "rota"])
@pytest.mark.parametrize("options", [{}, {"run_at_startup": True}], ids=["plain", "startup"])
async def test_a_scheduler_a_minute_late_runs_a_tick_again_in_arq_alone(
    redis: ArqRedis, kind: type[Worker], runs: int, options: Any
) -> None:
    ticks = []
    for _ in range(2):  # the second scheduler's clock says what the first's said 64 s ago
        worker = make(kind, redis, [], cron_jobs=[every_second(**options)])
        worker.cron_jobs[0].next_run = NOON.replace(second=1, microsecond=0)
        await worker.run_cron(NOON, 0.5)
        ticks += await redis.zrange("arq:queue", 0, -1)
        for member in await redis.zrange("arq:queue", 0, -1):  # it runs, and its minute's lock ends
            await redis.delete("arq:queue", f"arq:job:{member.decode()}")
        await worker.close()
    assert len(ticks) == runs
    assert len(set(ticks)) == 1


@pytest.mark.parametrize("point", range(1, 5))
async def test_a_tick_is_neither_lost_nor_doubled_when_its_connection_is_cut(
    redis: ArqRedis, server: RedisServer, point: int
) -> None:
    await redis.script_flush()  # so that two of the points are around the sending of a script
    async with Proxy(server.port) as proxy:
        pool = await create_pool(proxy.settings)
        worker = make(QueueWorker, pool, [], cron_jobs=[every_second()])
        worker.cron_jobs[0].next_run = NOON.replace(second=1, microsecond=0)
        proxy.arm()
        proxy.cut_at = point
        for _ in range(3):
            with contextlib.suppress(RedisError):
                await worker.run_cron(NOON, 0.5)
        assert (proxy.cuts, await redis.zcard("arq:queue")) == (1, 1)
        await worker.close()
        await pool.aclose(close_connection_pool=True)


@KINDS
async def test_retry_in_a_cron_job_waits_a_minute_in_arq_alone(redis: ArqRedis, kind: type[Worker]) -> None:
    tries = []

    async def fickle(ctx: Ctx) -> None:
        tries.append(ctx["job_try"])
        if len(tries) == 1:
            raise Retry

    jobs = [cron(fickle, name="fickle", max_tries=3, **FAR_AHEAD)]
    await put(redis, "fickle", _job_id="mine")
    async with running(kind, redis, [], cron_jobs=jobs) as worker:
        await until(lambda: worker.jobs_retried == 1)
        if kind is Worker:
            await asyncio.sleep(0.2)  # ten polls
            assert 50_000 < await redis.pttl("arq:in-progress:mine") <= 60_000
            assert tries == [1]
        else:
            await until(lambda: worker.jobs_complete == 1)
            assert tries == [1, 2]


# Clocks


@KINDS
async def test_a_worker_whose_clock_is_late_starts_late_in_arq_alone(
    redis: ArqRedis, kind: type[Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("arq.worker.timestamp_ms", lambda: 1)  # 1970
    await put(redis, "echo", 1)
    async with running(kind, redis, [named("echo", echo)]) as worker:
        if kind is Worker:
            await asyncio.sleep(0.3)  # fifteen polls
            assert worker.jobs_complete == 0
        else:
            await until(lambda: worker.jobs_complete == 1)
