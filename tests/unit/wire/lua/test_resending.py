"""A reply that is lost is not lost: the same step sent again settles once and gives the same claims."""

from tests.unit.wire.lua.beds import LEASE, Bed, again, finish, interrupted


class TestClaims:
    async def test_the_same_number_returns_the_same_claims(self, bed: Bed) -> None:
        worker, claims = await bed.claimed("a", "b")
        bed.put("c")
        reply = await worker.step(2, seq=worker.last, resend=True)
        assert sorted(reply.claims) == sorted(claims)
        assert bed.story("a") == ["started"]

    async def test_however_often_it_is_sent(self, bed: Bed) -> None:
        worker, claims = await bed.claimed("a")
        for _ in range(3):
            assert (await worker.step(1, seq=worker.last, resend=True)).claims == claims

    async def test_a_step_that_never_arrived_claims_when_it_is_sent_again(self, bed: Bed) -> None:
        bed.put("a", "b")
        worker = bed.worker("w")
        reply = await worker.step(2, resend=True)
        assert [claim.id for claim in reply.claims] == ["a", "b"]
        assert reply.claims == (await worker.step(2, seq=worker.last, resend=True)).claims

    async def test_so_does_one_that_never_arrived_after_others_that_did(self, bed: Bed) -> None:
        worker, _ = await bed.claimed("a")
        bed.put("b")
        reply = await worker.step(1, seq=worker.last + 1, resend=True)
        assert [claim.id for claim in reply.claims] == ["b"]

    async def test_claims_that_were_lost_meanwhile_do_not_come_back(self, clocked: Bed) -> None:
        worker, _ = await clocked.claimed("a", "b")
        await clocked.pass_time(LEASE + 1)
        await clocked.worker("v").claim(1)
        reply = await worker.step(0, seq=worker.last, resend=True)
        assert reply.claims == []

    async def test_claims_that_were_settled_meanwhile_do_not_come_back(self, bed: Bed) -> None:
        worker, (a, b) = await bed.claimed("a", "b")
        number = worker.last
        await worker.step(0, [finish(a)], lane=1)
        assert (await worker.step(2, seq=number, resend=True)).claims == [b]

    async def test_they_are_handed_over_with_a_whole_lease(self, clocked: Bed) -> None:
        worker, (claim,) = await clocked.claimed("a")
        clocked.advance(LEASE / 2 - 1)
        await worker.step(1, seq=worker.last, resend=True)
        assert clocked.score("a") == clocked.now + LEASE * 1000
        await clocked.pass_time(LEASE - 1)
        assert await clocked.worker("v").claim() == []
        assert worker.renew(claim) == []

    async def test_the_lanes_of_a_worker_do_not_mix(self, bed: Bed) -> None:
        bed.put("a", "b")
        worker = bed.worker("w")
        (a,) = (await worker.step(1, lane=0, seq=1)).claims
        (b,) = (await worker.step(1, lane=1, seq=1)).claims
        assert (await worker.step(1, lane=0, seq=1, resend=True)).claims == [a]
        assert (await worker.step(1, lane=1, seq=1, resend=True)).claims == [b]

    async def test_a_number_that_begins_as_another_does_is_not_that_one(self, bed: Bed) -> None:
        bed.put(*(f"{number:02}" for number in range(12)))
        worker = bed.worker("w")
        for seq in range(1, 11):
            await worker.step(1, seq=seq)
        (tenth,) = [claim for claim in worker.held.values() if claim.token.startswith(f"w:0:{10:020}:")]
        assert (await worker.step(1, seq=10, resend=True)).claims == [tenth]

    async def test_a_claim_that_comes_again_says_its_losses_and_its_cancel(self, clocked: Bed) -> None:
        await clocked.claimed("a")
        await clocked.pass_time(LEASE + 1)
        survivor = clocked.worker("v")
        claim = await survivor.claim_one()
        clocked.ask_to_abort("a")
        (again_claim,) = (await survivor.step(1, seq=survivor.last, resend=True)).claims
        assert again_claim == claim._replace(aborted=True)
        assert again_claim.lost == 1
        assert again_claim.recovered


