"""The scheduler on the real scripts: one job a tick, whichever process leads and whatever the clocks say."""

import asyncio
import os
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from redis.exceptions import OutOfMemoryError

from rota.model.schedules.definition import Definition, Release
from rota.model.schedules.state import State
from rota.model.schedules.times import Interval, times_of
from rota.services.scheduler import SELDOM, Scheduler
from rota.testing.clock import BenchClock
from rota.testing.server import clients
from rota.wire.claims import Settlement, Told
from rota.wire.keys import RESULT, tick_id, tick_of
from rota.wire.results import encode_result
from rota.wire.schedules import Change, Schedules
from tests.servers import RedisServer
from tests.unit.wire.lua.beds import Bed, Worker, real_bed

#: How many ticks there are to run, once each.
TICKS = int(os.environ.get("SCHEDULE_TICKS", "25"))
NIGHTLY = Definition(
    "nightly", "jobs", "q", "work", times_of("0 4 * * *", "UTC"), "run_once", "skip", "{}", {}, ""
)
EACH_MINUTE = replace(NIGHTLY, name="often", times=Interval(60_000))
LIFE = 70.0
#: The clock's first time, at a distance from the next tick of each schedule: 61 s on, one tick of a minute is due.
START = datetime(2026, 7, 1, 12, 0, 20, tzinfo=UTC)


class TermOver(Exception):
    """The term of a leader is over."""


@dataclass
class FakeTerm:
    epoch: int = 1
    is_over: bool = False

    def check(self) -> None:
        if self.is_over:
            raise TermOver


@pytest.fixture
def bed() -> Iterator[Bed]:
    clock = BenchClock(START)
    redis, looking = clients()
    with clock.opened():
        yield Bed(redis, looking, clock)


SCHEDULES = Schedules("rota", 1000)


def scheduler(epoch: int = 1, **options: Any) -> Scheduler:
    return Scheduler(SCHEDULES, FakeTerm(epoch), lambda: None, **options)


async def declare(bed: Bed, *definitions: Definition, source: str = "jobs", life: float = LIFE) -> None:
    release = Release.of(source, definitions)
    await SCHEDULES.publish(bed.redis, release.id, release.text, life)


async def state_of(bed: Bed, name: str) -> State:
    return State.read(name, (await SCHEDULES.read(bed.redis, name)).get(name, {}))


def ticks_on(bed: Bed, queue: str = "q") -> list[tuple[str, int]]:
    """Return the ticks that wait on a queue, with their jobs' due times in place of their own."""
    found = bed.looking.zrange(f"arq:queue:{queue}", 0, -1, withscores=True)
    return [((tick_of(raw.decode()) or ("", 0))[0], int(score)) for raw, score in found]


def completed(bed: Bed, job_id: str) -> bytes:
    return encode_result(
        attempt=1,
        name="work",
        arguments=b"{}",
        enqueued_ms=bed.now,
        success=True,
        result=b"1",
        started_ms=bed.now,
        finished_ms=bed.now,
        queue="arq:queue:q",
        id=job_id,
    )


async def work(bed: Bed, worker: Worker, ran: Counter[str]) -> None:
    """Run every job that is due now, to its end."""
    while claims := await worker.claim(20):
        ran.update(claim.id for claim in claims)
        await worker.settle(
            *(
                Settlement.finished(
                    one, Told("completed", "work", 1, b"1", record=completed(bed, one.id), record_ms=60_000)
                )
                for one in claims
            )
        )


async def test_the_next_tick_waits_ahead_of_its_time_as_a_delayed_job(bed: Bed) -> None:
    await declare(bed, EACH_MINUTE)
    told: list[Any] = []
    pause = await scheduler(created=told.extend).look(bed.redis)
    tick = EACH_MINUTE.times.next_after(bed.now)
    assert ticks_on(bed) == [("often", tick)]
    assert [one.id for one in told] == [tick_id("often", tick)]
    assert bed.story(tick_id("often", tick)) == ["enqueued"]
    assert 0 < pause <= 5
    assert await scheduler().look(bed.redis) > 0
    assert len(bed.events()) == 1


