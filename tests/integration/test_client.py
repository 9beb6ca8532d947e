"""The client against a real server and a real worker: enqueue, see, cancel, bring back."""

import asyncio
import json
import math
import time
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from arq.connections import ArqRedis
from pydantic import BaseModel
from redis.exceptions import OutOfMemoryError

import rota
from rota import (
    Cancel,
    Client,
    EnqueueIncomplete,
    Handle,
    JobCancelled,
    JobExists,
    JobFailed,
    JobNotFound,
    ResultTimeout,
    Run,
    State,
    fixed,
    job,
)
from rota.cli import screen
from rota.model.job import Call
from rota.settings.settings import Settings
from tests.servers import RedisServer
from tests.waiting import until, until_in, until_job
from tests.workers import serving


class Report(BaseModel):
    """The result of a typed job."""

    day: date
    total: int


@job
async def add(run: Run, a: int, b: int = 1) -> int:
    return a + b


@job
async def tell(run: Run, raw: bytes, number: float) -> str:
    return f"{raw.hex()} {number}"


@job(queue="reports")
async def report(run: Run, day: date) -> Report:
    """Return a model, whose fields have types of their own."""
    return Report(day=day, total=3)


@job(max_attempts=1)
async def fail(run: Run, word: str = "no") -> None:
    raise ValueError(word)


@job(max_attempts=3, backoff=fixed(0.05, jitter=0))
async def stumble(run: Run, patient: bool) -> None:
    """Fail at each attempt; the last of a patient one takes its time."""
    if patient and run.attempt == run.max_attempts:
        await asyncio.sleep(60)
    raise LookupError(f"attempt {run.attempt}")


@job
async def refuse(run: Run) -> None:
    raise Cancel("not wanted")


@job
async def rest(run: Run, seconds: float = 60) -> str:
    run.progress(25, "a quarter")
    await asyncio.sleep(seconds)
    return "rested"


JOBS = (add, tell, report, fail, stumble, refuse, rest)


@pytest.fixture
def client(redis: ArqRedis) -> Client:
    return Client(redis)


@pytest.fixture
async def working(server: RedisServer) -> AsyncIterator[None]:
    async with serving(server.url, *JOBS, BACKOFF_BASE="0.01"):
        yield


async def reads(client: Client) -> int:
    """Return how many messages of clients the server has read."""
    info = await client.redis.info("stats")
    return int(info["total_reads_processed"])


# Enqueue


async def test_an_enqueue_is_one_round_trip(client: Client) -> None:
    await client.enqueue(add, a=0)  # connects, and loads the script
    before = await reads(client)
    for number in range(10):
        await client.enqueue(add, a=number)
    assert await reads(client) - before == 10 + 1, "ten, and the question itself"


async def test_a_bulk_enqueue_over_several_queues_is_few_round_trips_and_keeps_the_order(
    client: Client,
) -> None:
    await client.enqueue(add, a=0)
    before = await reads(client)
    day = date(2026, 1, 2)
    calls: list[Call[Any]] = [
        add.call(a=number) if number % 2 else report.call(day=day) for number in range(600)
    ]
    handles = await client.enqueue_many(calls)
    commands = sum(math.ceil(300 / 200) for _ in ("default", "reports"))
    # A large message may arrive in several pieces.
    assert await reads(client) - before < commands * 8
    assert [handle.queue for handle in handles] == ["reports", "default"] * 300
    infos = [await handle.status() for handle in handles[:6]]
    assert [info.payload for info in infos[1::2]] == [{"a": 1}, {"a": 3}, {"a": 5}]
    assert [info.payload for info in infos[::2]] == [{"day": "2026-01-02"}] * 3
    waiting = await client.jobs("default", limit=400)
    assert [info.id for info in waiting[1:]] == [handle.id for handle in handles[1::2]]


async def test_a_bulk_enqueue_of_nothing_is_nothing(client: Client) -> None:
    assert await client.enqueue_many([]) == []


async def test_of_a_bulk_enqueue_everything_but_the_taken_ids_is_there_when_that_is_told(
    client: Client,
) -> None:
    await client.enqueue(add.options(id="taken"), a=1)
    calls = [add.call(a=number) for number in range(450)]
    calls[1:1] = [add.options(id="taken").call(a=1)]
    with pytest.raises(JobExists, match="default:taken"):
        await client.enqueue_many(calls)
    assert (await client.counts("default"))[State.WAITING] == 1 + 450


