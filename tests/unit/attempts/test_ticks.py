"""The gate of ticks: what is too late, or would overlap, is left out at its start; all else passes by."""

from typing import Any

import pytest
from fakeredis import FakeRedis

from rota import Cancel, Run
from rota.attempts.ticks import TickGate
from rota.model.schedules.schedule import OVERLAPPED, TOO_LATE, Schedule
from rota.model.schedules.times import Interval
from rota.testing.server import clients
from rota.wire.keys import tick_id
from rota.wire.schedules import Schedules

MINUTE = 60_000
OFTEN = Schedule(Interval(MINUTE))
DECLARED = {
    "often": OFTEN,
    "beside": Schedule(Interval(MINUTE), overlap="allow"),
    "punctual": Schedule(Interval(MINUTE), missed="skip", overlap="allow"),
}


@pytest.fixture
def redis() -> tuple[Any, FakeRedis]:
    return clients()


async def passed(redis: tuple[Any, FakeRedis], job_id: str, **facts: Any) -> str:
    """Return what the gate lets through: what the handler returned, or why it was not called."""
    gate = TickGate(DECLARED, Schedules("rota"), lambda: redis[0])

    async def handler(run: Run) -> str:
        return "ran"

    try:
        result = await gate(Run(id=job_id, job="work", queue="q", **facts), handler)
    except Cancel as cancel:
        return str(cancel)
    return str(result)


def follow(redis: tuple[Any, FakeRedis], name: str, *ticks: int, alive: bool = True) -> None:
    """Let jobs of earlier ticks be followed, and be alive."""
    redis[1].hset(f"rota:schedule:{name}", "open", " ".join(map(str, ticks)))
    for tick in ticks if alive else ():
        redis[1].zadd("arq:queue:q", {tick_id(name, tick): tick})


async def test_a_tick_runs_where_nothing_is_in_its_way(redis: tuple[Any, FakeRedis]) -> None:
    assert await passed(redis, tick_id("often", 2 * MINUTE)) == "ran"
    follow(redis, "often", MINUTE, alive=False)
    assert await passed(redis, tick_id("often", 2 * MINUTE)) == "ran"


async def test_a_tick_is_left_out_while_an_earlier_one_is_alive(redis: tuple[Any, FakeRedis]) -> None:
    follow(redis, "often", MINUTE, 2 * MINUTE)
    assert await passed(redis, tick_id("often", 2 * MINUTE)) == OVERLAPPED
    assert await passed(redis, tick_id("often", MINUTE)) == "ran"
    follow(redis, "beside", MINUTE)
    assert await passed(redis, tick_id("beside", 2 * MINUTE)) == "ran"


async def test_a_second_attempt_goes_on(redis: tuple[Any, FakeRedis]) -> None:
    follow(redis, "often", MINUTE)
    assert await passed(redis, tick_id("often", 2 * MINUTE), attempt=2) == "ran"
    assert await passed(redis, tick_id("punctual", MINUTE), attempt=2, waited=3600.0) == "ran"


async def test_a_tick_that_is_late_is_left_out_where_its_schedule_skips(
    redis: tuple[Any, FakeRedis],
) -> None:
    assert await passed(redis, tick_id("punctual", MINUTE), waited=61.0) == TOO_LATE
    assert await passed(redis, tick_id("punctual", MINUTE), waited=59.0) == "ran"
    assert await passed(redis, tick_id("often", MINUTE), waited=3600.0) == "ran"


@pytest.mark.parametrize("job_id", ["q:mine", "cron:other:60000", "cron:often:x", "cron:", "0192f"])
async def test_other_jobs_pass_by(redis: tuple[Any, FakeRedis], job_id: str) -> None:
    assert await passed(redis, job_id, waited=3600.0) == "ran"


def test_the_gate_is_there_only_where_a_schedule_needs_it() -> None:
    def is_on(*schedules: Schedule) -> bool:
        declared = {str(number): one for number, one in enumerate(schedules)}
        return TickGate(declared, Schedules("rota"), lambda: None).is_on()

    assert not is_on()
    assert not is_on(DECLARED["beside"])
    assert is_on(DECLARED["beside"], OFTEN)
    assert is_on(DECLARED["punctual"])
