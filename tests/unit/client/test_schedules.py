"""The schedules whose ticks come first, as the overview shows them."""

from typing import Any

from rota.client.schedules import ScheduleControl
from rota.settings.settings import Settings
from rota.wire.keys import schedule_key, schedules_key


async def test_the_soonest_are_told_and_how_many_have_a_tick_that_waits(redis: Any) -> None:
    ticks = {"late": 9000, "soon": 3000, "paused": "", "next": 2000, "then": 4000}
    for name, tick in ticks.items():
        await redis.sadd(schedules_key("rota"), name)
        await redis.hset(schedule_key("rota", name), mapping={"tick": tick, "version": 1})
    count, soonest = await ScheduleControl(redis, Settings()).soonest(2)
    assert count == 4
    assert [(one.name, one.next and one.next.timestamp()) for one in soonest] == [("next", 2), ("soon", 3)]
    assert await ScheduleControl(redis, Settings(namespace="other")).soonest(2) == (0, [])
