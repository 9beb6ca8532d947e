"""A paused queue: nothing is claimed from it, and nothing else changes."""

from tests.unit.wire.lua.beds import KEYS, LEASE, Bed, finish


async def test_nothing_is_claimed_and_the_worker_sleeps(bed: Bed) -> None:
    bed.put("a", "b")
    bed.looking.set(KEYS.paused, bed.now)
    reply = await bed.worker("w").step(10)
    assert (reply.claims, reply.left, reply.upcoming) == ([], False, None)


async def test_what_runs_is_settled(bed: Bed) -> None:
    bed.put("a", "b")
    worker = bed.worker("w")
    claim = await worker.claim_one()
    bed.looking.set(KEYS.paused, bed.now)
    bed.looking.delete(KEYS.wake)
    assert await worker.settle(finish(claim)) == [True]
    assert bed.looking.llen(KEYS.wake) == 0


async def test_claims_whose_reply_was_lost_are_handed_over(bed: Bed) -> None:
    bed.put("a")
    worker = bed.worker("w")
    (claim,) = await worker.claim()
    bed.looking.set(KEYS.paused, bed.now)
    assert (await worker.step(1, seq=worker.last, resend=True)).claims == [claim]


async def test_a_job_that_was_lost_meanwhile_runs_when_it_goes_on(clocked: Bed) -> None:
    clocked.put("a")
    await clocked.worker("w").claim_one()
    clocked.looking.set(KEYS.paused, clocked.now)
    await clocked.pass_time(LEASE + 1)
    worker = clocked.worker("v")
    assert await worker.claim() == []
    clocked.looking.delete(KEYS.paused)
    assert (await worker.claim_one()).id == "a"