async def test_a_bulk_enqueue_that_the_server_interrupts_says_what_it_had_taken(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    send, sent = client.redis.execute_command, count(1)

    async def fail_third(*command: Any, **options: Any) -> Any:
        if command[0] == "EVALSHA" and next(sent) == 3:
            raise OutOfMemoryError("OOM command not allowed")
        return await send(*command, **options)

    await client.enqueue(add, a=0)
    monkeypatch.setattr(client.redis, "execute_command", fail_third)
    with pytest.raises(EnqueueIncomplete, match=r"400 of 450 jobs were enqueued .* is full") as told:
        await client.enqueue_many(add.call(a=number) for number in range(450))
    monkeypatch.undo()
    waiting = await client.jobs("default", limit=500)
    assert tuple(info.id for info in waiting[1:]) == told.value.enqueued
    assert len(waiting) == 401


async def test_a_delay_makes_a_job_due_later_by_the_servers_clock(client: Client) -> None:
    for delay in (90, timedelta(seconds=90)):
        info = await (await client.enqueue(add.options(delay=delay), a=1)).status()
        assert info.state is State.DELAYED
        assert info.due_at is not None
        assert abs((info.due_at - datetime.now(UTC)).total_seconds() - 90) < 5


async def test_a_job_may_be_due_at_a_time(client: Client) -> None:
    later = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=2)
    info = await (await client.enqueue(add.options(at=later), a=1)).status()
    assert (info.state, info.due_at) == (State.DELAYED, later)
    past = await (await client.enqueue(add.options(at=later - timedelta(days=1)), a=1)).status()
    assert past.state is State.WAITING


async def test_an_id_of_ones_own_carries_its_queue(client: Client) -> None:
    first = await client.enqueue(add.options(id="one"), a=1)
    second = await client.enqueue(report.options(id="one"), day=date(2026, 1, 2))
    assert (first.id, second.id) == ("default:one", "reports:one")


async def test_a_taken_id_is_refused_or_answered_with_the_job_that_has_it(client: Client) -> None:
    first = await client.enqueue(add.options(id="one"), a=1)
    assert first.created
    with pytest.raises(JobExists):
        await client.enqueue(add.options(id="one"), a=2)
    same = await client.enqueue(add.options(id="one", on_taken="existing"), a=2)
    assert (same.id, same.created) == (first.id, False)
    assert (await same.status()).payload == {"a": 1}


@pytest.mark.usefixtures("working")
async def test_an_id_is_free_again_when_its_job_has_finished(client: Client) -> None:
    first = await client.enqueue(add.options(id="one"), a=1)
    assert await first.result(10) == 2
    again = await client.enqueue(add.options(id="one"), a=5)
    assert again.created
    assert await again.result(10) == 6, "not the result of the one before"


@pytest.mark.usefixtures("working")
async def test_the_policy_of_an_enqueue_beats_that_of_the_job(client: Client) -> None:
    failing = await client.enqueue(fail.options(max_attempts=3, backoff=fixed(0.01)))
    with pytest.raises(JobFailed):
        await failing.result(10)
    assert (await failing.status()).attempts == 3

    slow = await client.enqueue(rest.options(timeout=0.1, max_attempts=1))
    with pytest.raises(JobFailed, match=r"longer than 0\.1 s"):
        await slow.result(10)
    assert (await slow.status()).reason == "timeout"

    forgotten = await client.enqueue(add.options(keep_result=0), a=1)
    with pytest.raises(JobNotFound):
        await forgotten.result(10)


@pytest.mark.usefixtures("working")
async def test_a_job_is_enqueued_by_name_without_its_code(client: Client) -> None:
    handle = await client.enqueue_by_name("reports:report", {"day": date(2026, 1, 2)}, id="r")
    assert (handle.queue, handle.id) == ("reports", "reports:r")
    assert await handle.result(10) == {"day": "2026-01-02", "total": 3}
    assert await (await client.enqueue_by_name("add", {"a": 2})).result(10) == 3