async def test_without_any_schedule_it_looks_seldom(bed: Bed) -> None:
    assert await scheduler().look(bed.redis) == SELDOM
    await declare(bed, EACH_MINUTE)
    assert await scheduler().look(bed.redis) < SELDOM


async def test_one_run_a_tick_with_two_leaders_and_a_server_s_clock_that_goes_back(bed: Bed) -> None:
    """Two leaders look at once all the time; the clock goes on by up to a tick, and back by up to three."""
    chosen = random.Random(5)
    leaders, worker, ran = [scheduler(), scheduler()], bed.worker("w"), Counter[str]()
    await declare(bed, EACH_MINUTE, life=10**6)
    begin, highest = bed.now, bed.now
    await leaders[0].look(bed.redis)
    while highest < begin + (TICKS + 1) * 60_000:
        if chosen.random() < 0.1:
            bed.set_back(chosen.randrange(180))
        else:
            bed.advance(chosen.randrange(1, 58))
        highest = max(highest, bed.now)
        if chosen.random() < 0.5:
            await work(bed, worker, ran)
        await asyncio.gather(*(one.look(bed.redis) for one in leaders))
    await work(bed, worker, ran)
    assert set(ran.values()) == {1}
    first = EACH_MINUTE.times.next_after(begin)
    due = [tick for name, tick in filter(None, map(tick_of, ran))]
    # None was left out: where a clock goes back, and nothing is missed, every tick runs.
    assert sorted(due) == list(range(first, max(due) + 1, 60_000))
    assert len(due) >= TICKS
    assert (await state_of(bed, "often")).missed == 0


async def test_a_tick_is_not_put_again_once_its_job_has_finished(bed: Bed) -> None:
    await declare(bed, EACH_MINUTE)
    await scheduler().look(bed.redis)
    before = await state_of(bed, "often")
    bed.advance(61)
    worker, ran = bed.worker("w"), Counter[str]()
    await work(bed, worker, ran)
    await scheduler().look(bed.redis)
    assert before.tick is not None
    # A leader that had read the schedule before, and stood still: its change comes too late.
    late = Change("often", before.version, before.fields())
    assert await SCHEDULES.apply(bed.redis, late, 1) == ("changed", 0)
    after = await state_of(bed, "often")
    assert (after.last, after.outcome) == (before.tick, "")
    await scheduler().look(bed.redis)
    assert (await state_of(bed, "often")).outcome == "completed"


async def test_a_leader_of_a_former_term_changes_nothing(bed: Bed) -> None:
    await declare(bed, EACH_MINUTE)
    await scheduler(epoch=5).look(bed.redis)
    bed.advance(61)
    before = bed.everything()
    await scheduler(epoch=4).look(bed.redis)
    assert {**bed.everything(), "seen": 0} == {**before, "seen": 0}
    ended = FakeTerm(6, is_over=True)
    with pytest.raises(TermOver):
        await Scheduler(SCHEDULES, ended, lambda: None).look(bed.redis)


async def test_after_a_stop_of_all_workers_a_schedule_runs_once_and_goes_on(bed: Bed) -> None:
    await declare(bed, EACH_MINUTE)
    await scheduler().look(bed.redis)
    bed.advance(3600 * 5)
    await declare(bed, EACH_MINUTE)
    await scheduler().look(bed.redis)
    ran = Counter[str]()
    await work(bed, bed.worker("w"), ran)
    assert len(ran) == 1
    assert (await state_of(bed, "often")).missed > 290
    assert len(ticks_on(bed)) == 1


async def test_a_changed_schedule_leaves_nothing_of_the_former(bed: Bed) -> None:
    await declare(bed, NIGHTLY)
    await scheduler().look(bed.redis)
    changed = replace(NIGHTLY, times=times_of("0 5 * * *", "UTC"), queue="other")
    bed.advance(1)
    await declare(bed, changed)
    await scheduler().look(bed.redis)
    assert ticks_on(bed) == []
    assert ticks_on(bed, "other") == [("nightly", changed.times.next_after(bed.now))]
    assert {raw.decode() for raw in bed.looking.keys("arq:job:*")} == {
        f"arq:job:{tick_id('nightly', changed.times.next_after(bed.now))}"
    }


