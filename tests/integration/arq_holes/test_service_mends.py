"""Defects of arq's worker that are part of its contract, and so are avoided only in the service."""

import asyncio
import time
from typing import Any

import pytest
from arq.connections import ArqRedis
from arq.jobs import Job as StockJob
from arq.jobs import ResultNotFound
from arq.worker import JobExecutionFailed, Worker
from arq.worker import Retry as StockRetry

from rota import JobError, Retry, Run, State, job, job_deserializer, job_serializer
from rota.model.event import Event, EventType
from tests.integration.arq_holes.service import client_for, service
from tests.integration.arq_holes.side_by_side import burst, is_gone, make, named, running
from tests.waiting import until, until_in
from tests.workers import at_work

Ctx = dict[Any, Any]
QUEUE = "arq:queue:default"
PAIR: Any = {"job_serializer": job_serializer, "job_deserializer": job_deserializer}


@pytest.fixture
def stock(redis: ArqRedis) -> ArqRedis:
    """Yield a stock client that writes for the service."""
    redis.job_serializer, redis.job_deserializer = job_serializer, job_deserializer
    redis.default_queue_name = QUEUE
    return redis


async def put(redis: ArqRedis, *args: Any, **options: Any) -> StockJob:
    found = await redis.enqueue_job(*args, **options)
    assert found is not None
    return found


# Retries


async def test_stock_exceptions_and_timeouts_are_never_retried(redis: ArqRedis) -> None:
    tries = []

    async def fail(ctx: Ctx) -> None:
        tries.append(ctx["job_try"])
        raise ValueError

    async def hang(ctx: Ctx) -> None:
        tries.append(ctx["job_try"])
        await asyncio.sleep(60)

    await put(redis, "fail")
    await put(redis, "hang")
    await burst(Worker, redis, [named("fail", fail), named("hang", hang, timeout=0.05)])
    assert tries == [1, 1]


@pytest.mark.parametrize("how", ["exception", "timeout"])
async def test_exceptions_and_timeouts_are_retried(stock: ArqRedis, how: str) -> None:
    tries = []

    @job(timeout=0.1)
    async def flaky(run: Run) -> str:
        tries.append(run.attempt)
        if run.attempt < 3:
            if how == "timeout":
                await asyncio.sleep(60)
            raise ValueError
        return "done"

    found = await put(stock, "flaky")
    async with at_work(service(stock, flaky)):
        assert await found.result(timeout=10, poll_delay=0.02) == "done"
    assert tries == [1, 2, 3]


async def test_stock_the_cause_of_the_last_failure_is_lost(redis: ArqRedis) -> None:
    hooks = []

    async def fickle(ctx: Ctx) -> None:
        raise StockRetry from LookupError("the cause")

    async def end(ctx: Ctx) -> None:
        hooks.append(ctx["job_try"])

    found = await put(redis, "fickle")
    await burst(Worker, redis, [named("fickle", fickle, max_tries=2)], after_job_end=end)
    with pytest.raises(JobExecutionFailed, match="max 2 retries exceeded") as raised:
        await found.result(timeout=1)
    assert raised.value.__cause__ is None
    assert hooks == [1, 2]  # and none for its death


async def test_a_dead_letter_keeps_the_last_cause_and_is_told_of(stock: ArqRedis) -> None:
    events: list[Event] = []

    @job(max_attempts=2)
    async def fickle(run: Run) -> None:
        raise Retry(reason=f"the cause of attempt {run.attempt}")

    found = await put(stock, "fickle")
    async with at_work(service(stock, fickle, subscribers=(events.append,))):
        with pytest.raises(JobError, match="the cause of attempt 2"):
            await found.result(timeout=10, poll_delay=0.02)
    (dead,) = await client_for(stock).jobs("default", State.DEAD)
    assert (dead.id, dead.task, dead.reason, dead.attempts) == (found.job_id, "fickle", "failed", 2)
    assert dead.error is not None
    assert "the cause of attempt 2" in dead.error.message
    assert [event.type for event in events if event.type is EventType.DEAD] == [EventType.DEAD]


# Jobs that this worker cannot run


async def test_stock_a_producer_deployed_before_its_workers_destroys_jobs(redis: ArqRedis) -> None:
    async def nothing(ctx: Ctx) -> None:
        """Be the only function of an older version."""

    found = await put(redis, "newcomer", 1)
    await burst(Worker, redis, [named("nothing", nothing)])
    assert await redis.exists(f"arq:job:{found.job_id}") == 0


@job
async def newcomer(run: Run, value: int) -> int:
    return value + run.attempt


@job
async def old(run: Run) -> None:
    """Be the only job of an older version."""


