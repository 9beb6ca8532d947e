"""Plain jobs are put in a short way. It leaves what the long one leaves, and is not gone where something is in it."""

import json
from typing import Any

import pytest
from redis.exceptions import ResponseError

from rota.client.sending.together import arguments_of
from rota.wire.keys import ABORT, JOB, RESULT
from rota.wire.scripts import ENQUEUE
from tests.unit.wire.lua.beds import EVENTS, KEYS, Bed

#: Ids as users give them, and of many jobs whose events take several entries of the stream.
NAMED = ("q:order-7", 'q:say "hé" \\ / ä')
MANY = tuple(f"{number:032x}" for number in range(50))
RECORDING = "rota:recording"


def left_by(bed: Bed) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return all that is there, but for what makes jobs go the long way, and the events but for their positions."""
    found = {key: value for key, value in bed.everything().items() if key not in (ABORT, RECORDING, EVENTS)}
    return found, [event | {"position": ""} for event in bed.events()]


@pytest.mark.parametrize("ids", [NAMED, MANY, MANY[:1]], ids=["named", "many", "one"])
@pytest.mark.parametrize(
    "how",
    [{}, {"delay": 2.5}, {"due_ms": 1_900_000_000_000}, {"terms": "t=acme"}, {"terms": "h=wh_01 p=7 t=a.b"}],
    ids=["now", "later", "dated", "owned", "all terms"],
)
async def test_it_leaves_what_the_long_way_leaves(
    clocked: Bed, ids: tuple[str, ...], how: dict[str, Any]
) -> None:
    assert await clocked.enqueue(*ids, **how) == [1] * len(ids)
    short = left_by(clocked)
    clocked.looking.flushall()
    clocked.looking.zadd(ABORT, {"another": 1})
    assert await clocked.enqueue(*ids, **how) == [1] * len(ids)
    assert left_by(clocked) == short
    assert [event["id"] for event in short[1]] == list(ids)


async def test_jobs_that_have_an_owner_are_put_by_one_command_more(real: Bed) -> None:
    before = real.commands()
    assert await real.enqueue("a", "b", "c", terms="t=acme") == [1, 1, 1]
    executed = real.commands() - before
    assert {name: executed[name] for name in ("exists", "mset", "hset", "zadd", "xadd")} == {
        "exists": 1, "mset": 1, "hset": 1, "zadd": 1, "xadd": 1,
    }  # fmt: skip
    assert [event["tenant"] for event in real.events()] == ["acme"] * 3


@pytest.mark.parametrize("key", [KEYS.queue, KEYS.terms], ids=["queue", "terms"])
async def test_where_a_key_is_of_another_type_nothing_is_left_of_jobs_that_have_an_owner_and_a_priority(
    bed: Bed, key: str
) -> None:
    bed.looking.set(key, "not ours")
    with pytest.raises(ResponseError):
        await bed.enqueue("a", "b", terms="p=3 t=acme")
    assert bed.all_keys() == {key}


async def test_events_of_jobs_of_several_names_lie_in_rows_as_the_long_way_writes_them(clocked: Bed) -> None:
    tasks = ("one", "one", "other", "one", "other", "other")
    values = [
        value
        for number, task in enumerate(tasks)
        for value in (f"{number}", b"p", (-1, number // 5, 0, task, "", "", "refuse"))
    ]
    entries = []
    for others in ({}, {"another": 1}):
        clocked.looking.flushall()
        if others:
            clocked.looking.zadd(ABORT, others)
        await ENQUEUE(clocked.redis, (KEYS.queue, KEYS.wake, EVENTS), ("q", 1000, 1, *arguments_of(values)))
        ((_, entry),) = clocked.looking.xrange(EVENTS)
        entries.append(json.loads(entry[b"e"]))
    assert entries[0] == entries[1]
    assert [(row[2], row[3]) for row in entries[0]][:2] == [(["0", "1"], "one"), ("2", "other")]


async def test_of_two_jobs_of_one_id_the_first_is_put(bed: Bed) -> None:
    assert await bed.enqueue("a", "b", "a") == [1, 1, 0]
    assert sorted(event["id"] for event in bed.events()) == ["a", "b"]


async def test_a_single_job_leaves_nothing_where_the_queue_is_no_queue_or_redis_is_full(real: Bed) -> None:
    real.looking.set(KEYS.queue, "not ours")
    with pytest.raises(ResponseError):
        await real.enqueue("a")
    assert real.all_keys() == {KEYS.queue}
    real.looking.delete(KEYS.queue)
    with real.full(), pytest.raises(ResponseError, match="maxmemory"):
        await real.enqueue("a")
    assert not real.all_keys()


@pytest.mark.parametrize("key", [f"{JOB}a", f"{RESULT}a", ABORT], ids=["live", "over", "aborted"])
async def test_a_single_job_in_whose_way_something_is_goes_the_long_way(bed: Bed, key: str) -> None:
    if key == ABORT:
        bed.looking.zadd(ABORT, {"a": 1})
    else:
        bed.looking.set(key, "kept")
    assert await bed.enqueue("a") == [0 if key == f"{JOB}a" else 1]
    assert bed.looking.get(f"{JOB}a") == (b"kept" if key == f"{JOB}a" else b"p")
    assert not bed.looking.exists(f"{RESULT}a", ABORT)


async def test_what_is_left_of_a_former_job_of_the_id_goes_and_nothing_of_others(bed: Bed) -> None:
    bed.looking.zadd(ABORT, {"a": 1, "other": 1})
    bed.looking.set(f"{RESULT}a", "kept")
    assert await bed.enqueue("b", "a") == [1, 1]
    assert bed.result("a") is None
    assert bed.looking.zrange(ABORT, 0, -1) == [b"other"]


async def test_while_something_is_recorded_they_are(bed: Bed) -> None:
    bed.looking.set(RECORDING, "1 1000")
    assert await bed.enqueue("a") == [1]
    assert bed.looking.xlen("rota:records") == 1


async def test_where_the_queue_is_no_queue_nothing_is_left_of_them(bed: Bed) -> None:
    bed.looking.set(KEYS.queue, "not ours")
    with pytest.raises(ResponseError):
        await bed.enqueue("a", "b")
    assert bed.all_keys() == {KEYS.queue}


async def test_a_user_without_the_right_to_its_commands_puts_them_the_long_way(real: Bed) -> None:
    real.looking.acl_setuser("narrow", enabled=True, nopass=True, keys=["*"], commands=["+@all", "-mset"])
    await real.redis.execute_command("AUTH", "narrow", "any")
    assert await real.enqueue("a", "b") == [1, 1]
    assert real.looking.mget(f"{JOB}a", f"{JOB}b") == [b"p", b"p"]


async def test_in_a_full_redis_nothing_is_put(real: Bed) -> None:
    with real.full(), pytest.raises(ResponseError, match="maxmemory"):
        await real.enqueue("a", "b")
    assert not real.all_keys()