class TestStragglers:
    async def test_one_of_an_older_number_claims_nothing(self, bed: Bed) -> None:
        worker, _ = await bed.claimed("a")
        await worker.step(1, seq=5, resend=True)
        bed.put("b")
        assert (await worker.step(1, seq=4)).claims == []
        assert bed.entry("b") is None

    async def test_one_of_the_same_number_claims_nothing_new(self, bed: Bed) -> None:
        worker, claims = await bed.claimed("a")
        await worker.step(1, seq=worker.last, resend=True)
        bed.put("b")
        assert (await worker.step(1, seq=worker.last)).claims == claims
        assert bed.entry("b") is None

    async def test_not_even_when_the_resend_has_claimed_nothing(self, bed: Bed) -> None:
        worker = bed.worker("w")
        bed.put("later", due=bed.now + 60_000)
        await worker.step(1, seq=7, resend=True)
        bed.put("b")
        assert (await worker.step(1, seq=7)).claims == []
        assert bed.entry("b") is None

    async def test_nor_on_a_queue_that_was_empty(self, bed: Bed) -> None:
        worker = bed.worker("w")
        await worker.step(1, seq=7, resend=True)
        bed.put("b")
        assert (await worker.step(1, seq=7)).claims == []
        assert (await worker.step(1, seq=6)).claims == []
        assert [claim.id for claim in (await worker.step(1, seq=8)).claims] == ["b"]


class TestSettlements:
    async def test_one_that_has_counted_counts_as_such_and_changes_nothing_more(self, bed: Bed) -> None:
        worker, (claim,) = await bed.claimed("a")
        assert await worker.settle(finish(claim)) == [True]
        reply = await worker.step(0, [finish(claim, record=b"other")], seq=worker.last, resend=True)
        assert reply.answers == [True]
        assert bed.result("a") == b'{"r":1}'
        assert bed.story("a") == ["started", "completed"]

    async def test_one_that_never_arrived_counts_then(self, bed: Bed) -> None:
        worker, (claim,) = await bed.claimed("a")
        reply = await worker.step(0, [finish(claim)], resend=True)
        assert reply.answers == [True]
        assert bed.result("a") == b'{"r":1}'

    async def test_a_retry_is_not_put_off_a_second_time(self, clocked: Bed) -> None:
        worker, (claim,) = await clocked.claimed("a")
        await worker.settle(again(claim, 5))
        score = clocked.score("a")
        clocked.advance(1)
        reply = await worker.step(0, [again(claim, 5)], seq=worker.last, resend=True)
        assert reply.answers == [True]
        assert clocked.score("a") == score
        assert clocked.attempts("a") == 1

    async def test_an_attempt_is_given_back_once(self, bed: Bed) -> None:
        worker, (claim,) = await bed.claimed("a")
        await worker.settle(again(claim, 0))
        second = await worker.claim_one()
        await worker.settle(interrupted(second))
        await worker.step(0, [interrupted(second)], seq=worker.last, resend=True)
        assert bed.attempts("a") == 1

    async def test_settling_and_claiming_in_one_step_both_come_once(self, bed: Bed) -> None:
        worker, (a,) = await bed.claimed("a")
        bed.put("b", "c")
        first = await worker.step(1, [finish(a)])
        second = await worker.step(1, [finish(a)], seq=worker.last, resend=True)
        assert second.claims == first.claims
        assert second.answers == first.answers == [True]
        assert bed.entry("c") is None

    async def test_without_a_resend_a_job_that_is_gone_is_stale(self, bed: Bed) -> None:
        worker, (claim,) = await bed.claimed("a")
        await worker.settle(finish(claim))
        assert await worker.settle(finish(claim)) == [False]
