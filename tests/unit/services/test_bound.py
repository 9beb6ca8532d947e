"""The bound of the stream of records: what is left out when, and how many entries may lie there."""

import logging

import pytest
from arq.connections import ArqRedis

from rota.process.clock import Clock
from rota.services import bound
from rota.services.bound import Recording, RecordsBound, bounded

LIMIT = 256 * 2**20
KEY, SWITCH = "rota:records", "rota:recording"


@pytest.mark.parametrize(
    ("level", "share", "now"),
    [
        (0, 0.0, 0),
        (0, 0.69, 0),
        (0, 0.70, 1),
        (0, 0.85, 2),
        (0, 1.2, 2),
        (1, 0.69, 1),
        (1, 0.51, 1),
        (1, 0.49, 0),
        (2, 0.84, 2),
        (2, 0.66, 2),
        (2, 0.64, 1),
        (2, 0.49, 0),
    ],
)
def test_less_is_recorded_near_the_bound_and_everything_again_well_below_it(
    level: int, share: float, now: int
) -> None:
    assert bounded(level, 5000, int(share * LIMIT) + 1, LIMIT).level == now


def test_as_many_entries_may_lie_there_as_have_the_bound_by_their_size() -> None:
    assert bounded(0, 10_000, 10_000 * 2**10, LIMIT).most == LIMIT // 2**10
    # A few tell nothing of those to come.
    assert bounded(0, 1, 100, LIMIT).most == LIMIT // 4096
    assert bounded(0, 2, 2 * 2**18, LIMIT).most == LIMIT // 2**18
    assert bounded(0, 0, 0, LIMIT).most == LIMIT // 4096
    assert bounded(0, 10, 10 * 2**30, LIMIT).most == 100


async def fill(redis: ArqRedis, entries: int, size: int) -> None:
    pipe = redis.pipeline(transaction=False)
    for _ in range(entries):
        pipe.xadd(KEY, {"e": b"x" * size})
    await pipe.execute()


async def test_a_stream_that_fills_is_told_of_and_bounded_by_the_scripts_own_cut(
    redis: ArqRedis, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "rota.recorder")
    limit = 4 * 2**20
    service = RecordsBound(lambda: redis, "rota", limit)
    await service.look(redis)
    assert await redis.get(SWITCH) == b"0 1024"
    assert await redis.ttl(SWITCH) == bound.LIFE
    await fill(redis, 3000, 1000)
    await service.look(redis)
    await fill(redis, 700, 1000)
    await service.look(redis)
    level, most = (await redis.get(SWITCH) or b"").split()
    assert level == b"2"
    await fill(redis, 400, 1000)
    await service.look(redis)
    # What the scripts do from now on keeps the stream where it is.
    for _ in range(1000):
        await redis.xadd(KEY, {"e": b"x" * 1000}, maxlen=int(most), approximate=True)
    await service.look(redis)
    assert await redis.memory_usage(KEY) < 1.1 * limit
    await redis.xtrim(KEY, maxlen=1)
    await service.look(redis)
    assert [(one.message, one.__dict__["left_out"]) for one in caplog.records] == [
        ("recorder.filling", "progress"),
        ("recorder.filling", "progress, payloads and logs"),
        ("recorder.full", "progress, payloads and logs"),
        ("recorder.relieved", "nothing"),
    ]


async def test_a_few_large_entries_at_the_beginning_do_not_stand_for_all(
    redis: ArqRedis, caplog: pytest.LogCaptureFixture
) -> None:
    service = RecordsBound(lambda: redis, "rota", 16 * 2**20)
    await fill(redis, 10, 60_000)
    await fill(redis, 2000, 3000)
    await service.look(redis)
    # All of it is 7 MB. With every node as large as the oldest ones it would be 60.
    assert caplog.records == []
    assert (await redis.get(SWITCH) or b"").split()[0] == b"0"


async def test_a_stream_that_hardly_changes_is_measured_now_and_then(redis: ArqRedis) -> None:
    now = 0.0
    service = RecordsBound(lambda: redis, "rota", LIMIT, clock=Clock(monotonic=lambda: now))
    await fill(redis, 2000, 10)

    async def is_measured() -> bool:
        before = (await redis.info("commandstats")).get("cmdstat_memory|usage", {"calls": 0})["calls"]
        await service.look(redis)
        return bool((await redis.info("commandstats"))["cmdstat_memory|usage"]["calls"] > before)

    assert await is_measured()
    await fill(redis, 90, 10)
    assert not await is_measured()
    await fill(redis, 20, 10)
    assert await is_measured()
    now = bound.STALE + 1
    assert await is_measured()


async def test_the_next_leader_goes_on_at_the_level_of_the_one_before(redis: ArqRedis) -> None:
    limit = 4 * 2**20
    await fill(redis, 2600, 1000)
    await redis.set(SWITCH, Recording(2, 5).wire())
    service = RecordsBound(lambda: redis, "rota", limit)
    await service._resume(redis)
    await service.look(redis)
    # It has come below the 70 per cent at which level 1 begins, and level 1 still lasts.
    assert (await redis.get(SWITCH) or b"").split()[0] == b"1"


@pytest.mark.parametrize("strange", [b"", b"7 x", b"\xff", b"-1 5"])
async def test_a_switch_that_another_hand_wrote_counts_as_none(redis: ArqRedis, strange: bytes) -> None:
    await redis.set(SWITCH, strange)
    service = RecordsBound(lambda: redis, "rota", LIMIT)
    await service._resume(redis)
    await service.look(redis)
    assert await redis.get(SWITCH) == b"0 65536"
