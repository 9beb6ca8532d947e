"""What `QueueWorker` is beyond arq's worker: leases, wake-up, stopping in order, and nothing left behind."""

import asyncio
import signal
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from arq.connections import ArqRedis, RedisSettings, create_pool
from arq.jobs import Job
from arq.worker import Worker
from redis.exceptions import RedisError

from rota import job_deserializer, job_serializer
from rota.engine.wake import POLL
from rota.worker.worker import QueueWorker
from tests.integration.arq_holes.ledger import Ledger, ended, process
from tests.integration.arq_holes.side_by_side import burst, echo, make, named, running, settings_of
from tests.servers import RedisServer
from tests.waiting import until
from tests.workers import at_work

Ctx = dict[Any, Any]


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger")


@pytest.fixture
def stock_client(redis: ArqRedis) -> ArqRedis:
    """Yield a stock client with our serializer pair."""
    redis.job_serializer, redis.job_deserializer = job_serializer, job_deserializer
    return redis


def mine(redis: ArqRedis, functions: list[Any], **options: Any) -> QueueWorker:
    worker = make(QueueWorker, redis, functions, **options)
    assert isinstance(worker, QueueWorker)
    return worker


# Arguments


def test_a_lease_too_short_to_be_kept_is_refused() -> None:
    with pytest.raises(ValueError, match=r"lease is 0\.5 s; it has to be at least 1 s"):
        QueueWorker([echo], lease=0.5, handle_signals=False)


async def test_every_worker_has_an_id_of_its_own(redis: ArqRedis) -> None:
    workers = [mine(redis, [echo]) for _ in range(3)]
    assert len({worker.worker_id for worker in workers}) == 3
    assert mine(redis, [echo], worker_id="blue").worker_id == "blue"


# Leases


async def test_a_running_job_keeps_its_lease(redis: ArqRedis) -> None:
    runs = []

    async def slow(ctx: Ctx) -> None:
        runs.append(ctx["job_try"])
        await asyncio.sleep(1.9)

    await redis.enqueue_job("slow")
    first, second = (mine(redis, [named("slow", slow)], lease=1) for _ in range(2))
    async with at_work(first, second):
        await until(lambda: first.jobs_complete + second.jobs_complete == 1)
    assert runs == [1]


async def test_a_handler_that_blocks_the_loop_keeps_its_lease(
    redis: ArqRedis, server: RedisServer, ledger: Ledger
) -> None:
    """The other worker has its own loop and would claim the job as soon as the lease ended."""
    runs = []
    blocks = threading.Event()

    async def block(ctx: Ctx) -> None:
        runs.append(ctx["job_try"])
        blocks.set()
        time.sleep(1.9)

    async def elsewhere() -> None:
        other = QueueWorker(
            [named("block", block)], lease=1, redis_settings=settings_of(server), handle_signals=False
        )
        async with at_work(other):
            await until(done.is_set)
        assert other.jobs_complete == 0

    def work_elsewhere() -> None:
        assert blocks.wait(30)
        asyncio.run(elsewhere())

    done = asyncio.Event()
    async with running(QueueWorker, redis, [named("block", block)], lease=1) as worker:
        other_loop = asyncio.get_running_loop().run_in_executor(None, work_elsewhere)
        await redis.enqueue_job("block")
        await until(lambda: worker.jobs_complete == 1)
        await asyncio.sleep(0.1)  # the other worker looks at the queue once more
        done.set()
        await other_loop
    assert runs == [1]


async def test_a_job_whose_lease_was_taken_is_cancelled_and_not_counted(redis: ArqRedis) -> None:
    events = []

    async def slow(ctx: Ctx) -> None:
        events.append("start")
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            events.append("cancelled")
            raise

    job = await redis.enqueue_job("slow")
    assert job is not None
    async with running(QueueWorker, redis, [named("slow", slow)], lease=1) as worker:
        await until(lambda: events == ["start"])
        await redis.delete("arq:queue:runs", "arq:queue:active", "arq:queue")
        await until(lambda: events == ["start", "cancelled"])
        assert isinstance(worker, QueueWorker)
        await until(lambda: worker.running == 0)
    assert await job.result_info() is None