@pytest.mark.usefixtures("working")
async def test_what_json_has_no_form_for_arrives_as_it_was_given_by_name_too(client: Client) -> None:
    raw, number = b"\xff\x00\xfe~?>", float("inf")
    by_name = await client.enqueue_by_name("tell", {"raw": raw, "number": number})
    assert await by_name.result(10) == "ff00fe7e3f3e inf"
    assert await (await client.enqueue(tell, raw=raw, number=number)).result(10) == "ff00fe7e3f3e inf"


@pytest.mark.usefixtures("working")
async def test_what_arrives_wrong_is_a_dead_letter_with_the_reason_and_is_not_retried(client: Client) -> None:
    handle = await client.enqueue_by_name("add", {"a": "very-secret"})
    with pytest.raises(JobFailed, match="InvalidPayload"):
        await handle.result(10)
    info = await handle.status()
    assert (info.reason, info.attempts) == ("invalid", 1)
    assert "very-secret" not in str(info.error)


# See


@pytest.mark.usefixtures("working")
async def test_a_completed_job_has_its_times_and_its_result(client: Client) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    handle = await client.enqueue(add, a=2)
    assert await handle.result(10) == 3
    info = await handle.status()
    assert (info.state, info.task, info.attempts, info.result) == (State.COMPLETED, "add", 1, 3)
    assert info.enqueued_at
    assert info.started_at
    assert info.finished_at
    assert before < info.enqueued_at <= datetime.now(UTC)
    assert before < info.started_at <= info.finished_at
    assert info.payload == {"a": 2}


@pytest.mark.usefixtures("working")
async def test_a_running_job_has_its_start_and_its_progress(client: Client) -> None:
    handle = await client.enqueue(rest)
    info = await until_in(handle, State.ACTIVE)
    assert (info.attempts, info.finished_at) == (1, None)
    assert info.started_at is not None
    info = await until_job(handle, lambda info: info.percent is not None)
    assert (info.percent, info.message) == (25, "a quarter")


@pytest.mark.usefixtures("working")
async def test_a_dead_job_has_its_reason_its_error_and_its_payload(client: Client) -> None:
    handle = await client.enqueue(fail, word="why")
    with pytest.raises(JobFailed) as failure:
        await handle.result(10)
    assert (failure.value.error_type, failure.value.message) == ("ValueError", "why")
    assert "raise ValueError(word)" in (failure.value.traceback or "")
    info = await handle.status()
    assert (info.state, info.reason, info.attempts) == (State.DEAD, "failed", 1)
    assert str(info.error) == "ValueError: why"
    assert info.payload == {"word": "why"}
    assert info.finished_at is not None


async def test_an_unknown_id_is_not_found(client: Client) -> None:
    handle: Handle[Any] = client.handle("default", "nosuch")
    with pytest.raises(JobNotFound, match="there is no job with the id 'nosuch'"):
        await handle.status()
    with pytest.raises(JobNotFound):
        await handle.result(1)


async def test_jobs_are_listed_by_state_in_pages(client: Client) -> None:
    waiting = await client.enqueue_many(add.call(a=number) for number in range(5))
    delayed = await client.enqueue(add.options(delay=60), a=9)
    pages = [await client.jobs("default", offset=offset, limit=2) for offset in (0, 2, 4, 6)]
    assert [[info.id for info in page] for page in pages] == [
        [handle.id for handle in waiting[start : start + 2]] for start in (0, 2, 4, 6)
    ]
    assert [info.id for info in await client.jobs("default", "delayed")] == [delayed.id]
    assert await client.jobs("default", State.DEAD) == []
    assert await client.jobs("nosuch") == []
    assert await client.jobs("default", State.COMPLETED) == []
    assert await client.jobs("default", State.CANCELLED) == []
    with pytest.raises(ValueError, match="nosuch"):
        await client.jobs("default", "nosuch")


