"""The whole table of stopping: each kind of handler, each way it takes it, each cause; and a cancel at every stage.

A real worker on a real server. What an attempt came to is read as anybody would read it: the job's state, the events
that the scripts wrote, the counter of attempts; and what the handlers did.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import pytest
from arq.connections import ArqRedis
from arq.jobs import Job as StockJob

from rota import (
    Client,
    Handle,
    Job,
    JobCancelled,
    JobExists,
    JobFailed,
    QueueWorker,
    Run,
    Snooze,
    State,
    job,
    job_deserializer,
)
from tests.servers import RedisServer
from tests.streams import events_in
from tests.waiting import until
from tests.workers import serving

#: What the handlers did, by the name of their job.
did: dict[str, list[str]] = {}


@pytest.fixture(autouse=True)
def nothing_done() -> None:
    did.clear()


def note(run: Run, word: str) -> None:
    did.setdefault(run.job, []).append(word)


# Coroutines


@job
async def lets_it_through(run: Run) -> None:
    note(run, "start")
    await asyncio.sleep(60)


@job
async def cleans_up(run: Run) -> None:
    note(run, "start")
    try:
        await asyncio.sleep(60)
    finally:
        await asyncio.sleep(0.01)
        note(run, "clean")


@job
async def swallows(run: Run) -> str:
    note(run, "start")
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        note(run, "swallowed")
    return "as if nothing had been"


@job
async def raises(run: Run) -> None:
    note(run, "start")
    try:
        await asyncio.sleep(60)
    finally:
        note(run, "raised")
        raise LookupError("while cleaning up")


@job
async def snoozes(run: Run) -> None:
    note(run, "start")
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        note(run, "snoozed")
        raise Snooze(1) from None


@job
async def has_a_timeout_of_its_own(run: Run) -> None:
    note(run, "start")
    try:
        async with asyncio.timeout(60):
            await asyncio.sleep(120)
    except TimeoutError:
        note(run, "took it for its own")
        raise


@job
async def waits_for_a_group(run: Run) -> None:
    note(run, "start")
    async with asyncio.TaskGroup() as group:
        for _ in range(2):
            group.create_task(asyncio.sleep(60))


# Threads


@job
def ends_when_told(run: Run) -> str:
    note(run, "start")
    _wait_until_told(run)
    note(run, "told")
    return "as far as it came"


@job
def raises_when_told(run: Run) -> None:
    note(run, "start")
    _wait_until_told(run)
    note(run, "told")
    raise LookupError("in a thread")


def _wait_until_told(run: Run) -> None:
    deadline = time.monotonic() + 30
    while not run.cancelled and time.monotonic() < deadline:
        time.sleep(0.005)


# Processes


@job(process=True)
def computes(run: Run) -> None:
    run.progress(1)
    time.sleep(60)


@job(process=True)
def holds_on(run: Run) -> str:
    run.progress(1)
    try:
        time.sleep(60)
    except BaseException:
        return "never told"
    return "never stopped"


JOBS: tuple[Job[[], Any], ...] = (
    lets_it_through,
    cleans_up,
    swallows,
    raises,
    snoozes,
    has_a_timeout_of_its_own,
    waits_for_a_group,
    ends_when_told,
    raises_when_told,
    computes,
    holds_on,
)
#: How each takes it, whatever the cause.
WAYS = {
    "lets_it_through": ["start"],
    "cleans_up": ["start", "clean"],
    "swallows": ["start", "swallowed"],
    "raises": ["start", "raised"],
    "snoozes": ["start", "snoozed"],
    "has_a_timeout_of_its_own": ["start"],
    "waits_for_a_group": ["start"],
    "ends_when_told": ["start", "told"],
    "raises_when_told": ["start", "told"],
}
#: Longer than a child process takes to start on a busy machine, where the timeout is not what is tried.
PLENTY = 300.0


class Came(NamedTuple):
    """The outcome of an attempt: the events after its start, the job's state now, the attempts that are spent."""

    events: list[str]
    state: str
    attempts: int
    reason: str = ""


#: Whatever the handler is and does, only the cause decides.
BY_CAUSE = {
    "cancel": Came(["cancelled"], "cancelled", 1, "cancelled"),
    "timeout": Came(["retried"], "delayed", 1),
    "last timeout": Came(["dead"], "dead", 1, "timeout"),
    "shutdown": Came(["interrupted"], "waiting", 0),
    "lease lost": Came([], "active", 1),
}
Stop = Callable[[Client, list[Handle[Any]], list[QueueWorker]], Awaitable[None]]


async def cancel(client: Client, handles: list[Handle[Any]], workers: list[QueueWorker]) -> None:
    """Cancel the jobs, as a person does."""
    assert [await handle.cancel() for handle in handles] == ["requested"] * len(handles)


async def time_out(client: Client, handles: list[Handle[Any]], workers: list[QueueWorker]) -> None:
    """Wait until the attempts have timed out."""
    await until(lambda: none_runs(workers))