async def test_an_unknown_job_waits_unspent_for_the_worker_that_knows_it(stock: ArqRedis) -> None:
    found = await put(stock, "newcomer", 1)
    async with at_work(service(stock, old)):
        await until_in(client_for(stock).handle("default", found.job_id), State.DELAYED)
        assert await stock.exists(f"arq:job:{found.job_id}") == 1
        assert await found.result_info() is None
        async with at_work(service(stock, newcomer)):
            assert await found.result(timeout=10, poll_delay=0.02) == 2  # its first attempt


async def test_a_job_that_stays_unknown_becomes_a_dead_letter_and_can_come_back(stock: ArqRedis) -> None:
    client = client_for(stock)
    handle = await client.enqueue(newcomer, value=1)
    async with at_work(*(service(stock, old, unknown_grace=0.3) for _ in range(2))):
        await until(lambda: _dead(stock, 1))
    (letter,) = await client.jobs("default", State.DEAD)
    assert (letter.reason, letter.task, letter.payload) == ("unknown", "newcomer", {"value": 1})
    await client.retry("default", handle.id)
    async with at_work(service(stock, newcomer)):
        assert await handle.result(timeout=10) == 2


async def test_an_unreadable_payload_becomes_a_dead_letter_with_its_bytes(stock: ArqRedis) -> None:
    found = await put(stock, "old")
    await stock.set(f"arq:job:{found.job_id}", b"\x80\x04no json")
    async with at_work(service(stock, old)):
        await until(lambda: _dead(stock, 1))
    (letter,) = await client_for(stock).jobs("default", State.DEAD)
    assert letter.reason == "unreadable"
    assert letter.error is not None
    assert b"\x80\x04no json".hex() in letter.error.message
    assert await field(stock, found.job_id.encode(), "payload") == b"\x80\x04no json"


@pytest.mark.parametrize("member", [b"\xff\xfe", b"line\nbreak", "\u202e".encode(), b"", b"x" * 5000])
async def test_an_odd_queue_member_becomes_a_dead_letter(stock: ArqRedis, member: bytes) -> None:
    after = await put(stock, "old")
    await stock.zadd(QUEUE, {member: 1})
    async with at_work(service(stock, old)):
        await after.result(timeout=10, poll_delay=0.02)
        await until(lambda: _dead(stock, 1))
    assert await stock.zrange(f"{QUEUE}:dead", 0, -1) == [member]
    assert await field(stock, member, "reason") == b"expired"
    assert await stock.zcard(QUEUE) == 0


async def test_an_expired_payload_becomes_a_dead_letter(stock: ArqRedis) -> None:
    found = await put(stock, "old", _expires=0.02)
    await until(lambda: is_gone(stock, f"arq:job:{found.job_id}"))
    async with at_work(service(stock, old)):
        await until(lambda: _dead(stock, 1))
    (letter,) = await client_for(stock).jobs("default", State.DEAD)
    assert letter.reason == "expired"


async def test_retries_keep_the_payload_alive_in_the_service_alone(stock: ArqRedis) -> None:
    async def again(ctx: Ctx) -> None:
        raise StockRetry(60)

    found = await put(stock, "slow", _expires=100)
    async with running(Worker, stock, [named("slow", again)], queue_name=QUEUE, **PAIR) as worker:
        await until(lambda: worker.jobs_retried == 1)
    assert 0 < await stock.pttl(f"arq:job:{found.job_id}") <= 100_000
    await stock.zadd(QUEUE, {found.job_id: 1})

    @job
    async def slow(run: Run) -> None:
        raise Retry(60)

    async with at_work(service(stock, slow)):
        await until(lambda: _scored_later(stock, found.job_id))
    assert await stock.pttl(f"arq:job:{found.job_id}") == -1


# Interruptions


async def test_stock_the_sixth_deploy_fails_a_job_that_never_failed(redis: ArqRedis) -> None:
    entered = []

    async def long(ctx: Ctx) -> None:
        entered.append(ctx["job_try"])
        await asyncio.sleep(60)

    found = await put(redis, "long")
    for deploy in range(1, 6):
        async with running(Worker, redis, [named("long", long)]):
            await until(lambda deploy=deploy: entered == list(range(1, deploy + 1)))
    await burst(Worker, redis, [named("long", long)])
    with pytest.raises(JobExecutionFailed, match="max 5 retries exceeded"):
        await found.result(timeout=1)


async def test_a_deploy_spends_no_attempt(stock: ArqRedis) -> None:
    entered: list[int] = []
    gate = asyncio.Event()

    @job(max_attempts=2)
    async def long(run: Run) -> str:
        entered.append(run.attempt)
        await gate.wait()
        return "done"

    found = await put(stock, "long")
    score = await stock.zscore(QUEUE, found.job_id)
    for deploy in range(1, 7):
        async with at_work(service(stock, long)):
            await until(lambda deploy=deploy: len(entered) == deploy)
        assert await stock.zscore(QUEUE, found.job_id) == score
    gate.set()
    async with at_work(service(stock, long)):
        assert await found.result(timeout=10, poll_delay=0.02) == "done"
    assert entered == [1] * 7