@pytest.mark.usefixtures("working")
async def test_counts_tell_the_states_apart(client: Client) -> None:
    running = await client.enqueue(rest)
    await until_in(running, State.ACTIVE)
    await client.enqueue(add.options(delay=60), a=1)
    dead = await client.enqueue(fail)
    with pytest.raises(JobFailed):
        await dead.result(10)
    assert await client.counts("default") == {
        State.WAITING: 0,
        State.DELAYED: 1,
        State.ACTIVE: 1,
        State.DEAD: 1,
    }
    assert [info.id for info in await client.jobs("default", State.ACTIVE)] == [running.id]
    assert [info.id for info in await client.jobs("default", State.DEAD)] == [dead.id]
    assert [info.task for info in await client.jobs("default", State.DELAYED)] == ["add"]


# Results


@pytest.mark.usefixtures("working")
async def test_a_result_has_the_type_of_its_job(client: Client) -> None:
    handle = await client.enqueue(report, day=date(2026, 1, 2))
    assert await handle.result(10) == Report(day=date(2026, 1, 2), total=3)
    assert await client.handle("reports", handle.id, report).result(10) == Report(
        day=date(2026, 1, 2), total=3
    )
    assert await client.handle("reports", handle.id).result(10) == {"day": "2026-01-02", "total": 3}


async def test_a_wait_ends_in_time_and_the_job_goes_on(client: Client) -> None:
    handle = await client.enqueue(add, a=1)
    loop = asyncio.get_running_loop()
    started = loop.time()
    with pytest.raises(ResultTimeout, match=r"no result after 0\.2 s"):
        await handle.result(0.2)
    assert 0.2 <= loop.time() - started < 2
    assert (await handle.status()).state is State.WAITING
    with pytest.raises(ResultTimeout):
        await handle.result(0)


@pytest.mark.usefixtures("working")
async def test_a_job_that_its_handler_cancels_is_cancelled_for_its_waiters(client: Client) -> None:
    handle = await client.enqueue(refuse)
    with pytest.raises(JobCancelled):
        await handle.result(10)
    assert (await handle.status()).state is State.CANCELLED


# Cancel


async def test_a_waiting_or_delayed_job_is_cancelled_at_once(client: Client) -> None:
    for options in ({}, {"delay": 60}):
        handle = await client.enqueue(add.options(**options), a=1)  # type: ignore[arg-type]
        assert await handle.cancel() == "cancelled"
        info = await handle.status()
        assert (info.state, info.attempts, info.payload) == (State.CANCELLED, 0, {"a": 1})
        with pytest.raises(JobCancelled):
            await handle.result(1)
        assert await handle.cancel() == "finished"
    assert await client.redis.zcard("arq:queue:default") == 0
    assert not await client.redis.keys("arq:job:*")


@pytest.mark.usefixtures("working")
async def test_a_running_job_is_cancelled_within_a_moment(client: Client) -> None:
    handle = await client.enqueue(rest)
    await until_in(handle, State.ACTIVE)
    assert await handle.cancel() == "requested"
    with pytest.raises(JobCancelled):
        await handle.result(3)
    assert (await handle.status()).state is State.CANCELLED


async def test_running_jobs_are_cancelled_while_all_slots_are_busy(
    client: Client, server: RedisServer
) -> None:
    async with serving(server.url, rest, QUEUE_CONCURRENCY="2"):
        handles = [await client.enqueue(rest) for _ in range(2)]
        for handle in handles:
            await until_in(handle, State.ACTIVE)
        waiting = await client.enqueue(rest, seconds=0)
        for handle in handles:
            await handle.cancel()
        assert await waiting.result(5) == "rested"


async def test_many_are_cancelled_in_few_round_trips_and_each_is_answered(
    client: Client, server: RedisServer
) -> None:
    ids = [handle.id for handle in await client.enqueue_many(add.call(a=number) for number in range(300))]
    before = await reads(client)
    answers = await client.cancel_many("default", [*ids, "nosuch", ids[0]])
    assert answers == ["cancelled"] * 300 + ["not found", "finished"]
    # A large message may arrive in several pieces.
    assert await reads(client) - before < 30
    assert (await client.status("default", ids[-1])).state is State.CANCELLED
    assert await client.cancel_many("default", []) == []