async def shut_down(client: Client, handles: list[Handle[Any]], workers: list[QueueWorker]) -> None:
    """Stop the workers, as a deploy does."""
    for worker in workers:
        await worker.close()


async def take_the_leases(client: Client, handles: list[Handle[Any]], workers: list[QueueWorker]) -> None:
    """Take the leases away, as if another worker had claimed the jobs."""
    for handle in handles:
        entry = await client.redis.hget("arq:queue:default:runs", handle.id)
        _, rest = entry.split(b" ", 1)
        await client.redis.hset("arq:queue:default:runs", handle.id, b"other:0:1:1 " + rest)


STOPS: dict[str, Stop] = {
    "cancel": cancel,
    "timeout": time_out,
    "last timeout": time_out,
    "shutdown": shut_down,
    "lease lost": take_the_leases,
}


@pytest.fixture
def client(redis: ArqRedis) -> Client:
    return Client(redis)


async def in_the_midst(client: Client, handles: list[Handle[Any]]) -> bool:
    """Tell whether every handler has begun: by its note or, if it runs in another process, by its progress."""
    infos = [await handle.status() for handle in handles]
    return all(info.task in did or info.percent == 1 for info in infos)


async def story(client: Client, job_id: str) -> list[str]:
    """Return the events of a job after its first start, without its progress."""
    events = events_in(await client.redis.xrange("rota:events"))
    types = [event.type for event in events if event.id == job_id]
    return [kind for kind in types if kind not in ("enqueued", "started", "progress")]


async def came(client: Client, handle: Handle[Any]) -> Came:
    info = await handle.status()
    return Came(await story(client, handle.id), str(info.state), info.attempts, info.reason)


@pytest.mark.parametrize("cause", BY_CAUSE)
async def test_what_a_stopped_attempt_comes_to_is_decided_by_why_it_was_stopped(
    client: Client, server: RedisServer, cause: str
) -> None:
    variables = {"QUEUE_CONCURRENCY": "20", "LEASE": "15", "DRAIN_TIMEOUT": "0", "BACKOFF_BASE": "3600"}
    timeout = 3.0 if "timeout" in cause else PLENTY
    attempts = 1 if cause == "last timeout" else 2
    async with serving(server.url, *JOBS, **variables) as works:
        workers = works.workers
        handles = [await client.enqueue(one.options(timeout=timeout, max_attempts=attempts)) for one in JOBS]
        if "timeout" not in cause:
            await until(lambda: in_the_midst(client, handles))
        await STOPS[cause](client, handles, workers)
        await until(lambda: none_runs(workers))
        table = {one.name: await came(client, handle) for one, handle in zip(JOBS, handles, strict=True)}
        # The outcome of an attempt whose lease was lost is dropped as stale.
        assert sum(worker.engine.stale for worker in workers if worker.engine) == (
            len(JOBS) if cause == "lease lost" else 0
        )
    assert table == {one.name: BY_CAUSE[cause] for one in JOBS}
    assert did == WAYS
    assert await client.redis.zcard("arq:abort") == 0


async def none_runs(workers: list[QueueWorker]) -> bool:
    return bool(did) and not any(worker.engine and worker.engine.busy for worker in workers)


# What looks like a stop and is none


@job(max_attempts=1)
async def times_out_by_itself(run: Run) -> None:
    async with asyncio.timeout(0.01):
        await asyncio.sleep(60)


@job(max_attempts=1)
async def cancels_itself(run: Run) -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(60)


@job(max_attempts=1)
async def waits_for_what_was_cancelled(run: Run) -> None:
    task = asyncio.create_task(asyncio.sleep(60))
    task.cancel()
    await task


@job(max_attempts=1)
def raises_a_cancellation(run: Run) -> None:
    raise asyncio.CancelledError


@job(max_attempts=1, process=True)
def exits(run: Run) -> None:
    raise SystemExit(3)


async def test_a_handler_s_own_timeouts_and_cancellations_are_errors_like_any_other(
    client: Client, server: RedisServer
) -> None:
    own = (
        times_out_by_itself,
        cancels_itself,
        waits_for_what_was_cancelled,
        raises_a_cancellation,
        exits,
    )
    async with serving(server.url, *own):
        handles = [await client.enqueue(one) for one in own]
        for handle in handles:
            await client.wait("default", handle.id, 20)
        table = {one.name: await came(client, handle) for one, handle in zip(own, handles, strict=True)}
        for handle in handles:
            with pytest.raises(JobFailed):
                await handle.result(1)
    assert table == {one.name: Came(["dead"], "dead", 1, "failed") for one in own}


# A cancel, whatever the job is doing


@job(max_attempts=3)
async def act(run: Run, how: str, seconds: float = 0.0) -> str:
    note(run, how)
    match how:
        case "fail":
            raise LookupError("no")
        case "snooze":
            raise Snooze(3600)
        case "work":
            await asyncio.sleep(seconds)
    return how