async def test_jobs_of_a_killed_process_run_again_within_the_lease_at_their_old_place(
    stock_client: ArqRedis, server: RedisServer, ledger: Ledger
) -> None:
    before = datetime.now(UTC) - timedelta(minutes=1)
    # Distinct milliseconds: jobs of one are in the order of their random ids.
    due = [before + timedelta(milliseconds=ahead) for ahead in range(3)]
    ids = [(await put(stock_client, "work", 30, _defer_until=at)).job_id for at in due]
    with process("rota", server, "arq:queue", ledger, lease=1) as victim:
        await ledger.reaches("start", 3)
        victim.send_signal(signal.SIGKILL)
        await ended(victim)
    killed_at = time.monotonic()
    later = await put(stock_client, "work", 0)
    order = []

    async def work(ctx: Ctx, seconds: float) -> None:
        order.append(ctx["job_id"])

    options: Any = {"job_serializer": job_serializer, "job_deserializer": job_deserializer}
    async with running(QueueWorker, stock_client, [named("work", work)], max_jobs=1, lease=1, **options):
        await until(lambda: len(order) == 4)
    assert time.monotonic() - killed_at < 8
    assert sorted(order) == sorted([*ids, later.job_id])
    assert [job_id for job_id in order if job_id in ids] == ids


async def put(redis: ArqRedis, *args: Any, **options: Any) -> Job:
    job = await redis.enqueue_job(*args, **options)
    assert job is not None
    return job


# Slots


async def test_twenty_workers_of_ten_slots_run_two_hundred_jobs_at_once(redis: ArqRedis) -> None:
    now = 0
    gate = asyncio.Event()

    async def hold(ctx: Ctx) -> None:
        nonlocal now
        now += 1
        await gate.wait()

    workers = [mine(redis, [named("hold", hold)], max_jobs=10) for _ in range(20)]
    async with asyncio.TaskGroup() as group:
        for _ in range(200):
            group.create_task(redis.enqueue_job("hold"))
    async with at_work(*workers):
        await until(lambda: now == 200)
        assert [worker.running for worker in workers] == [10] * 20
        gate.set()
        await until(lambda: sum(worker.jobs_complete for worker in workers) == 200)


async def test_a_running_job_is_not_backlog(redis: ArqRedis) -> None:
    gate = asyncio.Event()

    async def hold(ctx: Ctx) -> None:
        await gate.wait()

    for _ in range(5):
        await redis.enqueue_job("hold")
    async with running(QueueWorker, redis, [named("hold", hold)], max_jobs=2) as worker:
        assert isinstance(worker, QueueWorker)
        await until(lambda: worker.running == 2)
        assert await redis.zcount("arq:queue", "-inf", time.time() * 1000) == 3
        assert await redis.zcard("arq:queue") == 5
        gate.set()
        await until(lambda: worker.jobs_complete == 5)


# Wake-up


async def test_a_stock_clients_job_is_picked_up_at_once(redis: ArqRedis) -> None:
    async def when(ctx: Ctx) -> float:
        return time.time()

    async with running(QueueWorker, redis, [named("when", when)]):
        await asyncio.sleep(0.3)  # the watcher listens
        waits = []
        for _ in range(20):
            enqueued = time.time()
            job = await put(redis, "when")
            waits.append(await job.result(timeout=5, poll_delay=0.01) - enqueued)
    assert sorted(waits)[10] < POLL / 10, "by itself it looks every few seconds"


async def test_an_idle_worker_hardly_talks(redis: ArqRedis, server: RedisServer) -> None:
    async with running(QueueWorker, redis, [echo]):
        await asyncio.sleep(0.7)  # its start is over
        before = (await redis.info("stats"))["total_commands_processed"]
        await asyncio.sleep(2)  # the time that is measured
        after = (await redis.info("stats"))["total_commands_processed"]
    assert after - before <= 5


async def test_a_deferred_job_starts_on_time(redis: ArqRedis) -> None:
    late = []

    async def note(ctx: Ctx) -> None:
        late.append(time.time() - ctx["score"] / 1000)

    async with running(QueueWorker, redis, [named("note", note)]):
        for done in (1, 2, 3):
            await put(redis, "note", _defer_by=0.3)
            await until(lambda done=done: len(late) == done)
    assert min(late) >= 0
    assert sum(late) < 1.5


async def test_a_claimed_job_with_a_changed_score_gets_its_deadline_back(redis: ArqRedis) -> None:
    """A stock client's `Job.abort()` sets the score of a job that it takes for deferred to 1970."""
    gate = asyncio.Event()

    async def hold(ctx: Ctx) -> None:
        await gate.wait()

    job = await put(redis, "hold")
    async with running(QueueWorker, redis, [named("hold", hold), named("echo", echo)]) as worker:
        await until(lambda: getattr(worker, "running", 0) == 1)
        await redis.zadd("arq:queue", {job.job_id: 1})
        other = await put(redis, "echo", 1)
        assert await other.result(timeout=5, poll_delay=0.02) == 1
        score = await redis.zscore("arq:queue", job.job_id)
        assert score is not None
        assert score / 1000 > time.time() + 10
        gate.set()
        await until(lambda: worker.jobs_complete == 2)


