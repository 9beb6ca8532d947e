"""How far the recorder is behind, as the exporter reads it."""

import pytest
from arq.connections import ArqRedis

from rota.wire.lag import Lag, read_lag

KEY, SWITCH = "rota:records", "rota:recording"


async def test_where_nothing_is_recorded_nothing_is_behind(redis: ArqRedis) -> None:
    assert await read_lag(redis, "rota", 100.0) == Lag()


async def test_the_entry_that_the_recorder_leaves_is_not_behind(redis: ArqRedis) -> None:
    await redis.set(SWITCH, "0 1000")
    await redis.xadd(KEY, {"e": "[]"}, id="10000-0")
    assert await read_lag(redis, "rota", 100.0) == Lag()
    await redis.xadd(KEY, {"e": "[]"}, id="40000-0")
    await redis.xadd(KEY, {"e": "[]"}, id="90000-0")
    assert await read_lag(redis, "rota", 100.0) == Lag(entries=2, seconds=60.0)
    # Nor is one that a clock which was set back seems to have written later than now.
    assert await read_lag(redis, "rota", 30.0) == Lag(entries=2)


@pytest.mark.parametrize(("switch", "level"), [(b"1 5", 1), (b"2 5", 2), (b"3 5", 0), (b"", 0), (b"\xff", 0)])
async def test_what_is_left_out_is_shown(redis: ArqRedis, switch: bytes, level: int) -> None:
    await redis.set(SWITCH, switch)
    assert (await read_lag(redis, "rota", 100.0)).level == level


async def test_keys_of_another_type_count_as_nothing(redis: ArqRedis) -> None:
    await redis.set(KEY, "x")
    await redis.xadd(SWITCH, {"e": "x"})
    assert await read_lag(redis, "rota", 100.0) == Lag()