async def test_a_job_is_found_by_the_id_that_was_given_to_it(client: Client) -> None:
    handle = await client.enqueue(add.options(id="x2", delay=60), a=1)
    assert (await client.status("default", "x2")).id == handle.id == "default:x2"
    assert (await client.handle("default", "x2").status()).state is State.DELAYED
    with pytest.raises(ResultTimeout):
        await client.wait("default", "x2", 0.01)
    assert await client.cancel_many("default", ["x2", "x3"]) == ["cancelled", "not found"]
    assert (await client.status("default", "x2")).state is State.CANCELLED
    assert await client.cancel("default", "x2") == "finished"
    with pytest.raises(JobNotFound):
        await client.status("default", "x3")


async def test_a_dead_letter_is_brought_back_by_the_id_that_was_given(
    client: Client, server: RedisServer
) -> None:
    async with serving(server.url, *JOBS, MAX_ATTEMPTS="1"):
        await client.enqueue(fail.options(id="x2"))
        assert (await client.wait("default", "x2", 10)).state is State.DEAD
    assert (await client.retry("default", "x2")).id == "default:x2"
    assert (await client.status("default", "x2")).state is State.WAITING
    with pytest.raises(JobNotFound):
        await client.retry("default", "x3")


async def test_all_of_a_queue_or_of_one_of_its_jobs_are_cancelled(
    client: Client, server: RedisServer
) -> None:
    async with serving(server.url, rest, QUEUE_CONCURRENCY="1"):
        running = await client.enqueue(rest)
        await until_in(running, State.ACTIVE)
        for number in range(3):
            await client.enqueue(add.options(delay=60), a=number)
            await client.enqueue(fail.options(delay=60))
        assert await client.cancel_all("default", task="add") == {"cancelled": 3}
        assert await client.cancel_all("default", task="nosuch") == {}
        assert await client.cancel_all("default") == {"cancelled": 3, "requested": 1}
        assert (await client.wait("default", running.id, 5)).state is State.CANCELLED
    assert await client.cancel_all("default") == {}


async def test_a_cancelled_job_says_why_and_how_often_it_was_tried(
    client: Client, server: RedisServer
) -> None:
    async with serving(server.url, *JOBS, MAX_ATTEMPTS="4", BACKOFF_BASE="60"):
        handle = await client.enqueue(fail.options(max_attempts=3))
        await until_in(handle, State.DELAYED)
        assert await handle.cancel() == "cancelled"
        info = await handle.status()
        assert (info.state, info.reason, info.attempts) == (State.CANCELLED, "cancelled before it ran", 1)
        refused = await client.enqueue(refuse)
        with pytest.raises(JobCancelled, match="was cancelled: not wanted"):
            await refused.result(10)
        assert (await refused.status()).reason == "not wanted"


async def test_what_is_over_or_was_never_there_cannot_be_cancelled(client: Client) -> None:
    assert await client.cancel("default", "nosuch") == "not found"
    assert await client.redis.dbsize() == 0


async def test_a_cancelled_job_leaves_no_record_where_none_is_kept(redis: ArqRedis) -> None:
    handle = await Client(redis, Settings(keep_result=0)).enqueue(add, a=1)
    assert await handle.cancel() == "cancelled"
    with pytest.raises(JobNotFound):
        await handle.status()


# Bring back


@pytest.fixture
async def dead(client: Client, server: RedisServer) -> list[Handle[Any]]:
    """Dead letters: two that failed, one that timed out, one that came wrong."""
    async with serving(server.url, *JOBS):
        handles: list[Handle[Any]] = [
            await client.enqueue(fail, word="1"),
            await client.enqueue(fail, word="2"),
            await client.enqueue(rest.options(timeout=0.05, max_attempts=1)),
            await client.enqueue_by_name("add", {"a": "x"}),
        ]
        for handle in handles:
            await until_in(handle, State.DEAD)
    return handles


async def test_a_dead_letter_is_brought_back_with_all_its_attempts(
    client: Client, server: RedisServer, dead: list[Handle[Any]]
) -> None:
    handle = await client.retry("default", dead[0].id)
    info = await handle.status()
    assert (info.state, info.attempts, info.payload) == (State.WAITING, 0, {"word": "1"})
    with pytest.raises(JobNotFound):
        await client.retry("default", dead[0].id)
    with pytest.raises(ResultTimeout):
        await handle.result(0)
    async with serving(server.url, *JOBS):
        with pytest.raises(JobFailed, match="ValueError: 1"):
            await handle.result(10)
    assert (await handle.status()).attempts == 1