async def test_an_idle_queue_has_the_keys_that_arq_would_leave(redis: ArqRedis) -> None:
    await put(redis, "echo", 1)
    async with running(QueueWorker, redis, [named("echo", echo)]) as worker:
        await until(lambda: worker.jobs_complete == 1)
    kinds = {key.rpartition(b":")[0] for key in await redis.keys()}
    assert kinds == {b"arq:result"}


# Stopping


@pytest.mark.parametrize("steps", range(2, 60, 2))
async def test_a_worker_stops_whatever_it_was_just_doing(redis: ArqRedis, steps: int) -> None:
    """On Python 3.11 a cancelled task may go on if it was just sending to Redis."""
    worker = mine(redis, [echo])
    main = asyncio.create_task(worker.async_run())
    for _ in range(steps):
        await asyncio.sleep(0)  # one step of the loop
    worker.stop()
    async with asyncio.timeout(10):
        await worker.close()
        await main


async def test_draining_lets_what_runs_finish_and_claims_no_more(redis: ArqRedis) -> None:
    gate = asyncio.Event()
    ran = []

    async def hold(ctx: Ctx) -> None:
        ran.append(ctx["job_id"])
        await gate.wait()

    for _ in range(3):
        await redis.enqueue_job("hold")
    worker = mine(redis, [named("hold", hold)], max_jobs=2)
    async with at_work(worker):
        await until(lambda: worker.running == 2)
        draining = asyncio.create_task(worker.drain(10))
        await until(lambda: worker.engine is not None and not worker.engine.picking)
        gate.set()
        await draining
        await until(lambda: worker.main_task is not None and worker.main_task.done())
    assert (len(ran), worker.jobs_complete, worker.jobs_retried) == (2, 2, 0)
    assert await redis.zcard("arq:queue") == 1


async def test_what_outlives_the_drain_is_handed_back(redis: ArqRedis) -> None:
    async def hold(ctx: Ctx) -> None:
        await asyncio.sleep(30)

    job = await put(redis, "hold")
    score = await redis.zscore("arq:queue", job.job_id)
    worker = mine(redis, [named("hold", hold)])
    async with at_work(worker):
        await until(lambda: worker.running == 1)
        await worker.drain(0.1)
        await until(lambda: worker.main_task is not None and worker.main_task.done())
    assert worker.jobs_retried == 1
    assert await redis.zscore("arq:queue", job.job_id) == score
    assert await redis.exists(f"arq:in-progress:{job.job_id}") == 0


async def test_a_claim_that_arrives_after_the_stop_is_handed_back_unspent(redis: ArqRedis) -> None:
    for _ in range(20):
        job = await put(redis, "echo", 1)
        worker = mine(redis, [named("echo", echo)])
        main = asyncio.create_task(worker.async_run())
        while worker.engine is None:
            await asyncio.sleep(0)  # each step of the loop counts: the stop comes as early as can be
        worker.stop()
        await worker.close()
        await main
        if not worker.jobs_complete:
            assert await redis.get(f"arq:retry:{job.job_id}") in (None, b"0")
            assert await redis.exists(f"arq:in-progress:{job.job_id}") == 0
        await redis.flushall()


async def test_a_cancelled_main_task_hands_its_jobs_back(redis: ArqRedis) -> None:
    """As when a framework ends its background tasks."""

    async def hold(ctx: Ctx) -> None:
        await asyncio.sleep(30)

    job = await put(redis, "hold")
    score = await redis.zscore("arq:queue", job.job_id)
    worker = mine(redis, [named("hold", hold)])
    main = asyncio.create_task(worker.async_run())
    await until(lambda: worker.running == 1)
    main.cancel()
    with pytest.raises(asyncio.CancelledError):
        await main
    assert await redis.zscore("arq:queue", job.job_id) == score
    assert await redis.exists(f"arq:in-progress:{job.job_id}") == 0
    await worker.close()


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_a_signal_ends_a_process_in_order(
    stock_client: ArqRedis, server: RedisServer, ledger: Ledger, signum: signal.Signals
) -> None:
    job = await put(stock_client, "work", 30)
    with process("rota", server, "arq:queue", ledger) as child:
        await ledger.reaches("start", 1)
        child.send_signal(signum)
        assert await ended(child) == 0
    assert len(ledger.lines("shutdown")) == 1
    assert ledger.lines("end") == []
    assert await stock_client.exists(f"arq:in-progress:{job.job_id}") == 0
    assert await stock_client.zscore("arq:queue", job.job_id) is not None