async def test_a_removed_schedule_leaves_no_residue_once_no_worker_declares_it(bed: Bed) -> None:
    await declare(bed, NIGHTLY, EACH_MINUTE)
    await scheduler().look(bed.redis)
    bed.advance(30)
    await declare(bed, EACH_MINUTE)
    await scheduler().look(bed.redis)
    assert {name for name, _ in ticks_on(bed)} == {"nightly", "often"}
    bed.advance(45)
    await declare(bed, EACH_MINUTE)
    await scheduler().look(bed.redis)
    assert {name for name, _ in ticks_on(bed)} == {"often"}
    assert not bed.looking.keys("*nightly*")
    assert bed.looking.smembers("rota:schedules") == {b"often"}
    assert bed.looking.zcard("rota:schedules:releases") == 1


async def test_the_newest_release_says_how_a_schedule_is_and_an_older_worker_that_restarts_undoes_nothing(
    bed: Bed,
) -> None:
    newer = replace(EACH_MINUTE, times=Interval(7_200_000))
    await declare(bed, EACH_MINUTE)
    bed.advance(1)
    await declare(bed, newer)
    bed.advance(1)
    await declare(bed, EACH_MINUTE)  # an old worker was recycled
    await scheduler().look(bed.redis)
    assert ticks_on(bed) == [("often", newer.times.next_after(bed.now))]
    bed.advance(40)
    await declare(bed, EACH_MINUTE)
    bed.advance(40)
    await scheduler().look(bed.redis)  # the newer was taken back
    assert ticks_on(bed) == [("often", EACH_MINUTE.times.next_after(bed.now))]


async def test_the_schedules_of_an_application_that_is_away_stay(bed: Bed) -> None:
    await declare(bed, NIGHTLY)
    await scheduler().look(bed.redis)
    bed.advance(600)
    await declare(bed, replace(EACH_MINUTE, source="others"), source="others")
    await scheduler().look(bed.redis)
    assert {name for name, _ in ticks_on(bed)} == {"nightly", "often"}
    bed.advance(40 * 86_400)
    await declare(bed, replace(EACH_MINUTE, source="others"), source="others")
    await scheduler().look(bed.redis)
    assert {name for name, _ in ticks_on(bed)} == {"often"}


async def test_what_a_later_version_declares_is_left_alone(bed: Bed) -> None:
    await declare(bed, NIGHTLY)
    await scheduler().look(bed.redis)
    bed.advance(100)
    strange = Release("jobs", {"nightly": {**NIGHTLY.wire(), "times": {"moon": "full"}}})
    await SCHEDULES.publish(bed.redis, "later", strange.text, LIFE)
    await SCHEDULES.publish(bed.redis, "worse", b"{", LIFE)
    await scheduler().look(bed.redis)
    assert {name for name, _ in ticks_on(bed)} == {"nightly"}


async def test_limits_and_priorities_of_a_tick_are_those_of_any_job(bed: Bed) -> None:
    await declare(bed, replace(EACH_MINUTE, terms="p=5"))
    await scheduler().look(bed.redis)
    (job_id,) = bed.looking.zrange("arq:queue:q:p5", 0, -1)
    assert bed.looking.hget("arq:queue:q:terms", job_id) == b"p=5"


async def test_a_full_redis_changes_nothing_and_is_tried_again(server: RedisServer) -> None:
    async with real_bed(server) as bed:
        bed.looking.flushall()
        await declare(bed, EACH_MINUTE)
        with bed.full(), pytest.raises(OutOfMemoryError):
            await scheduler().look(bed.redis)
        assert bed.looking.keys("rota:schedule:*") == []
        await scheduler().look(bed.redis)
        assert [name for name, _ in ticks_on(bed)] == ["often"]
        assert bed.looking.get(f"{RESULT}none") is None