@pytest.mark.parametrize(
    ("chosen", "which"),
    [
        ({}, {0, 1, 2, 3}),
        ({"task": "fail"}, {0, 1}),
        ({"reason": "timeout"}, {2}),
        ({"reason": "invalid"}, {3}),
        ({"task": "fail", "reason": "timeout"}, set()),
        ({"task": "nosuch"}, set()),
        ({"cause": "0" * 12}, set()),
        ({"since": timedelta(days=-1)}, {0, 1, 2, 3}),
        ({"since": timedelta(days=1)}, set()),
    ],
    ids=str,
)
async def test_dead_letters_are_brought_back_by_what_they_have_in_common(
    client: Client, dead: list[Handle[Any]], chosen: dict[str, Any], which: set[int]
) -> None:
    if "since" in chosen:
        chosen = {"since": datetime.now(UTC) + chosen["since"]}
    assert await client.retry_dead("default", **chosen) == len(which)
    waiting = {info.id for info in await client.jobs("default")}
    assert waiting == {dead[index].id for index in which}
    assert (await client.counts("default"))[State.DEAD] == len(dead) - len(which)


async def test_dead_letters_are_grouped_by_cause(client: Client, dead: list[Handle[Any]]) -> None:
    groups = {group.reasons[0]: group for group in await client.failures()}
    assert {reason: group.count for reason, group in groups.items()} == {
        "failed": 2,
        "timeout": 1,
        "invalid": 1,
    }
    failed = groups["failed"]
    assert set(failed.ids) == {dead[0].id, dead[1].id}
    assert (failed.queue, failed.tasks, failed.error.type) == ("default", ("fail",), "ValueError")
    assert failed.first_at <= failed.last_at
    assert await client.failures("nosuch") == []
    assert await client.count_dead("default", cause=failed.cause) == 2
    assert await client.purge_dead("default", cause=failed.cause) == 2
    assert {group.reasons[0] for group in await client.failures("default")} == {"timeout", "invalid"}


async def test_a_group_tells_the_versions_in_which_its_letters_died(
    client: Client, dead: list[Handle[Any]]
) -> None:
    queue, before = "arq:queue:default:dead", time.time() * 1000 - 100_000
    error = await client.redis.hget(f"{queue}:{dead[0].id}", "error")
    for number in range(8):
        letter = {"error": error, "cause": "c0ffee", "version": f"1.{number // 2 * 2}"}
        await client.redis.hset(f"{queue}:v{number}", mapping=letter)
        await client.redis.zadd(queue, {f"v{number}": before + number})
    groups = {group.cause: group.versions for group in await client.failures("default")}
    assert groups.pop("c0ffee") == ("1.0", "1.2", "1.4", "1.6")
    assert set(groups.values()) == {()}
    for number in range(8):
        await client.redis.hset(f"{queue}:v{number}", "version", f"2.{number}")
    groups = {group.cause: group.versions for group in await client.failures("default")}
    assert groups["c0ffee"] == ("2.0", "2.4", "2.5", "2.6", "2.7")


async def test_groups_tell_when_their_letters_died(client: Client, dead: list[Handle[Any]]) -> None:
    now = time.time()
    ages = {dead[0].id: 2 * 3600, dead[1].id: 3 * 86_400}
    await client.redis.zadd("arq:queue:default:dead", {one: (now - age) * 1000 for one, age in ages.items()})
    (group,) = [group for group in await client.failures("default") if group.count == 2]
    assert (group.last_hour, group.last_day, group.last_week) == (0, 1, 2)
    assert group.ids == (dead[0].id, dead[1].id)
    assert group.last_at - group.first_at == pytest.approx(timedelta(hours=70), abs=timedelta(seconds=1))


async def test_a_letter_of_another_program_or_of_an_older_version_is_in_a_group_too(
    client: Client, dead: list[Handle[Any]]
) -> None:
    before = {group.cause: group.count for group in await client.failures("default")}
    await client.redis.hdel(f"arq:queue:default:dead:{dead[0].id}", "cause")
    await client.redis.zadd("arq:queue:default:dead", {"expired": time.time() * 1000, "odd": 1, "string": 2})
    await client.redis.hset("arq:queue:default:dead:odd", mapping={"error": b"\xff", "reason": "failed"})
    await client.redis.set("arq:queue:default:dead:string", "x")
    after = {group.cause: group.count for group in await client.failures("default")}
    assert before.items() <= after.items()
    assert sum(after.values()) == sum(before.values()) + 1