# Ids


async def test_stock_an_id_is_taken_on_every_queue_and_as_long_as_its_result(redis: ArqRedis) -> None:
    async def report(ctx: Ctx) -> None:
        """Return at once, with nothing done."""

    await put(redis, "report", _job_id="daily", _queue_name="one")
    assert await redis.enqueue_job("report", _job_id="daily", _queue_name="two") is None
    await burst(Worker, redis, [named("report", report)], queue_name="one")
    assert await redis.enqueue_job("report", _job_id="daily", _queue_name="one") is None


async def test_an_id_is_its_queues_own_and_free_when_its_job_is_over(stock: ArqRedis) -> None:
    @job(queue="one", name="report")
    async def here(run: Run) -> str:
        return "here"

    @job(queue="two", name="report")
    async def there(run: Run) -> str:
        return "there"

    client = client_for(stock)
    first = await client.enqueue(here.options(id="daily"))
    second = await client.enqueue(there.options(id="daily"))
    async with at_work(service(stock, here), service(stock, there)):
        assert [await first.result(timeout=10), await second.result(timeout=10)] == ["here", "there"]
        again = await client.enqueue(here.options(id="daily"))
        assert await again.result(timeout=10) == "here"


# Clocks


@pytest.mark.parametrize("hours", [-1, 1])
async def test_an_enqueuers_clock_does_not_matter_to_our_client(
    stock: ArqRedis, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    wrong = time.time() + hours * 3600
    with monkeypatch.context() as patched:
        patched.setattr("arq.connections.timestamp_ms", lambda: int(wrong * 1000))
        found = await put(stock, "newcomer", 1)
    assert abs(await stock.zscore(QUEUE, found.job_id) - wrong * 1000) < 5000  # stock: due when it says
    await stock.delete(QUEUE)
    with monkeypatch.context() as patched:
        patched.setattr("time.time", lambda: wrong)
        handle = await client_for(stock).enqueue(newcomer.options(delay=60), value=1)
    due = await stock.zscore(QUEUE, handle.id)
    assert due is not None
    assert abs(due / 1000 - time.time() - 60) < 5


# Sight


async def test_subscribers_see_function_outcome_and_error(stock: ArqRedis) -> None:
    events: list[Event] = []

    @job(max_attempts=1)
    async def divide(run: Run, by: int) -> float:
        return 1 / by

    good, bad = await put(stock, "divide", by=2), await put(stock, "divide", by=0)
    async with at_work(service(stock, divide, subscribers=(events.append,))):
        await good.result(timeout=10, poll_delay=0.02)
        with pytest.raises(JobError, match="division by zero"):
            await bad.result(timeout=10, poll_delay=0.02)
    ends = {event.id: event for event in events if event.type in (EventType.COMPLETED, EventType.DEAD)}
    assert ends[good.job_id].detail == b"0.5"
    assert b"ZeroDivisionError" in ends[bad.job_id].detail
    assert {event.task for event in events} == {"divide"}
    assert all(event.duration is not None for event in ends.values())


async def test_the_services_settings_run_on_arqs_worker_too(stock: ArqRedis) -> None:
    """A way back: arq's worker with the same functions, queue and serializers, without our settings."""
    ours = service(stock, newcomer)
    settings = {"queue_name": ours.queue_name, "functions": list(ours.functions.values())}
    found = await put(stock, "newcomer", 1)
    worker = make(Worker, stock, settings.pop("functions"), burst=True, **settings, **PAIR)
    await worker.async_run()
    await worker.close()
    assert await found.result(timeout=1) == 2
    await ours.close()


async def test_a_dead_letter_is_gone_for_a_stock_client_once_it_is_replayed(stock: ArqRedis) -> None:
    found = await put(stock, "newcomer", "no number")
    async with at_work(service(stock, newcomer)):
        with pytest.raises(JobError):
            await found.result(timeout=10, poll_delay=0.02)
    await client_for(stock).retry("default", found.job_id)
    assert await found.result_info() is None
    await stock.delete(QUEUE)
    with pytest.raises(ResultNotFound):
        await found.result(timeout=1)


async def field(redis: ArqRedis, member: bytes, name: str) -> Any:
    """Return one field of a dead letter."""
    plain: Any = redis
    return await plain.execute_command("HGET", f"{QUEUE}:dead:".encode() + member, name)


async def _dead(redis: ArqRedis, number: int) -> bool:
    dead: int = await redis.zcard(f"{QUEUE}:dead")
    return dead == number


async def _scored_later(redis: ArqRedis, job_id: str) -> bool:
    score = await redis.zscore(QUEUE, job_id)
    return score is not None and score > time.time() * 1000 + 50_000
