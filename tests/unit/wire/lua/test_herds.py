"""Many jobs that are put back at one moment do not all come back at one moment."""

import os
from collections import Counter
from collections.abc import Callable
from functools import partial

import pytest

from rota.wire.claims import Claim, Settlement
from tests.unit.wire.lua.beds import KEYS, Bed, again, unknown

#: How many jobs fail at one moment.
HERD = 10_000 if float(os.environ.get("FAULTS_SCALE", "0.1")) >= 1 else 3_000
#: Within a second of this many jobs no more are put back.
MOST = 1_000


async def fail_together(bed: Bed, number: int, settlement: Callable[[Claim], Settlement]) -> list[float]:
    """Have many jobs claimed, put all back, and return the times at which they are due again, ms."""
    bed.put(*(f"job-{place}" for place in range(number)))
    worker = bed.worker("w")
    for _ in range(0, number, 100):
        await worker.claim(100)
    claims = list(worker.held.values())
    for start in range(0, number, 100):
        await worker.settle(*map(settlement, claims[start : start + 100]))
    return [score for _, score in bed.looking.zrange(KEYS.queue, 0, -1, withscores=True)]


@pytest.mark.parametrize("settlement", [partial(again, delay=2.0), partial(unknown, delay=5.0)])
async def test_at_most_a_thousand_are_due_in_any_second(
    real: Bed, settlement: Callable[[Claim], Settlement]
) -> None:
    dues = await fail_together(real, HERD, settlement)
    assert len(dues) == HERD
    within = Counter(due // 1000 for due in dues)
    # A job that was due for a moment as a claim, at its deadline, may have taken up the room of another.
    assert max(within.values()) <= MOST + 100
    assert max(dues) - min(dues) <= HERD + 20_000


async def test_they_lie_evenly_within_the_seconds_that_they_are_moved_to(real: Bed) -> None:
    dues = await fail_together(real, HERD, partial(again, delay=2.0))
    last = real.now + 2000
    tenths = Counter(due // 100 for due in dues if due >= last)
    assert max(tenths.values(), default=0) <= MOST * 2 // 10


async def test_a_few_are_due_when_they_asked_to_be(clocked: Bed) -> None:
    dues = await fail_together(clocked, 200, partial(again, delay=2.0))
    assert dues == [clocked.now + 2000] * 200


async def test_those_that_wait_for_nothing_are_due_at_once(clocked: Bed) -> None:
    clocked.put(*(f"other-{place}" for place in range(1500)), due=clocked.now)
    await fail_together(clocked, 100, partial(again, delay=0.0))
    assert {clocked.score(f"job-{place}") for place in range(100)} == {clocked.now}


async def test_with_no_room_in_a_minute_they_are_spread_over_it_all_the_same(real: Bed) -> None:
    now = real.now
    crowd: dict[str | bytes, float] = {f"other-{place}": now + place for place in range(90_000)}
    real.looking.zadd(KEYS.queue, crowd)
    worker = real.worker("w")
    claims: list[Claim] = []
    while len(claims) < 50:
        claims += await worker.claim(50 - len(claims))
    await worker.settle(*(again(claim, 2.0) for claim in claims))
    dues = [real.score(claim.id) or 0.0 for claim in claims]
    assert all(now <= due <= real.now + 63_000 for due in dues)
    assert max(dues) - min(dues) > 30_000
