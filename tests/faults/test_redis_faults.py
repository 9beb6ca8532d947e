"""Redis fails in every way we know of: the worker lives, loses nothing, and finishes everything once."""

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from arq.connections import ArqRedis, create_pool
from arq.jobs import Job
from arq.worker import Retry, Worker

from rota import Retry as ServiceRetry
from rota import Run, job
from rota.server import clones
from rota.wire.keys import QueueKeys
from rota.wire.queue import QueueScripts
from rota.wire.scripts import RENEW
from rota.worker import shift, worker
from rota.worker.worker import QueueWorker
from tests.faults.proxy import Answer, Proxy, anything, containing
from tests.integration.arq_holes.service import client_for, service
from tests.integration.arq_holes.side_by_side import make, named, running, settings_of
from tests.servers import RedisServer
from tests.streams import events_in
from tests.waiting import until
from tests.workers import at_work

Ctx = dict[Any, Any]

ERRORS = {
    "ERR": b"-ERR something unheard of\r\n",
    "OOM": b"-OOM command not allowed when used memory > 'maxmemory'.\r\n",
    "READONLY": b"-READONLY You can't write against a read only replica.\r\n",
    "LOADING": b"-LOADING Redis is loading the dataset in memory\r\n",
    "NOSCRIPT": b"-NOSCRIPT No matching script. Please use EVAL.\r\n",
    "MISCONF": b"-MISCONF Errors writing to the AOF file: No space left on device\r\n",
    "BUSY": b"-BUSY Redis is busy running a script. You can only call SCRIPT KILL.\r\n",
    "MASTERDOWN": b"-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.\r\n",
    "TRYAGAIN": b"-TRYAGAIN Multiple keys request during rehashing of slot\r\n",
}
SCRIPTS = containing("EVALSHA", "EVAL")


