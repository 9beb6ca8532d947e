"""Leftovers: all of them are struck, whatever key was deleted, and nothing of a job or a flow that lives."""

import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from redis.exceptions import ResponseError

from rota import Run, Snooze, at_most, fixed, job, per_second, unique
from rota.errors import RotaError
from rota.model.job import Job
from rota.services.leftovers import Leftovers
from rota.testing import Bench
from rota.wire.keys import QueueKeys, queue_key
from tests.unit.wire.lua.test_flows import Cut, gaps, nested, note, numbers, sums, total, work

DEFAULT = QueueKeys.of(queue_key("default"))
FUZZING = os.environ.get("FUZZ_EXAMPLES")
EXAMPLES = int(FUZZING or "3")
pytestmark = pytest.mark.timeout(0 if FUZZING else 120)

#: What stays of a queue or a limit that was in use: a few keys of each, however many jobs there were.
STAYS = (
    "rota:events",
    ":stats",
    ":dead",
    ":levels",
    ":wake",
    "rota:limit:default:paced",
    "rota:slots:default:slotted",
)


@job(limit=per_second(1, key="who"), max_attempts=2, backoff=fixed(5.0))
async def paced(run: Run, who: str) -> None:
    raise ValueError("boom")


@job(concurrency=at_most(1, key="who"), queue="other")
async def slotted(run: Run, who: str) -> None:
    if run.attempt == 1 and run.snoozes == 0:
        raise Snooze(3.0)
    run.progress(50)


@job(unique=unique(until="finished"), priority=3)
async def only_one(run: Run, who: str) -> None: ...


@job(max_attempts=1)
async def dies(run: Run) -> None:
    raise ValueError("boom")


#: Longer than any job of a history waits, unless it stands in a line behind one that has ended without its terms: until
#: that one is struck it is looked at again and again, so that a drain without an end would have none.
A_WHILE = timedelta(minutes=2)

JOBS: list[Job[Any, Any]] = [numbers, work, total, note, paced, slotted, only_one]
Act = Callable[[Bench], Awaitable[Any]]


async def sweep(redis: Any, **options: Any) -> dict[str, int]:
    """Sweep twice, as what is looked at twice needs it; return what was struck."""
    leftovers = Leftovers("rota", strike=True, **options)
    return dict(await leftovers.of_all(redis) + await leftovers.of_all(redis))


def everything(bench: Bench) -> dict[bytes, Any]:
    """Return the names of all keys, and what is in those that hold several things."""
    looking, found = bench._looking, {}
    for key in looking.keys("*"):
        match looking.type(key):
            case b"hash":
                found[key] = looking.hgetall(key)
            case b"zset":
                found[key] = looking.zrange(key, 0, -1, withscores=True)
            case b"set":
                found[key] = looking.smembers(key)
            case _:
                found[key] = looking.ttl(key)
    return found


def sweep_always(bench: Bench) -> list[dict[str, int]]:
    """Sweep after each script that anybody calls; return the list to which is added what that changes."""
    redis, changes = bench.client.redis, []
    call = redis.execute_command

    async def execute_command(*args: Any, **kwargs: Any) -> Any:
        answer = await call(*args, **kwargs)
        if args[0] in ("EVAL", "EVALSHA"):
            redis.execute_command = call
            try:
                before = everything(bench)
                struck = await sweep(redis)
                if struck or everything(bench) != before:
                    changes.append(struck)
            finally:
                redis.execute_command = execute_command
        return answer

    redis.execute_command = execute_command
    return changes


def enqueuing(what: Any, *args: Any) -> Act:
    async def act(bench: Bench) -> None:
        await bench.client.enqueue(what, *args)

    return act


async def put_batch(bench: Bench) -> None:
    await bench.client.batch([work.call(number) for number in range(2, 6)], on_finished=note.call("over"))


async def cancel_all(bench: Bench) -> None:
    for queue in ("default", "other"):
        await bench.client.cancel_all(queue)


