"""The server's clock is set back: nothing stands still until the old time comes again."""

import pytest

from tests.unit.wire.lua.beds import KEYS, LEASE, Bed, finish

MINUTES = 120.0


async def test_what_waits_is_claimed_at_once_and_before_what_is_new(clocked: Bed) -> None:
    clocked.put("old-1", "old-2")
    await clocked.worker("busy").step()
    clocked.set_back(MINUTES)
    clocked.put("new", due=clocked.now)
    assert await clocked.worker("w").claim_ids() == ["old-1", "old-2", "new"]


async def test_alone_too_what_waits_is_claimed_at_once(clocked: Bed) -> None:
    clocked.put("old")
    await clocked.worker("busy").step()
    clocked.set_back(MINUTES)
    assert await clocked.worker("w").claim_ids() == ["old"]


@pytest.mark.parametrize("waiting", [499, 500, 501, 3000])
async def test_however_many_wait_they_keep_their_order(clocked: Bed, waiting: int) -> None:
    names = [f"job-{place:04}" for place in range(waiting)]
    clocked.put(*names, due=clocked.now - waiting)
    held = await clocked.worker("busy").claim_ids(3)
    clocked.set_back(MINUTES)
    worker = clocked.worker("w")
    claimed: list[str] = []
    while len(claimed) < waiting - 3:
        claims = await worker.claim(100)
        assert claims
        claimed += [claim.id for claim in claims]
    assert held + claimed == names


async def test_a_claim_stays_with_its_worker_though_a_renewal_comes_first(clocked: Bed) -> None:
    worker, (claim,) = await clocked.claimed("held")
    clocked.put("waits")
    await clocked.worker("busy").step()
    clocked.set_back(MINUTES)
    assert worker.renew() == []
    other = clocked.worker("other")
    assert await other.claim_ids() == ["waits"]
    for _ in range(4):
        await clocked.pass_time(LEASE / 2, worker, other)
    assert await worker.settle(finish(claim)) == [True]


async def test_a_claim_of_a_dead_worker_is_lost_within_a_lease(clocked: Bed) -> None:
    await clocked.claimed("held", name="dead")
    await clocked.worker("busy").step()
    clocked.set_back(MINUTES)
    await clocked.worker("busy").step()
    await clocked.pass_time(LEASE + 1)
    (claim,) = await clocked.worker("w").claim(1)
    assert (claim.id, claim.lost) == ("held", 1)


async def test_what_was_to_be_due_later_keeps_its_time_of_day(clocked: Bed) -> None:
    later = clocked.now + 60_000
    clocked.put("later", due=later)
    clocked.put("now")
    await clocked.worker("busy").step()
    clocked.set_back(MINUTES)
    assert await clocked.worker("w").claim_ids() == ["now"]
    assert clocked.score("later") == later


async def test_the_next_job_in_a_line_has_its_turn(clocked: Bed) -> None:
    await clocked.enqueue(
        "first", "second", "third", terms="p=3 c=rota:slots:one|k|1 r=rota:limit:one|k|1000|0"
    )
    worker = clocked.worker("w")
    (first,) = await worker.claim(5)
    clocked.set_back(MINUTES)
    await worker.step(5)
    assert await worker.settle(finish(first)) == [True]
    clocked.advance(1)
    (second,) = await worker.claim(5)
    assert await worker.settle(finish(second)) == [True]
    clocked.advance(61)
    assert len(await worker.claim(5)) == 1


async def test_a_clock_that_goes_on_a_little_late_changes_nothing(clocked: Bed) -> None:
    clocked.put("soon", due=clocked.now + 500)
    await clocked.worker("busy").step()
    clocked.set_back(0.4)
    soon = clocked.score("soon")
    assert await clocked.worker("w").claim_ids() == []
    assert clocked.score("soon") == soon
    assert clocked.looking.exists(KEYS.seen)