async def test_many_dead_letters_are_brought_back_in_few_round_trips(
    client: Client, server: RedisServer
) -> None:
    async with serving(server.url, *JOBS, QUEUE_CONCURRENCY="100"):
        handles = await client.enqueue_many(fail.call(word=str(number)) for number in range(450))
        for handle in handles:
            await until_in(handle, State.DEAD)
    assert await client.retry_dead("default", task="fail") == 450
    assert (await client.counts("default"))[State.WAITING] == 450


async def test_the_newest_job_of_an_id_is_shown_though_the_letter_of_an_older_one_stays(
    client: Client, server: RedisServer
) -> None:
    async with serving(server.url, *JOBS):
        await until_in(await client.enqueue(fail.options(id="one")), State.DEAD)
        handle = await client.enqueue(add.options(id="one"), a=1)
        assert await handle.result(10) == 2
        assert (await handle.status()).state is State.COMPLETED
        await until_in(await client.enqueue(refuse.options(id="one")), State.CANCELLED)
        assert [info.state for info in await client.jobs("default", State.DEAD)] == [State.DEAD]


async def test_a_dead_letter_whose_id_lives_again_stays(client: Client, dead: list[Handle[Any]]) -> None:
    payload = b'{"v":1,"f":"add","t":null,"a":[],"k":{"a":1},"et":1}'
    await client.redis.set(f"arq:job:{dead[0].id}", payload)
    with pytest.raises(JobExists):
        await client.retry("default", dead[0].id)
    assert await client.retry_dead("default") == 3


# The client itself


async def test_connect_reads_the_environment_and_a_block_closes_what_it_opened(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", server.url)
    with server.client() as plain:
        async with await rota.connect() as client:
            handle = await client.enqueue(add, a=1)
            assert len(plain.client_list()) == 2
        # The server learns of a closed connection in its own time.
        await until(lambda: len(plain.client_list()) == 1, "the connection is closed")
    assert repr(handle) == f"<Handle default {handle.id}>"


async def test_many_tasks_share_one_client(client: Client, server: RedisServer) -> None:
    async with serving(server.url, add, QUEUE_CONCURRENCY="50"):
        handles = await asyncio.gather(*(client.enqueue(add, a=number) for number in range(100)))
        results = await asyncio.gather(*(handle.result(20) for handle in handles))
    assert results == [number + 1 for number in range(100)]


async def test_while_a_job_is_tried_again_the_errors_of_its_attempts_are_seen(
    client: Client, working: None, capsys: pytest.CaptureFixture[str]
) -> None:
    handle = await client.enqueue(stumble, patient=True)
    info = await until_job(handle, lambda info: info.attempts == 3 and info.state is State.ACTIVE)
    assert [(one.attempt, one.error.type, one.error.message) for one in info.failures] == [
        (1, "LookupError", "attempt 1"),
        (2, "LookupError", "attempt 2"),
    ]
    assert info.failures[0].at <= info.failures[1].at <= datetime.now(UTC)
    assert info.error is not None
    assert (info.error.message, info.reason) == ("attempt 2", "")
    screen.details(info)
    said = capsys.readouterr().out
    assert "LookupError: attempt 1" in said
    assert said.count("LookupError: attempt 2") >= 2, "by itself, and at the end of its traceback"
    screen.value(screen.as_json(info))
    assert [one["error"]["message"] for one in json.loads(capsys.readouterr().out)["failures"]] == [
        "attempt 1",
        "attempt 2",
    ]


async def test_a_dead_letter_has_the_errors_of_all_attempts(client: Client, working: None) -> None:
    handle = await client.enqueue(stumble, patient=False)
    info = await until_in(handle, State.DEAD)
    assert [one.error.message for one in info.failures] == ["attempt 1", "attempt 2"]
    assert info.error is not None
    assert info.error.message == "attempt 3"
    assert await client.redis.hlen("arq:queue:default:attempts") == 0