async def test_a_process_that_waits_for_its_jobs_finishes_them(
    stock_client: ArqRedis, server: RedisServer, ledger: Ledger
) -> None:
    jobs = [await put(stock_client, "work", 1) for _ in range(5)]
    with process("rota", server, "arq:queue", ledger, job_completion_wait=20, max_jobs=4) as child:
        await ledger.reaches("start", 4)
        for signum in (signal.SIGHUP, signal.SIGHUP, signal.SIGTERM):  # as where a terminal is closed
            child.send_signal(signum)
        assert await ended(child) == 0
    assert ledger.count("start") == ledger.count("end")
    assert len(ledger.lines("end")) == 4
    assert len(ledger.lines("shutdown")) == 1
    assert sum([await job.result_info() is not None for job in jobs]) == 4


async def test_a_second_signal_does_not_wait(
    stock_client: ArqRedis, server: RedisServer, ledger: Ledger
) -> None:
    await put(stock_client, "work", 30)
    with process("rota", server, "arq:queue", ledger, job_completion_wait=25) as child:
        await ledger.reaches("start", 1)
        child.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.2)  # a process that did not wait would have ended by now
        assert child.poll() is None
        child.send_signal(signal.SIGTERM)
        assert await ended(child) == 0
    assert len(ledger.lines("shutdown")) == 1


async def test_a_worker_that_a_signal_has_drained_picks_jobs_when_it_is_run_again(redis: ArqRedis) -> None:
    gate = asyncio.Event()

    async def hold(ctx: Ctx) -> None:
        await gate.wait()

    worker = mine(redis, [named("hold", hold)], job_completion_wait=5, burst=True)
    await put(redis, "hold")
    main = asyncio.create_task(worker.async_run())
    await until(lambda: worker.running == 1)
    worker.handle_sig_wait_for_completion(signal.SIGTERM)
    gate.set()
    await main
    assert (worker.jobs_complete, worker.allow_pick_jobs) == (1, False)
    await put(redis, "hold")
    await asyncio.wait_for(worker.async_run(), 10)
    assert worker.jobs_complete == 2
    await worker.close()


async def test_on_stop_is_told_the_signal(redis: ArqRedis) -> None:
    heard: list[signal.Signals] = []
    worker = mine(redis, [echo])
    worker.on_stop = heard.append
    async with at_work(worker):
        await until(lambda: worker.engine is not None)
        worker.handle_sig(signal.SIGTERM)
        await until(lambda: worker.main_task is not None and worker.main_task.done())
        assert heard == [signal.SIGTERM]
    assert heard == [signal.SIGTERM, signal.SIGUSR1]  # as arq's says it of a worker that is closed


# Connections


async def test_the_users_pool_stays_open(redis: ArqRedis) -> None:
    connection = await redis.connection_pool.get_connection()
    await redis.connection_pool.release(connection)
    await burst(QueueWorker, redis, [echo])
    assert connection.is_connected


async def test_no_connection_and_no_thread_is_left(redis: ArqRedis, server: RedisServer) -> None:
    import threading

    async def connections() -> int:
        return len(await redis.client_list())

    # What a test before this one has left is not this one's.
    others = set(threading.enumerate())

    def left(name: str) -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name == name and thread not in others]

    before = await connections()
    for _ in range(3):
        worker = mine(redis, [echo], burst=True)
        await worker.async_run()
        await worker.async_run()
        await worker.close()

    async def as_before() -> bool:
        return await connections() <= before

    await until(as_before)
    assert left("rota-leases") == []
    await until(lambda: not left("rota-stacks"))


async def test_a_pool_from_arqs_create_pool_will_do(server: RedisServer) -> None:
    pool = await create_pool(settings_of(server), default_queue_name="apart")
    job = await put(pool, "echo", 1)
    worker = await burst(QueueWorker, pool, [named("echo", echo)], queue_name=None)
    assert worker.queue_name == "apart"
    assert await job.result(timeout=5) == 1
    await pool.aclose(close_connection_pool=True)


async def test_a_server_that_is_not_there_ends_the_boot_as_in_arq() -> None:
    settings = RedisSettings(host="127.0.0.1", port=1, conn_retries=1, conn_retry_delay=0)
    for kind in (Worker, QueueWorker):
        worker = make(kind, None, [echo], redis_settings=settings)
        with pytest.raises((OSError, RedisError), match="127"):
            await worker.async_run()
        await worker.close()