async def put(redis: ArqRedis, *args: Any, **options: Any) -> Job:
    # arq rounds the time up: without this, the job may be due a millisecond after it was put.
    options = {"_defer_by": timedelta(milliseconds=-1), **options}
    found = await redis.enqueue_job(*args, **options)
    assert found is not None
    return found


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait half a second for replies and for the end, so that a test need not wait for longer."""
    monkeypatch.setattr(clones, "REPLY_TIMEOUT", 0.5)
    for function in (clones.rebuild, clones.clone):
        monkeypatch.setattr(function, "__kwdefaults__", {"socket_timeout": 0.5})
    for module in (shift, worker):
        monkeypatch.setattr(module, "LAST_MOMENT", 0.5)


@dataclass
class Story:
    """Three jobs with three fates, through a proxy that fails once they have begun."""

    queue: str
    runs: Counter[str] = field(default_factory=Counter)
    died: BaseException | None = None

    async def enqueue(self, redis: ArqRedis) -> list[Job]:
        return [await put(redis, "work", fate, _queue_name=self.queue) for fate in ("ok", "fail", "retry")]

    def function(self) -> Any:
        async def work(ctx: Ctx, fate: str) -> str:
            self.runs[fate] += 1
            if fate == "fail":
                raise ValueError
            if fate == "retry" and ctx["job_try"] == 1:
                raise Retry
            return fate

        return named("work", work)

    async def play(self, kind: type[Worker], proxy: Proxy, seconds: float = 15.0) -> Worker:
        async def startup(ctx: Ctx) -> None:
            proxy.arm()

        options: Any = {} if kind is Worker else {"lease": 1}
        worker = make(
            kind,
            None,
            [self.function()],
            redis_settings=proxy.settings,
            queue_name=self.queue,
            burst=True,
            on_startup=startup,
            **options,
        )
        try:
            async with asyncio.timeout(seconds):
                await worker.async_run()
        except Exception as error:
            self.died = error
        finally:
            await asyncio.gather(worker.close(), return_exceptions=True)
        return worker

    async def is_as_ever(self, redis: ArqRedis, jobs: Sequence[Job], worker: Worker) -> None:
        """Assert that every job ran as often as without a fault, and ended once."""
        assert self.died is None, self.queue
        assert self.runs == {"ok": 1, "fail": 1, "retry": 2}, self.queue
        counts = (worker.jobs_complete, worker.jobs_failed, worker.jobs_retried)
        assert counts == (2, 1, 1), self.queue
        infos = [await found.result_info() for found in jobs]
        assert [info is not None and info.success for info in infos] == [True, False, True], self.queue
        assert await redis.exists(self.queue, f"{self.queue}:active", f"{self.queue}:runs") == 0, self.queue


async def in_turns(plays: Sequence[Callable[[], Awaitable[None]]], together: int = 8) -> None:
    for start in range(0, len(plays), together):
        await asyncio.gather(*(play() for play in plays[start : start + together]))


# Cut connections


async def count_chunks(redis: ArqRedis, server: RedisServer) -> int:
    """Count the chunks of a story in which nothing fails."""
    async with Proxy(server.port) as proxy:
        story = Story("arq:queue:clean")
        jobs = await story.enqueue(redis)
        worker = await story.play(QueueWorker, proxy)
        await story.is_as_ever(redis, jobs, worker)
        return proxy.chunks


async def test_a_connection_may_be_cut_at_every_point_of_a_run(redis: ArqRedis, server: RedisServer) -> None:
    chunks = await count_chunks(redis, server)
    cut = 0

    def play(point: int) -> Callable[[], Awaitable[None]]:
        async def story_cut_there() -> None:
            nonlocal cut
            async with Proxy(server.port) as proxy:
                proxy.cut_at = point
                story = Story(f"arq:queue:cut{point}")
                jobs = await story.enqueue(redis)
                worker = await story.play(QueueWorker, proxy)
                await story.is_as_ever(redis, jobs, worker)
                cut += proxy.cuts

        return story_cut_there

    await in_turns([play(point) for point in range(1, chunks + 1)])
    assert cut > chunks * 0.8  # a faster run may end before the last points


async def test_stock_a_cut_connection_ends_the_worker_or_leaves_its_job(
    redis: ArqRedis, server: RedisServer
) -> None:
    died = unfinished = 0
    for point in range(1, 13):
        async with Proxy(server.port) as proxy:
            proxy.cut_at = point
            story = Story(f"arq:queue:cut{point}")
            jobs = await story.enqueue(redis)
            await story.play(Worker, proxy, seconds=1)
            died += story.died is not None
            unfinished += any([await found.result_info() is None for found in jobs])
    assert died >= 5
    assert unfinished >= 3


async def test_every_job_of_the_service_has_one_terminal_event_wherever_it_is_cut(
    redis: ArqRedis, server: RedisServer
) -> None:
    def play(point: int) -> Callable[[], Awaitable[None]]:
        @job(queue=f"cut{point}", max_attempts=2)
        async def work(run: Run, fate: str) -> str:
            if fate == "fail":
                raise ValueError
            if fate == "retry" and run.attempt == 1:
                raise ServiceRetry
            return fate

        async def story_cut_there() -> None:
            client = client_for(redis)
            for fate in ("ok", "fail", "retry"):
                await client.enqueue(work, fate=fate)
            async with Proxy(server.port) as proxy:
                pool = await create_pool(proxy.settings)
                worker = service(pool, work)
                proxy.cut_at = point
                worker.on_startup = arm_it(proxy)
                async with at_work(worker):
                    await until(lambda: _is_empty(redis, f"arq:queue:cut{point}"))
                await pool.aclose(close_connection_pool=True)

        return story_cut_there

    points = range(1, 41)
    await in_turns([play(point) for point in points])
    ends: Counter[tuple[str, str]] = Counter()
    for event in events_in(await redis.xrange("rota:events")):
        if event.type in ("completed", "dead"):
            ends[event.queue, event.id] += 1
    assert set(ends.values()) == {1}
    assert Counter(queue for queue, _ in ends) == {f"cut{point}": 3 for point in points}


def arm_it(proxy: Proxy) -> Any:
    async def startup(ctx: Ctx) -> None:
        proxy.arm()

    return startup


async def test_connections_that_are_cut_again_and_again_lose_nothing(
    redis: ArqRedis, server: RedisServer
) -> None:
    runs: Counter[int] = Counter()

    async def work(ctx: Ctx, number: int) -> None:
        runs[number] += 1
        await asyncio.sleep(0.02)

    for number in range(200):
        await redis.enqueue_job("work", number)
    async with Proxy(server.port) as proxy:
        workers = [
            make(QueueWorker, None, [named("work", work)], redis_settings=proxy.settings, lease=2)
            for _ in range(2)
        ]
        async with at_work(*workers):
            await until(lambda: sum(runs.values()) > 10)
            for _ in range(15):
                proxy.cut()
                await asyncio.sleep(0.05)  # new connections are opened between two cuts
            await until(lambda: sum(worker.jobs_complete for worker in workers) == 200)
    assert set(runs.values()) == {1}
    assert await redis.zcard("arq:queue") == 0


# Errors


@pytest.mark.parametrize("error", ERRORS)
async def test_an_error_in_place_of_any_reply_is_waited_out(
    redis: ArqRedis, server: RedisServer, error: str
) -> None:
    def play(first: int, times: int) -> Callable[[], Awaitable[None]]:
        async def story_with_errors() -> None:
            async with Proxy(server.port) as proxy:
                proxy.answers = [Answer(SCRIPTS, ERRORS[error], first, times)]
                story = Story(f"arq:queue:{error}{first}-{times}")
                jobs = await story.enqueue(redis)
                worker = await story.play(QueueWorker, proxy)
                await story.is_as_ever(redis, jobs, worker)
                assert proxy.answers[0].seen >= first

        return story_with_errors

    await in_turns([play(first, times) for first in range(1, 6) for times in (1, 3)], together=10)


@pytest.mark.parametrize("fault", ["READONLY", "cut"])
async def test_a_lease_outlives_renewals_that_fail(redis: ArqRedis, server: RedisServer, fault: str) -> None:
    runs = []

    async def slow(ctx: Ctx) -> None:
        runs.append(ctx["job_try"])
        await asyncio.sleep(2.4)

    await put(redis, "slow")
    async with Proxy(server.port) as proxy:
        if fault != "cut":
            proxy.answers = [Answer(containing(RENEW.sha), ERRORS[fault], first=2, times=1)]
        first = make(QueueWorker, None, [named("slow", slow)], redis_settings=proxy.settings, lease=1.5)
        async with at_work(first):
            await until(lambda: runs == [1])
            async with running(QueueWorker, redis, [named("slow", slow)], lease=1.5):
                while not first.jobs_complete:
                    await asyncio.sleep(0.5)  # about each renewal is cut
                    if fault == "cut":
                        proxy.cut()
    assert runs == [1]


async def test_a_server_that_forgot_the_scripts_is_told_them_again(redis: ArqRedis) -> None:
    async def work(ctx: Ctx) -> None:
        """Return at once, with nothing done."""

    async with running(QueueWorker, redis, [named("work", work)]) as worker:
        for done in (1, 2):
            await redis.script_flush()
            await put(redis, "work")
            await until(lambda done=done: worker.jobs_complete == done)


async def test_a_key_of_the_wrong_type_is_waited_out(
    redis: ArqRedis, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(ctx: Ctx) -> None:
        """Return at once, with nothing done."""

    await redis.set("arq:queue", "no zset")
    async with running(QueueWorker, redis, [named("work", work)], lease=1) as worker:
        await until(lambda: "redis.unavailable" in caplog.messages)
        await redis.delete("arq:queue")
        await put(redis, "work")
        await until(lambda: worker.jobs_complete == 1)


@pytest.mark.parametrize("key", ["arq:retry:mine", "arq:in-progress:mine", "arq:result:mine", "arq:job:mine"])
async def test_a_jobs_key_of_the_wrong_type_harms_that_job_at_most(
    redis: ArqRedis, server: RedisServer, key: str
) -> None:
    async def work(ctx: Ctx) -> None:
        """Return at once, with nothing done."""

    await put(redis, "work", _job_id="mine")
    await redis.delete(key)
    with server.client() as client:
        client.rpush(key, "no string")
    after = await put(redis, "work")
    async with running(QueueWorker, redis, [named("work", work)], lease=1) as worker:
        await after.result(timeout=10, poll_delay=0.02)
        await until(lambda: worker.jobs_complete + worker.jobs_failed == 2)
        await until(lambda: _is_empty(redis, "arq:queue"))


# Silence


async def test_a_way_that_is_silent_for_longer_than_the_lease_runs_nothing_twice(
    redis: ArqRedis, server: RedisServer, hasty: None
) -> None:
    runs: Counter[int] = Counter()

    async def work(ctx: Ctx, number: int) -> None:
        runs[number] += 1
        await asyncio.sleep(1)

    for number in range(10):
        await redis.enqueue_job("work", number)
    async with Proxy(server.port) as proxy:
        options: Any = {"redis_settings": proxy.settings, "lease": 1}
        async with running(QueueWorker, None, [named("work", work)], **options) as worker:
            await until(lambda: len(runs) == 10)
            with proxy.frozen():
                await asyncio.sleep(2)  # twice the lease
            await until(lambda: worker.jobs_complete == 10)
            await until(lambda: _is_empty(redis, "arq:queue"))
    assert set(runs.values()) == {1}


async def test_claims_that_are_handed_over_again_have_a_full_lease(redis: ArqRedis) -> None:
    protocol = QueueScripts(QueueKeys.of("arq:queue"), "mine", 2.0)
    await put(redis, "work", _job_id="one")
    first = await protocol.step(redis, lane=0, seq=1, want=1)
    await asyncio.sleep(0.5)  # a quarter of the first lease is over
    again = await protocol.step(redis, lane=0, seq=1, want=1, resend=True)
    assert [claim.token for claim in again.claims] == [claim.token for claim in first.claims]
    deadlines = [await redis.zscore(queue, "one") for queue in ("arq:queue", "arq:queue:active")]
    assert deadlines == [again.now_ms + 2000] * 2
    assert await redis.pttl("arq:in-progress:one") > 1900


async def test_a_straggler_does_not_make_a_newer_claim_forgotten(redis: ArqRedis) -> None:
    protocol = QueueScripts(QueueKeys.of("arq:queue"), "mine", 30.0)
    for job_id in ("a", "b", "c"):
        await put(redis, "work", _job_id=job_id)
    await protocol.step(redis, lane=0, seq=1, want=1)
    lost = await protocol.step(redis, lane=0, seq=2, want=1)
    straggler = await protocol.step(redis, lane=0, seq=1, want=1, resend=True)
    again = await protocol.step(redis, lane=0, seq=2, want=1, resend=True)
    assert straggler.claims == []
    assert [claim.id for claim in again.claims] == [claim.id for claim in lost.claims] == ["b"]


async def test_half_open_connections_are_given_up(redis: ArqRedis, server: RedisServer, hasty: None) -> None:
    runs: Counter[int] = Counter()

    async def work(ctx: Ctx, number: int) -> None:
        runs[number] += 1
        await asyncio.sleep(0.1)

    async with Proxy(server.port) as proxy:
        options: Any = {"redis_settings": proxy.settings, "lease": 2}
        async with running(QueueWorker, None, [named("work", work)], **options) as worker:
            await redis.enqueue_job("work", 1)
            await until(lambda: len(runs) == 1)
            proxy.strand()
            await redis.enqueue_job("work", 2)
            await until(lambda: worker.jobs_complete == 2)
    assert set(runs.values()) == {1}


@pytest.mark.parametrize("state", ["gone", "silent"])
async def test_a_worker_stops_without_its_server(own_server: RedisServer, hasty: None, state: str) -> None:
    gate = asyncio.Event()
    shutdowns = []

    async def hold(ctx: Ctx) -> None:
        await gate.wait()

    async def shutdown(ctx: Ctx) -> None:
        shutdowns.append(True)

    pool = await create_pool(settings_of(own_server))
    await put(pool, "hold")
    worker = make(QueueWorker, pool, [named("hold", hold)], on_shutdown=shutdown)
    main = asyncio.create_task(worker.async_run())
    await until(lambda: getattr(worker, "running", 0) == 1)
    if state == "gone":
        own_server.stop(signal.SIGKILL)
        await close_within(worker, 8)
    else:
        with own_server.frozen():
            await close_within(worker, 8)
    await main
    assert shutdowns == [True]
    await pool.aclose(close_connection_pool=True)


async def close_within(worker: Worker, seconds: float) -> None:
    async with asyncio.timeout(seconds):
        worker.handle_sig(signal.SIGTERM)
        await worker.close()


# The server stops, stands still, forgets


@pytest.mark.parametrize(("signum", "seconds"), [(signal.SIGTERM, 3.0), (signal.SIGKILL, 0.3)])
async def test_a_restart_amid_load_loses_nothing_and_repeats_nothing(
    own_server: RedisServer, signum: signal.Signals, seconds: float
) -> None:
    starts: Counter[int] = Counter()
    ends: Counter[int] = Counter()

    async def work(ctx: Ctx, number: int) -> None:
        starts[number] += 1
        await asyncio.sleep(0.1)
        ends[number] += 1

    pool = await create_pool(settings_of(own_server))
    jobs = [await put(pool, "work", number) for number in range(300)]
    workers = [make(QueueWorker, pool, [named("work", work)], max_jobs=20, lease=2) for _ in range(2)]
    async with at_work(*workers):
        await until(lambda: len(ends) > 40)
        await asyncio.to_thread(own_server.stop, signum)
        await asyncio.sleep(seconds)  # the length of the outage
        await asyncio.to_thread(own_server.start)
        back = time.monotonic()
        finished = len(ends)
        await until(lambda: len(ends) > finished + 40)
        assert time.monotonic() - back < 5
        await until(lambda: sum(worker.jobs_complete for worker in workers) == 300)
        assert all(worker.main_task is not None and not worker.main_task.done() for worker in workers)
    assert len(ends) == 300
    assert set(starts.values()) == set(ends.values()) == {1}
    assert all([await found.result_info() is not None for found in jobs])
    await pool.aclose(close_connection_pool=True)


async def test_a_server_that_stood_still_makes_no_lease_look_lost(
    own_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    starts: Counter[int] = Counter()
    gate = asyncio.Event()

    async def hold(ctx: Ctx, number: int) -> None:
        starts[number] += 1
        await gate.wait()

    pool = await create_pool(settings_of(own_server))
    for number in range(10):
        await put(pool, "hold", number)
    workers = [make(QueueWorker, pool, [named("hold", hold)], max_jobs=8, lease=1) for _ in range(2)]
    async with at_work(*workers):
        await until(lambda: len(starts) == 10)
        with own_server.frozen():
            await asyncio.sleep(2.5)  # longer than two leases
        await asyncio.sleep(1.5)  # a lease in which jobs that look lost would be claimed
        assert set(starts.values()) == {1}
        gate.set()
        await until(lambda: sum(worker.jobs_complete for worker in workers) == 10)
        await until(lambda: _is_empty(pool, "arq:queue"))
        assert [record for record in caplog.records if record.msg in ("job.stale", "lease.lost")] == []
    await pool.aclose(close_connection_pool=True)


async def test_a_server_that_was_emptied_finds_the_worker_ready(redis: ArqRedis) -> None:
    events = []

    async def hold(ctx: Ctx) -> None:
        try:
            await asyncio.sleep(30)
        finally:
            events.append("stopped")

    async def work(ctx: Ctx) -> None:
        events.append("worked")

    await put(redis, "hold")
    functions = [named("hold", hold), named("work", work)]
    async with running(QueueWorker, redis, functions, lease=1) as worker:
        await until(lambda: getattr(worker, "running", 0) == 1)
        await redis.flushall()
        await until(lambda: events == ["stopped"])
        await put(redis, "work")
        await until(lambda: worker.jobs_complete == 1)
    assert events == ["stopped", "worked"]


async def test_a_proxy_that_answers_every_command_with_an_error_is_an_outage_and_no_end(
    redis: ArqRedis, server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(ctx: Ctx) -> None:
        """Return at once, with nothing done."""

    async with Proxy(server.port) as proxy:
        options: Any = {"redis_settings": proxy.settings, "lease": 1}
        async with running(QueueWorker, None, [named("work", work)], **options) as worker:
            await put(redis, "work")
            await until(lambda: worker.jobs_complete == 1)
            proxy.answers = [Answer(anything, ERRORS["LOADING"], times=10**6)]
            await put(redis, "work")
            await asyncio.sleep(1.5)  # the length of the outage
            assert worker.jobs_complete == 1
            proxy.answers = []
            await until(lambda: worker.jobs_complete == 2)
    told = [record for record in caplog.records if record.msg == "redis.unavailable"]
    assert 1 <= len(told) <= 5


async def _is_empty(redis: ArqRedis, queue: str) -> bool:
    return not await redis.exists(queue)
