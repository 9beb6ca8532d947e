"""Priorities: higher ones start first, delayed ones not early, and the lowest not never."""

import pytest

from tests.unit.wire.lua.beds import KEYS, LEASE, Bed, again, finish
from tests.unit.wire.lua.limited import lines, slotted


async def test_higher_ones_start_first_and_equal_ones_in_order(bed: Bed) -> None:
    await bed.enqueue("a", "b")
    await bed.enqueue("c", terms="p=1")
    await bed.enqueue("d", "e", terms="p=9")
    assert await bed.worker("w").claim_ids(4) == ["d", "e", "c", "a"]


async def test_a_delayed_one_is_not_early(clocked: Bed) -> None:
    await clocked.enqueue("urgent", terms="p=9", delay=10)
    await clocked.enqueue("a", "b", "c")
    worker = clocked.worker("w")
    assert await worker.claim_ids(1) == ["a"]
    clocked.advance(10)
    assert await worker.claim_ids(1) == ["urgent"]


async def test_every_fifth_start_is_the_oldest_s(bed: Bed) -> None:
    await bed.enqueue("old1", "old2")
    await bed.enqueue(*(f"u{number}" for number in range(10)), terms="p=9")
    worker = bed.worker("w")
    order = [(await worker.claim_ids(1))[0] for _ in range(10)]
    assert [index for index, job_id in enumerate(order) if job_id.startswith("old")] == [4, 9]


async def test_many_low_ones_do_not_hide_a_high_one(bed: Bed) -> None:
    for hundred in range(15):
        await bed.enqueue(*(f"low{hundred}-{number}" for number in range(100)))
    await bed.enqueue("high", terms="p=1")
    assert await bed.worker("w").claim_ids(1) == ["high"]


@pytest.mark.parametrize("ending", ["retried", "lost"])
async def test_one_that_comes_back_is_as_urgent_as_before(clocked: Bed, ending: str) -> None:
    await clocked.enqueue("urgent", terms="p=9")
    worker = clocked.worker("w")
    claim = await worker.claim_one()
    if ending == "retried":
        await worker.settle(again(claim, 1))
    await clocked.pass_time(LEASE + 1)
    await clocked.enqueue("a")
    clocked.looking.zadd(KEYS.queue, {"a": 1})
    assert await clocked.worker("v").claim_ids(1) == ["urgent"]


async def test_one_that_a_stock_worker_took_over_and_finished_is_forgotten(clocked: Bed) -> None:
    await clocked.enqueue("urgent", terms="p=9")
    await clocked.worker("w").claim_one()
    clocked.finish_as_stock_does("urgent")
    clocked.put("b")
    await clocked.pass_time(LEASE + 1)
    await clocked.worker("v").step(1)
    assert not clocked.looking.exists(f"{KEYS.queue}:terms")
    assert not clocked.looking.zcard(f"{KEYS.queue}:p9")


async def test_an_index_that_tells_of_what_is_gone_is_put_right(bed: Bed) -> None:
    await bed.enqueue("gone", "moved", "here", terms="p=2")
    bed.looking.zrem(KEYS.queue, "gone")
    bed.looking.zadd(KEYS.queue, {"moved": bed.now + 60_000})
    assert await bed.worker("w").claim_ids(1) == ["here"]
    index = dict(bed.looking.zrange(f"{KEYS.queue}:p2", 0, -1, withscores=True))
    assert b"gone" not in index
    assert index[b"moved"] == bed.score("moved")


async def test_an_urgent_one_that_a_limit_keeps_back_lets_others_start(bed: Bed) -> None:
    await bed.enqueue("u1", "u2", terms=f"p=9 {slotted()}")
    await bed.enqueue("a")
    worker = bed.worker("w")
    (first, other) = await worker.claim(2)
    assert [first.id, other.id] == ["u1", "a"]
    assert [one.id for one in (await worker.step(2, [finish(first)])).claims] == ["u2"]


async def test_cancelling_and_finishing_leave_nothing(bed: Bed) -> None:
    await bed.enqueue("a", "b", terms="p=4")
    await bed.cancel("a")
    worker = bed.worker("w")
    await worker.settle(finish(await worker.claim_one()))
    assert lines(bed) == []
    assert bed.looking.keys(f"{KEYS.queue}:levels") == []
