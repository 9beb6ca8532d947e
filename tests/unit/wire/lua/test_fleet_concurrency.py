"""A queue with a limit over the whole fleet: what steps claim, and who learns of a place that is free again."""

from rota.model.policies.limits import per_second
from tests.unit.wire.lua.beds import KEYS, LEASE, Bed, again, finish


async def test_no_more_are_claimed_than_run_in_the_whole_fleet(bed: Bed) -> None:
    bed.put(*"abcde")
    one, other = bed.worker("v", most=3), bed.worker("w", most=3)
    assert await one.claim_ids(2) == ["a", "b"]
    assert await other.claim_ids(10) == ["c"]
    reply = await one.step(10)
    assert (reply.claims, reply.left, reply.upcoming) == ([], False, None)


async def test_the_step_that_settles_one_claims_the_next(bed: Bed) -> None:
    bed.put(*"abc")
    worker = bed.worker("w", most=1)
    claim = await worker.claim_one()
    reply = await worker.step(10, [finish(claim)])
    assert [one.id for one in reply.claims] == ["b"]
    assert bed.tokens() == 0


async def test_a_worker_that_wants_no_other_leaves_a_token_for_one_that_does(bed: Bed) -> None:
    bed.put(*"abc")
    worker, other = bed.worker("v", most=2), bed.worker("w", most=2)
    first, second = await worker.claim(2)
    await worker.settle(finish(first))
    assert bed.tokens() == 1
    assert await other.claim_ids() == ["c"]
    await worker.settle(finish(second))


async def test_a_full_fleet_leaves_no_token(bed: Bed) -> None:
    bed.put(*"abcd")
    worker, draining = bed.worker("v", most=1), bed.worker("w")
    await worker.claim()
    (claim,) = await draining.claim()
    bed.looking.delete(KEYS.wake)
    draining = bed.worker("w", most=1)
    await draining.settle(finish(claim))
    assert bed.tokens() == 0


async def test_a_job_that_is_put_back_gives_its_place_back(bed: Bed) -> None:
    bed.put(*"ab")
    worker = bed.worker("v", most=1)
    claim = await worker.claim_one()
    assert [one.id for one in (await worker.step(1, [again(claim, 60.0)])).claims] == ["b"]


async def test_a_lost_job_keeps_its_place_until_its_lease_ends(clocked: Bed) -> None:
    clocked.put(*"ab")
    assert await clocked.worker("v", most=1).claim_ids() == ["a"]
    other = clocked.worker("w", most=1)
    assert await other.claim_ids() == []
    await clocked.pass_time(LEASE + 1)
    assert await other.claim_ids() == ["a"]


async def test_a_rate_holds_beside_it(clocked: Bed) -> None:
    clocked.put(*"abcd")
    worker = clocked.worker("w", most=2, rate=per_second(1))
    first = await worker.claim_one()
    clocked.advance(1.1)
    assert await worker.claim_ids() == ["b"]
    clocked.advance(1.1)
    assert await worker.claim_ids() == []
    reply = await worker.step(10, [finish(first)])
    assert [one.id for one in reply.claims] == ["c"]


async def test_it_costs_a_question_and_other_queues_none(real: Bed) -> None:
    asked = []
    for most in (None, 5):
        real.put("a")
        worker = real.worker(f"w{most}", most=most)
        before = real.commands()
        claim = await worker.claim_one()
        asked.append((real.commands() - before)["zcard"])
        await worker.settle(finish(claim))
    assert asked == [0, 1]