@pytest.mark.parametrize("how", ["fail", "snooze"])
async def test_one_that_waits_to_go_again_is_cancelled_at_once(
    client: Client, server: RedisServer, how: str
) -> None:
    async with serving(server.url, act, BACKOFF_BASE="3600"):
        handle = await client.enqueue(act, how=how)
        await until(lambda: is_in(handle, State.DELAYED))
        assert await handle.cancel() == "cancelled"
        assert (await handle.status()).state is State.CANCELLED


async def test_one_that_no_worker_knows_is_cancelled_at_once(client: Client, server: RedisServer) -> None:
    async with serving(server.url, act):
        handle = await client.enqueue_by_name("nosuch", {})
        await until(lambda: is_in(handle, State.DELAYED))
        assert await handle.cancel() == "cancelled"
    assert (await handle.status()).state is State.CANCELLED


async def test_a_dead_letter_stays_one(client: Client, server: RedisServer) -> None:
    async with serving(server.url, act):
        handle = await client.enqueue(act.options(max_attempts=1), how="fail")
        await client.wait("default", handle.id, 10)
        assert await handle.cancel() == "finished"
        assert (await handle.status()).state is State.DEAD


async def test_one_that_fails_before_it_hears_of_it_does_not_wait_for_its_back_off(
    client: Client, server: RedisServer
) -> None:
    """The request is in Redis when the attempt is settled as a retry in an hour."""
    async with serving(server.url, fails_on_its_cancel, BACKOFF_BASE="3600"):
        handle = await client.enqueue(fails_on_its_cancel)
        await until(lambda: in_the_midst(client, [handle]))
        assert await handle.cancel() == "requested"
        gate["fails_on_its_cancel"].set()
        with pytest.raises(JobCancelled):
            await handle.result(10)
    assert did["fails_on_its_cancel"] == ["start"]
    assert (await story(client, handle.id))[-1] == "cancelled"
    assert await client.redis.zcard("arq:abort") == 0


gate: dict[str, asyncio.Event] = {}


@job(max_attempts=3)
async def fails_on_its_cancel(run: Run) -> None:
    gate[run.job] = asyncio.Event()
    note(run, "start")
    await gate[run.job].wait()
    raise LookupError("at the last moment")


@pytest.mark.parametrize("seed", range(4))
async def test_a_cancel_at_any_moment_ends_its_job_and_never_the_next_of_its_id(
    client: Client, server: RedisServer, seed: int
) -> None:
    rng = random.Random(seed)
    async with serving(server.url, act, BACKOFF_BASE="0.05", QUEUE_CONCURRENCY="4"):
        for _ in range(12):
            how = rng.choice(["work", "work", "fail"])
            chosen = act.options(id="one", delay=rng.choice([0, 0, 0.02]))
            first = await client.enqueue(chosen, how=how, seconds=rng.choice([0, 0.01, 0.6]))
            await asyncio.sleep(rng.choice([0, 0, 0.002, 0.01, 0.03, 0.3]))  # the cancel comes at any moment
            answers = {await first.cancel() for _ in range(rng.choice([1, 1, 2]))}
            again = await enqueue_when_free(client, act.options(id="one", on_taken="refuse"))
            assert await again.result(10) == "next"
            assert (await again.status()).state is State.COMPLETED
            assert answers <= {"cancelled", "requested", "finished"}
    assert await client.redis.zcard("arq:abort") == 0


async def enqueue_when_free(client: Client, chosen: Job[Any, str]) -> Handle[str]:
    """Enqueue as soon as the job that has the id is over."""
    async with asyncio.timeout(10):
        while True:
            try:
                return await client.enqueue(chosen, how="next")
            except JobExists:
                await asyncio.sleep(0)  # no pause: the id is taken as soon as it is free


async def is_in(handle: Handle[Any], state: State) -> bool:
    return (await handle.status()).state is state


@pytest.mark.parametrize("state", ["waiting", "delayed", "active"])
async def test_a_stock_client_s_abort_cancels_a_job_of_ours(
    client: Client, server: RedisServer, redis: ArqRedis, state: str
) -> None:
    handle = await client.enqueue(act.options(delay=60 if state == "delayed" else 0), how="work", seconds=60)
    stock = StockJob(handle.id, redis, "arq:queue:default", job_deserializer)
    if state != "active":
        abort = asyncio.create_task(stock.abort(timeout=20, poll_delay=0.02))
        await until(lambda: redis.zcard("arq:abort"))
    async with serving(server.url, act):
        if state == "active":
            await until(lambda: in_the_midst(client, [handle]))
            abort = asyncio.create_task(stock.abort(timeout=20, poll_delay=0.02))
        assert await abort is True
    assert (await handle.status()).state is State.CANCELLED
    assert did == ({"act": ["work"]} if state == "active" else {})
    assert await redis.zcard("arq:abort") == 0
