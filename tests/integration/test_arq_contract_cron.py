"""arq's cron jobs: ticks, uniqueness, start-up runs, and what is left; on arq's worker and on ours alike."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pytest
from arq.connections import ArqRedis
from arq.cron import cron
from arq.utils import to_unix_ms
from arq.worker import JobExecutionFailed, Retry, Worker

from rota.worker.worker import QueueWorker
from tests.integration.arq_holes.side_by_side import FAR_AHEAD, Kind, both, burst, make, running
from tests.waiting import until
from tests.workers import at_work

Ctx = dict[Any, Any]
EVERY_SECOND = set(range(60))
#: A day far ahead, so that nothing enqueued for it runs.
NOON = datetime(2099, 6, 1, 12, 0, 0, 200_000, tzinfo=UTC)
TICK = NOON.replace(second=1, microsecond=0)


async def tick(ctx: Ctx) -> None:
    """Return at once, with nothing done."""


def every_second(**options: Any) -> Any:
    return cron(tick, name="tick", second=EVERY_SECOND, microsecond=0, **options)


async def schedule(worker: Worker, now: datetime = NOON) -> None:
    """Run two heartbeats at `now`, and return what they enqueued."""
    for _ in range(2):
        await worker.run_cron(now, 0.5)


@both
async def test_a_near_tick_is_enqueued_for_its_time(kind: Kind, redis: ArqRedis) -> None:
    worker = make(kind, redis, [], cron_jobs=[every_second()])
    await schedule(worker)
    job_id = f"tick:{to_unix_ms(TICK)}"
    assert await redis.zrange("arq:queue", 0, -1, withscores=True) == [(job_id.encode(), to_unix_ms(TICK))]
    (job,) = await redis.queued_jobs()
    assert (job.function, job.args, job.kwargs) == ("tick", (), {})
    await worker.close()


@both
async def test_a_far_tick_waits(kind: Kind, redis: ArqRedis) -> None:
    worker = make(kind, redis, [], cron_jobs=[cron(tick, minute=1, second=5)])
    await schedule(worker)
    assert await redis.exists("arq:queue") == 0
    await worker.close()


@pytest.mark.parametrize(
    "kinds",
    [(Worker, Worker), (QueueWorker, QueueWorker), (Worker, QueueWorker), (QueueWorker, Worker)],
    ids=["arq", "rota", "arq-rota", "rota-arq"],
)
@pytest.mark.parametrize(("unique", "jobs"), [(True, 1), (False, 2)])
async def test_a_tick_of_two_workers_is_one_job_if_unique(
    kinds: tuple[Kind, Kind], redis: ArqRedis, unique: bool, jobs: int
) -> None:
    for kind in kinds:
        worker = make(kind, redis, [], cron_jobs=[every_second(unique=unique)])
        await schedule(worker)
        await worker.close()
    assert await redis.zcard("arq:queue") == jobs


@both
async def test_a_cron_job_may_have_an_id_of_its_own(kind: Kind, redis: ArqRedis) -> None:
    worker = make(kind, redis, [], cron_jobs=[every_second(job_id="the-tick")])
    await schedule(worker)
    await schedule(worker, NOON + timedelta(seconds=1))
    assert await redis.zrange("arq:queue", 0, -1) == [b"the-tick"]
    await worker.close()


@both
async def test_a_startup_run_comes_at_once_and_the_ticks_follow(kind: Kind, redis: ArqRedis) -> None:
    worker = make(kind, redis, [], cron_jobs=[every_second(run_at_startup=True)])
    await worker.run_cron(NOON, 0.5)
    assert await redis.zrange("arq:queue", 0, -1) == [f"tick:{to_unix_ms(NOON)}".encode()]
    await worker.run_cron(NOON, 0.5)
    assert await redis.zcard("arq:queue") == 2
    await worker.close()


@both
async def test_ticks_follow_the_workers_time_zone(kind: Kind, redis: ArqRedis) -> None:
    zone = timezone(timedelta(hours=5))
    worker = make(kind, redis, [], cron_jobs=[cron(tick, hour=7, minute=30)], timezone=zone)
    await worker.heart_beat()
    (job,) = worker.cron_jobs
    assert job.next_run is not None
    assert (job.next_run.astimezone(UTC).hour, job.next_run.astimezone(UTC).minute) == (2, 30)
    await worker.close()


@pytest.mark.parametrize("day", [datetime(2099, 10, 25, tzinfo=UTC), datetime(2099, 3, 29, tzinfo=UTC)])
@pytest.mark.parametrize(
    ("when", "moments"),
    [
        ({"minute": {0, 30}}, {"00:00", "00:30", "01:00", "01:30", "02:00", "02:30"}),
        ({"hour": 1, "minute": 0}, {"00:00"}),
    ],
    ids=["half-hourly", "daily"],
)
async def test_ticks_go_on_while_the_clock_is_changed(
    redis: ArqRedis, day: datetime, when: dict[str, Any], moments: set[str]
) -> None:
    """In London, where the clock is changed at one o'clock by UTC; arq's worker is silent for 90 minutes."""
    try:
        london = ZoneInfo("Europe/London")
    except ZoneInfoNotFoundError:
        pytest.skip("this machine has no time zones")
    if "hour" in when and day.month == 3:
        moments = {"01:00"}
    worker = make(QueueWorker, redis, [], cron_jobs=[cron(tick, microsecond=0, **when)], timezone=london)
    begin = day - timedelta(seconds=30)
    for seconds in range(0, 3 * 3600, 20):
        await worker.run_cron((begin + timedelta(seconds=seconds)).astimezone(london), 0.5)
    due = [
        datetime.fromtimestamp(ms / 1000, UTC)
        for _, ms in await redis.zrange("arq:queue", 0, -1, withscores=True)
    ]
    assert sorted(f"{moment:%H:%M}" for moment in due) == sorted(moments)
    await worker.close()


@both
async def test_a_finished_tick_is_remembered_for_a_minute(kind: Kind, redis: ArqRedis) -> None:
    ran = []

    async def count(ctx: Ctx) -> None:
        ran.append(ctx["job_id"])

    jobs = [cron(count, name="count", run_at_startup=True, **FAR_AHEAD)]
    async with running(kind, redis, [], cron_jobs=jobs) as worker:
        await until(lambda: worker.jobs_complete == 1)
        await until(lambda: _gone(redis))
        (key,) = await redis.keys("arq:in-progress:*")
        assert key.decode() == f"arq:in-progress:{ran[0]}"
        assert 50_000 < await redis.pttl(key) <= 60_000
        assert await redis.keys("arq:result:*") == []


@both
async def test_a_cron_job_is_tried_once_by_default(kind: Kind, redis: ArqRedis) -> None:
    async def fickle(ctx: Ctx) -> None:
        raise Retry

    jobs = [cron(fickle, name="fickle", **FAR_AHEAD)]
    job = await redis.enqueue_job("fickle", _job_id="mine")
    assert job is not None
    options: Any = {"cron_jobs": jobs, "max_burst_jobs": 1}
    worker = await burst(kind, redis, [], **options)
    assert worker.jobs_retried == 1
    await redis.delete("arq:in-progress:mine")  # arq's worker would wait a minute for it
    await burst(kind, redis, [], **options)
    with pytest.raises(JobExecutionFailed, match="max 1 retries exceeded"):
        await job.result(timeout=5)


@both
async def test_two_workers_run_every_tick_once(kind: Kind, redis: ArqRedis) -> None:
    ran: list[str] = []

    async def count(ctx: Ctx) -> None:
        ran.append(ctx["job_id"])

    def worker() -> Worker:
        job = cron(count, name="count", second=EVERY_SECOND, microsecond=0)
        return make(kind, redis, [], cron_jobs=[job])

    async with at_work(worker(), worker()):
        await until(lambda: len(ran) >= 2)
        await asyncio.sleep(0.1)  # a second run of the last tick would be there by now
    assert len(ran) == len(set(ran))
    seconds = sorted(int(job_id.rpartition(":")[2]) for job_id in ran)
    assert {later - earlier for earlier, later in pairwise(seconds)} == {1000}


async def _gone(redis: ArqRedis) -> bool:
    return not await redis.exists("arq:queue")
