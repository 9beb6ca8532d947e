"""The stats of a queue: how many executions have ended, and for how many milliseconds they kept their slots."""

import pytest

from tests.unit.wire.lua.beds import KEYS, Bed, again, bury, finish, interrupted, unknown


def stats(bed: Bed) -> dict[str, int]:
    return {name.decode(): int(value) for name, value in bed.looking.hgetall(KEYS.stats).items()}


async def test_each_execution_counts_with_the_time_it_kept_its_slot(clocked: Bed) -> None:
    clocked.put("a", "b", "c", "d")
    worker = clocked.worker("w")
    done, dead, retried, back = await worker.claim(4)
    clocked.advance(1.5)
    await worker.settle(finish(done), bury(dead))
    assert stats(clocked) == {"ended": 2, "busy": 3000}
    clocked.advance(0.5)
    await worker.settle(again(retried, 60), interrupted(back))
    assert stats(clocked) == {"ended": 4, "busy": 7000}


async def test_what_no_worker_knew_counts_for_nothing(clocked: Bed) -> None:
    clocked.put("a")
    worker = clocked.worker("w")
    claim = await worker.claim_one()
    clocked.advance(1)
    await worker.settle(unknown(claim, 5))
    assert stats(clocked) == {}


async def test_a_stale_or_repeated_settlement_counts_for_nothing(clocked: Bed) -> None:
    clocked.put("a")
    worker = clocked.worker("w")
    claim = await worker.claim_one()
    await worker.settle(finish(claim))
    before = stats(clocked)
    await worker.settle(finish(claim))
    assert stats(clocked) == before == {"ended": 1, "busy": 0}


async def test_bare_nothing_is_counted(bed: Bed) -> None:
    bed.put("a")
    worker = bed.worker("w", service=False)
    await worker.settle(finish(await worker.claim_one()))
    assert not bed.looking.exists(KEYS.stats)


@pytest.mark.parametrize("kind", ["string", "list"])
async def test_a_key_of_another_type_keeps_nothing_from_being_settled(bed: Bed, kind: str) -> None:
    bed.looking.set(KEYS.stats, "odd") if kind == "string" else bed.looking.rpush(KEYS.stats, "odd")
    bed.put("a")
    worker = bed.worker("w")
    assert await worker.settle(finish(await worker.claim_one())) == [True]
    assert bed.result("a") is not None