async def retry_all(bench: Bench) -> None:
    for queue in ("default", "other"):
        await bench.client.retry_dead(queue)


async def let_pass(bench: Bench) -> None:
    bench.advance(2.0)


async def run_some(bench: Bench) -> None:
    with suppress(AssertionError, Cut, ResponseError):
        await bench.drain(max_jobs=3)


ACTS: dict[str, Act] = {
    "paced": enqueuing(paced, "ann"),
    "slotted": enqueuing(slotted, "ann"),
    "unique": enqueuing(only_one, "ann"),
    "later": enqueuing(only_one.options(delay=30.0), "bob"),
    "sums": enqueuing(sums, 3),
    "gaps": enqueuing(gaps.options(id="mine", on_taken="existing"), 5),
    "nested": enqueuing(nested, 2),
    "batch": put_batch,
    "cancel": cancel_all,
    "retry": retry_all,
    "time": let_pass,
    "run": run_some,
}
HISTORIES = st.lists(st.sampled_from(sorted(ACTS)), min_size=2, max_size=8)
#: When a history begins. It may cross the end of a minute, an hour, a day, a month or a year.
NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
STARTS = st.sampled_from(
    [
        NOON,
        datetime(2026, 3, 4, 12, 59, 58, tzinfo=UTC),
        datetime(2026, 3, 29, 0, 59, 59, tzinfo=UTC),
        datetime(2028, 2, 28, 23, 59, 57, 999_000, tzinfo=UTC),
        datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC),
    ]
)
PLAY = settings(
    max_examples=EXAMPLES,
    deadline=None,
    phases=[Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


async def played(bench: Bench, history: list[str]) -> None:
    for name in history:
        await ACTS[name](bench)
    with suppress(AssertionError):
        await bench.drain()


async def struck_of(history: list[str], start: datetime) -> list[dict[str, int]]:
    """Return what was struck while a history went on in which no key was deleted."""
    with Bench(JOBS, start=start) as bench:
        changes = sweep_always(bench)
        await played(bench, history)
    return changes


async def swept_out(bench: Bench) -> list[str]:
    """Return what stays for ever, when all jobs that can be are worked off, and what is left was struck."""
    with suppress(AssertionError, RotaError, ResponseError):
        await bench.drain(until=bench.now + A_WHILE)
    for _ in range(3):
        await sweep(bench.client.redis)
        with suppress(AssertionError, ResponseError):
            await bench.drain(until=bench.now + A_WHILE)
        bench.advance(700.0)
    left = [key.decode() for key in bench._looking.keys("*") if bench._looking.pttl(key) == -1]
    return [key for key in left if not key.endswith(STAYS)]


@PLAY
@given(history=HISTORIES, start=STARTS)
async def test_nothing_of_a_job_or_flow_that_lives_is_struck(history: list[str], start: datetime) -> None:
    assert await struck_of(history, start) == []


async def test_a_queue_stays_among_those_with_a_line_until_the_next_slot_is_freed() -> None:
    history = ["paced", "slotted", "slotted", "later", "gaps", "unique", "retry", "slotted"]
    assert await struck_of(history, NOON) == []


async def test_a_cause_leaves_its_list_with_its_last_letter() -> None:
    causes = "arq:queue:default:causes"
    with Bench([dies]) as bench:
        client, redis = bench.client, bench.client.redis
        first, second = [await client.enqueue(dies) for _ in range(2)]
        await bench.drain()
        await client.delete_dead("default", first.id)
        assert await redis.zcard(causes) == 1
        assert await client.retry_dead("default") == 1
        assert await redis.exists(causes) == 0
        await bench.drain()
        assert await redis.zcard(causes) == 1
        await client.delete_dead("default", second.id)
        assert await redis.exists(causes) == 0


@PLAY
@given(history=HISTORIES, start=STARTS, data=st.data())
async def test_whatever_key_is_deleted_nothing_stays_for_ever(
    history: list[str], start: datetime, data: Any
) -> None:
    with Bench(JOBS, start=start) as bench:
        for name in history:
            with suppress(RotaError):
                await ACTS[name](bench)
            keys = sorted(bench._looking.keys("*"))
            for key in data.draw(st.lists(st.sampled_from(keys), max_size=3)) if keys else ():
                bench._looking.delete(key)
        assert await swept_out(bench) == []


def without(bench: Bench, *patterns: str) -> None:
    """Delete the keys that match these patterns."""
    for key in [key for pattern in patterns for key in bench._looking.keys(pattern)]:
        bench._looking.delete(key)


def lose_plans(bench: Bench) -> None:
    without(bench, "rota:flow:*:plan")


def lose_stage(bench: Bench) -> None:
    """Damage the stage of the flow: no script can end it then."""
    (key,) = (key for key in bench._looking.keys("rota:flow:*") if not key.endswith(b":plan"))
    bench._looking.hset(key, "stage", "one")
    without(bench, "arq:*")


DAMAGES = [lose_plans, lose_stage]


class TestFlows:
    async def test_a_pipeline_whose_job_is_gone_dies_and_can_be_resumed(self) -> None:
        with Bench(JOBS) as bench:
            handle = await bench.client.enqueue(sums, 3)
            await run_some(bench)
            without(bench, "arq:queue:default*", "arq:job:*")
            assert await sweep(bench.client.redis) == {"flows": 1}
            info = await handle.status()
            assert (info.state, info.error and info.error.type) == ("dead", "rota.errors.JobsGone")
            assert bench.events[-1].type == "dead"
            assert await handle.retry() == "retried"
            await bench.drain()
            assert await handle.result(timeout=0) == 6

    async def test_a_pipeline_within_one_that_is_left_takes_that_with_it(self) -> None:
        with Bench(JOBS) as bench:
            handle = await bench.client.enqueue(nested, 3)
            with suppress(AssertionError):
                await bench.drain(max_jobs=4)
            without(bench, "arq:queue:*", "arq:job:*")
            assert (await sweep(bench.client.redis))["flows"] > 1
            assert (await handle.status()).state == "dead"

    async def test_of_a_batch_the_jobs_that_are_gone_count_as_dead(self) -> None:
        with Bench(JOBS) as bench:
            calls = [work.call(number) for number in (1, 2, 4)]
            handle = await bench.client.batch(calls, on_finished=note.call("over"))
            await bench.client.redis.zrem(DEFAULT.queue, handle.handles[0].id)
            without(bench, f"arq:job:{handle.handles[0].id}")
            assert (await sweep(bench.client.redis))["flows"] == 1
            await bench.drain()
            info = await handle.status()
            assert (info.state, info.completed, info.dead) == ("completed", 2, 1)
            assert bench.results(note) == ["over: 2 of 3"]

    async def test_a_batch_that_its_client_left_half_put_ends_after_a_day(self) -> None:
        with Bench(JOBS) as bench:
            handle = await bench.client.batch([work.call(1)])
            await bench.client.redis.hset(f"rota:flow:{handle.id}", "0:total", 3)
            await bench.drain()
            assert await sweep(bench.client.redis) == {}
            bench.advance(86_401.0)
            assert await sweep(bench.client.redis) == {"flows": 1}
            info = await handle.status()
            assert (info.state, info.completed, info.cancelled) == ("completed", 1, 2)

    async def test_a_damaged_one_is_marked_as_dead(self) -> None:
        with Bench(JOBS) as bench:
            handle = await bench.client.enqueue(sums, 3)
            without(bench, "arq:*", "rota:flow:*:plan")
            assert await sweep(bench.client.redis) == {"flows": 1}
            assert await bench.client.redis.hget(f"rota:flow:{handle.id}", "state") == b"dead"
            assert await bench.client.redis.ttl(f"rota:flow:{handle.id}") > 0

    @pytest.mark.parametrize("damage", DAMAGES)
    async def test_the_id_of_a_damaged_one_expires_with_it(self, damage: Callable[[Bench], None]) -> None:
        with Bench(JOBS, start=NOON) as bench:
            await ACTS["gaps"](bench)
            damage(bench)
            await ACTS["gaps"](bench)
            assert await swept_out(bench) == []
            assert bench._looking.exists("rota:flow-id:mine"), (
                "for a day, it leads to what became of the flow"
            )

    @pytest.mark.parametrize("damage", DAMAGES)
    async def test_a_damaged_one_leaves_its_id_to_a_later_flow(self, damage: Callable[[Bench], None]) -> None:
        with Bench(JOBS, start=NOON) as bench:
            await ACTS["gaps"](bench)
            damage(bench)
            without(bench, "rota:flow-id:mine", "arq:*")
            await ACTS["gaps"](bench)
            assert (await sweep(bench.client.redis))["flows"] == 1
            assert bench._looking.ttl("rota:flow-id:mine") == -1

    async def test_only_counted_it_goes_on(self) -> None:
        with Bench(JOBS) as bench:
            await bench.client.enqueue(sums, 3)
            await put_batch(bench)
            without(bench, "arq:job:*", "arq:queue:*")
            before = everything(bench)
            assert (await Leftovers("rota").of_all(bench.client.redis))["flows"] == 2
            assert everything(bench) == before


async def test_a_payload_is_deleted_only_where_it_was_in_no_queue_at_the_look_before(redis: Any) -> None:
    leftovers = Leftovers("rota", strike=True)
    await redis.set("arq:job:a", b"p")
    assert await leftovers.of_all(redis) == {}
    await redis.set("arq:job:b", b"p")
    assert await leftovers.of_all(redis) == {"payloads": 1}
    await redis.zadd(DEFAULT.queue, {"b": 1})
    assert await leftovers.of_all(redis) == {}
    await redis.zrem(DEFAULT.queue, "b")
    assert await leftovers.of_all(redis) == {}, "it was seen in a queue meanwhile"
    assert await leftovers.of_all(redis) == {"payloads": 1}


async def test_of_many_keys_each_is_looked_at_and_the_looks_can_be_counted(redis: Any) -> None:
    await redis.mset({f"arq:retry:{number}": 1 for number in range(2500)})
    looked: list[int] = []
    leftovers = Leftovers("rota", moved=looked.append)
    assert await leftovers.of_all(redis) == {"counts": 2500}
    assert sum(looked) >= 2500


async def test_letters_that_were_deleted_by_hand_are_struck_from_the_lists_of_their_cause() -> None:
    with Bench([dies]) as bench:
        for _ in range(3):
            await bench.client.enqueue(dies)
        await bench.drain()
        without(bench, f"arq:queue:default:dead:{bench.dead[0].id}")
        assert (await sweep(bench.client.redis))["of_cause"] == 1
        (cause,) = bench._looking.zrange("arq:queue:default:causes", 0, -1)
        assert bench._looking.zcard(b"arq:queue:default:cause:" + cause) == 2
        without(bench, "arq:queue:default:dead:*")
        assert (await sweep(bench.client.redis))["of_cause"] == 2
        assert bench._looking.keys("arq:queue:default:cause*") == []


async def test_a_letter_is_struck_from_the_list_of_the_cause_that_it_had_before() -> None:
    with Bench([dies]) as bench:
        await bench.client.enqueue(dies)
        await bench.drain()
        letter = bench.dead[0].id
        # A client that knows of no causes has put the job back, and it has died of something else.
        bench._looking.zadd("arq:queue:default:cause:0a1b2c", {letter: 1})
        bench._looking.zadd("arq:queue:default:causes", {"0a1b2c": 1})
        assert (await sweep(bench.client.redis))["of_cause"] == 1
        (cause,) = bench._looking.keys("arq:queue:default:cause:*")
        assert bench._looking.zrange(cause, 0, -1) == [letter.encode()]
