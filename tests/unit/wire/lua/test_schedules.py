"""The scripts of schedules: whole or not at all, fenced, and a tick once only."""

import pytest
from redis.exceptions import ResponseError

from rota.testing.clock import BenchClock
from rota.testing.server import clients
from rota.wire.keys import tick_id
from rota.wire.schedules import Change, Schedules, Tick
from tests.unit.wire.lua.beds import Bed
from tests.unit.wire.lua.faults import Faults

SCHEDULES = Schedules("rota", 1000)
MINUTE = 60_000


def tick(bed: Bed, minutes: int, terms: str = "") -> Tick:
    at = bed.now // MINUTE * MINUTE + minutes * MINUTE
    return Tick(at, at, "q", "work", b"p", terms)


async def test_a_tick_that_was_put_or_passed_over_is_not_put_again(bed: Bed) -> None:
    first, second = tick(bed, 1), tick(bed, 2)
    assert await SCHEDULES.apply(bed.redis, Change("s", 0, {"tick": first.tick_ms}, (first,)), 1) == (
        "done",
        1,
    )
    change = Change("s", 1, {"tick": second.tick_ms, "until": first.tick_ms}, (second,))
    assert await SCHEDULES.apply(bed.redis, change, 1) == ("done", 1)
    bed.looking.delete(f"arq:job:{tick_id('s', first.tick_ms)}")
    assert await SCHEDULES.apply(bed.redis, Change("s", 2, {}, (first,)), 1) == ("done", 0)
    assert await SCHEDULES.apply(bed.redis, Change("s", 3, {}, (second,)), 1) == ("done", 0)
    assert await SCHEDULES.apply(bed.redis, Change("s", 3, {}, (tick(bed, 3),)), 1) == ("changed", 0)


async def test_an_earlier_leader_is_fenced_and_a_person_is_not(bed: Bed) -> None:
    assert await SCHEDULES.apply(bed.redis, Change("s", 0, {"tick": 5}), 7) == ("done", 0)
    assert await SCHEDULES.apply(bed.redis, Change("s", 1, {"tick": 6}), 6) == ("fenced", 0)
    assert await SCHEDULES.apply(bed.redis, Change("s", 1, {"paused": 6, "tick": ""})) == ("done", 0)
    found = await SCHEDULES.read(bed.redis)
    assert found == {"s": {"paused": "6", "version": "2", "epoch": "7"}}


async def test_a_tick_that_a_worker_has_is_not_taken_out(bed: Bed) -> None:
    due = tick(bed, 0)
    await SCHEDULES.apply(bed.redis, Change("s", 0, {"tick": due.tick_ms}, (due,)), 1)
    worker = bed.worker("w")
    claim = await worker.claim_one()
    await SCHEDULES.apply(bed.redis, Change("s", 1, out=("q", "work", due.tick_ms), remove=True), 1)
    assert bed.looking.zscore("arq:abort", claim.id) is None
    assert bed.entry(claim.id) is not None
    assert await SCHEDULES.read(bed.redis) == {}


async def test_a_worker_is_woken_for_a_tick_that_is_due(bed: Bed) -> None:
    await SCHEDULES.apply(bed.redis, Change("s", 0, {}, (tick(bed, 5),)), 1)
    assert bed.tokens() == 0
    await SCHEDULES.apply(bed.redis, Change("s", 1, {}, (tick(bed, 0),)), 1)
    assert bed.tokens() == 1


async def test_a_change_of_which_one_command_failed_has_changed_nothing(
    monkeypatch: pytest.MonkeyPatch, scripts_end: None
) -> None:
    faults = Faults(monkeypatch)
    for at in range(1, 200):
        clock = BenchClock()
        redis, looking = clients()
        with clock.opened():
            bed = Bed(redis, looking, clock)
            former, limited = tick(bed, 1), tick(bed, 2, terms="p=5 r=rota:limit:x|k|1000|1000000")
            await SCHEDULES.apply(redis, Change("s", 0, {"tick": former.tick_ms}, (former,)), 1)
            before = bed.everything()
            out = ("q", "work", former.tick_ms)
            change = Change("s", 1, {"tick": limited.tick_ms, "definition": "d"}, (limited,), out)
            faults.arm(at)
            try:
                await SCHEDULES.apply(redis, change, 1)
            except ResponseError:
                faults.disarm()
                assert bed.everything() == before, faults.failed
                await SCHEDULES.apply(redis, change, 1)
            faults.disarm()
            assert bed.looking.zrange("arq:queue:q", 0, -1) == [tick_id("s", limited.tick_ms).encode()]
            assert bed.looking.exists(f"arq:job:{tick_id('s', former.tick_ms)}") == 0
        if not faults.failed:
            assert at > 10
            return
    pytest.fail("the script did not come to its end")


async def test_a_release_is_forgotten_with_its_last_worker(clocked: Bed) -> None:
    await SCHEDULES.publish(clocked.redis, "old", b"1", 60)
    clocked.advance(30)
    await SCHEDULES.publish(clocked.redis, "new", b"2", 60)
    await SCHEDULES.publish(clocked.redis, "old", b"1", 60)
    assert await SCHEDULES.declared(clocked.redis) == [b"1", b"2"]
    clocked.advance(61)
    assert await SCHEDULES.declared(clocked.redis) == []
    await SCHEDULES.publish(clocked.redis, "new", b"2", 60)
    assert clocked.looking.zrange("rota:schedules:releases", 0, -1) == [b"new"]


async def test_a_release_is_declared_where_redis_is_full(real: Bed) -> None:
    with real.full():
        await SCHEDULES.publish(real.redis, "new", b"2", 60)
    assert await SCHEDULES.declared(real.redis) == [b"2"]
