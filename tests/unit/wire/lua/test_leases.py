"""Leases: a worker that stops renewing loses its claims, in time, to their old places; no other worker does."""

from collections.abc import Callable
from functools import partial

import pytest

from rota.wire.claims import Claim, Settlement
from tests.unit.wire.lua.beds import KEYS, LEASE, Bed, again, finish, interrupted, unknown


class TestLosing:
    async def test_a_claim_is_kept_until_its_lease_is_over(self, clocked: Bed) -> None:
        await clocked.claimed("a")
        await clocked.pass_time(LEASE - 0.001)
        assert await clocked.worker("v").claim() == []

    async def test_an_expired_claim_is_lost_and_claimed_in_the_same_step(self, clocked: Bed) -> None:
        await clocked.claimed("a")
        await clocked.pass_time(LEASE + 0.001)
        claim = await clocked.worker("v").claim_one()
        assert (claim.id, claim.lost) == ("a", 1)

    async def test_a_lost_job_has_its_old_place_in_the_line(self, clocked: Bed) -> None:
        clocked.put("first", "second", "third")
        await clocked.worker("w").claim(2)
        await clocked.pass_time(LEASE + 1)
        clocked.put("new")
        claims = await clocked.worker("v").claim(10)
        assert [claim.id for claim in claims] == ["first", "second", "third", "new"]
        assert [claim.lost for claim in claims] == [1, 1, 0, 0]

    async def test_its_due_time_is_the_first_one_however_often_it_is_lost(self, clocked: Bed) -> None:
        clocked.put("a")
        due = clocked.score("a")
        for times in range(3):
            claim = await clocked.worker(f"w{times}").claim_one()
            assert (claim.lost, claim.due_ms) == (times, due)
            await clocked.pass_time(LEASE + 1)

    async def test_in_the_service_a_loss_spends_no_attempt(self, clocked: Bed) -> None:
        await clocked.claimed("a")
        await clocked.pass_time(LEASE + 1)
        assert (await clocked.worker("v").claim_one()).attempt == 1

    async def test_bare_a_loss_spends_one_as_it_does_in_arq(self, clocked: Bed) -> None:
        await clocked.claimed("a", service=False)
        await clocked.pass_time(LEASE + 1)
        assert (await clocked.worker("v", service=False).claim_one()).attempt == 2

    async def test_the_count_of_losses_outlives_retries_and_ends_with_the_job(self, clocked: Bed) -> None:
        await clocked.claimed("a")
        await clocked.pass_time(LEASE + 1)
        worker = clocked.worker("v")
        await worker.settle(again(await worker.claim_one(), 0))
        claim = await worker.claim_one()
        assert claim.lost == 1
        await worker.settle(finish(claim))
        assert clocked.entry("a") is None

    async def test_of_all_claims_after_a_loss_the_first_one_recovers_it(self, clocked: Bed) -> None:
        clocked.put("a")
        recovered = []
        for number, is_lost in enumerate([True, False, False, True, True, False, False]):
            worker = clocked.worker(f"w{number}")
            claim = await worker.claim_one()
            recovered.append(claim.recovered)
            if is_lost:
                await clocked.pass_time(LEASE + 1)
            else:
                await worker.settle(again(claim, 0))
        assert recovered == [False, True, False, False, True, True, False]

    async def test_a_claim_after_a_loss_names_the_worker_that_had_the_job_and_since_when_it_waits(
        self, clocked: Bed
    ) -> None:
        clocked.put("a")
        await clocked.worker("host-7-ab:c").claim_one()
        await clocked.pass_time(LEASE + 5)
        second = await clocked.worker("v").claim_one()
        assert (second.lost_by, second.taken_back_ms) == ("host-7-ab:c", second.started_ms)
        await clocked.pass_time(LEASE + 5)
        third = await clocked.worker("u").claim_one()
        assert (third.lost_by, third.lost) == ("v", 2)
        assert third.taken_back_ms > second.taken_back_ms

    @pytest.mark.parametrize("put_back", [interrupted, partial(unknown, delay=0)])
    async def test_a_recovered_job_that_is_only_put_back_is_recovered_no_more(
        self, clocked: Bed, put_back: Callable[[Claim], Settlement]
    ) -> None:
        await clocked.claimed("a")
        await clocked.pass_time(LEASE + 1)
        first, second = clocked.worker("v"), clocked.worker("u")
        await first.settle(put_back(await first.claim_one()))
        claim = await second.claim_one()
        assert (claim.lost, claim.recovered) == (1, False)

    async def test_what_was_unknown_before_it_was_lost_is_recovered(self, clocked: Bed) -> None:
        stranger, (claim,) = await clocked.claimed("a")
        await stranger.settle(unknown(claim, 0))
        await clocked.worker("v").claim_one()
        await clocked.pass_time(LEASE + 1)
        claim = await clocked.worker("u").claim_one()
        assert claim.recovered
        assert claim.unknown_since_ms > 0

    async def test_a_step_that_wants_nothing_takes_nothing_back(self, clocked: Bed) -> None:
        worker, _ = await clocked.claimed("a")
        await clocked.pass_time(LEASE + 1)
        await clocked.worker("v").step(0)
        assert worker.renew() == []

    async def test_a_hundred_expired_claims_are_taken_back_a_step(self, clocked: Bed) -> None:
        await clocked.claimed(*(f"{number:03}" for number in range(100)))
        clocked.put(*(f"other-{number:03}" for number in range(50)))
        await clocked.worker("u").claim(50)
        await clocked.pass_time(LEASE + 1)
        survivor = clocked.worker("v")
        first = await survivor.claim(60)
        assert [claim.id for claim in first] == [f"{number:03}" for number in range(60)]
        rest = [*await survivor.claim(100), *await survivor.claim(100)]
        assert len({claim.id for claim in [*first, *rest]}) == 150

    async def test_more_expired_claims_than_one_step_takes_back_do_not_hold_it_up(self, clocked: Bed) -> None:
        ids = [f"{number:03}" for number in range(250)]
        clocked.put(*ids)
        gone = clocked.worker("w")
        for _ in range(3):
            await gone.claim(100)
        await clocked.pass_time(LEASE + 1)
        survivor = clocked.worker("v")
        taken = [claim.id for _ in range(4) for claim in await survivor.claim(100)]
        assert taken == ids

    async def test_claims_that_end_this_very_millisecond_do_not_hold_a_step_up(self, clocked: Bed) -> None:
        await clocked.claimed(*"abcdefgh")
        await clocked.pass_time(LEASE - LEASE / 4)
        clocked.advance(LEASE / 4)
        assert clocked.now == clocked.looking.zscore(KEYS.active, "a")
        assert await clocked.worker("v").claim(2) == []


class TestRenewing:
    async def test_what_is_renewed_is_not_lost(self, clocked: Bed) -> None:
        worker, _ = await clocked.claimed("a", "b")
        await clocked.pass_time(LEASE * 3, worker)
        assert await clocked.worker("v").claim(10) == []
        deadline = clocked.now + LEASE * 1000
        assert clocked.score("a") == clocked.looking.zscore(KEYS.active, "a") == deadline

    async def test_a_late_renewal_counts_while_nobody_has_reclaimed(self, clocked: Bed) -> None:
        worker, _ = await clocked.claimed("a")
        await clocked.pass_time(LEASE * 2)
        assert worker.renew() == []
        assert await clocked.worker("v").claim() == []
        assert await worker.settle(finish(worker.held["a"])) == [True]

    async def test_what_is_no_longer_held_is_reported(self, clocked: Bed) -> None:
        worker, _ = await clocked.claimed("lost", "done", "kept")
        claims = dict(worker.held)
        await clocked.pass_time(LEASE + 1)
        await clocked.worker("v").claim(1)
        await worker.settle(finish(claims["done"]))
        assert sorted(worker.renew(*claims.values())) == ["done", "kept", "lost"]

    async def test_of_several_only_those_that_are_gone_are_reported(self, bed: Bed) -> None:
        worker, _ = await bed.claimed("a", "b", "c")
        claims = dict(worker.held)
        await worker.settle(finish(claims["b"]))
        assert worker.renew(*claims.values()) == ["b"]

    async def test_a_renewal_with_another_claim_s_token_changes_nothing(self, bed: Bed) -> None:
        worker, _ = await bed.claimed("a")
        before = (bed.score("a"), bed.held("a"), bed.entry("a"))
        stranger = worker.held["a"]._replace(token="somebody:0:1:1")
        assert bed.worker("v").renew(stranger) == ["a"]
        assert (bed.score("a"), bed.held("a"), bed.entry("a")) == before

    async def test_a_token_that_begins_as_another_does_is_not_that_one(self, bed: Bed) -> None:
        worker, _ = await bed.claimed("a")
        claim = worker.held["a"]
        for token in (claim.token[:-1], f"{claim.token}0"):
            assert worker.renew(claim._replace(token=token)) == ["a"]
            assert await worker.settle(finish(claim._replace(token=token))) == [False]

    async def test_a_renewal_does_not_bring_a_job_back_into_the_queue(self, bed: Bed) -> None:
        worker, _ = await bed.claimed("a")
        bed.finish_as_stock_does("a")
        worker.renew()
        assert bed.score("a") is None

    async def test_arq_s_mirror_lives_as_long_as_the_lease(self, clocked: Bed) -> None:
        worker, _ = await clocked.claimed("a")
        await clocked.pass_time(LEASE * 2, worker)
        assert clocked.held("a") == worker.held["a"].token.encode()

    async def test_five_hundred_are_renewed_at_once(self, bed: Bed) -> None:
        bed.put(*(f"{number:03}" for number in range(500)))
        worker = bed.worker("w")
        for _ in range(5):
            await worker.claim(100)
        assert len(worker.held) == 500
        assert worker.renew() == []


class TestAServerThatStoodStill:
    async def test_nobody_is_declared_lost_for_one_more_lease(self, clocked: Bed) -> None:
        worker, _ = await clocked.claimed("a", "b")
        clocked.advance(LEASE * 4)
        survivor = clocked.worker("v")
        assert await survivor.claim(10) == []
        assert worker.renew() == []
        await clocked.pass_time(LEASE * 2, worker)
        assert await survivor.claim(10) == []

    async def test_those_that_do_not_renew_then_are_lost_after_it(self, clocked: Bed) -> None:
        await clocked.claimed("a")
        clocked.advance(LEASE * 4)
        survivor = clocked.worker("v")
        assert await survivor.claim() == []
        await clocked.pass_time(LEASE + 1)
        assert (await survivor.claim_one()).lost == 1

    async def test_stock_workers_keep_off_meanwhile(self, clocked: Bed) -> None:
        worker, _ = await clocked.claimed("a")
        clocked.advance(LEASE * 4)
        await clocked.worker("v").claim()
        assert clocked.held("a") == worker.held["a"].token.encode()
        assert clocked.score("a") == clocked.now + LEASE * 1000

    async def test_a_gap_of_less_than_half_a_lease_is_none(self, clocked: Bed) -> None:
        await clocked.claimed("a")
        await clocked.pass_time(LEASE - 1)
        clocked.advance(LEASE / 2)
        assert (await clocked.worker("v").claim_one()).lost == 1

    async def test_a_gap_of_more_than_half_a_lease_is_one(self, clocked: Bed) -> None:
        await clocked.claimed("a")
        await clocked.pass_time(LEASE - 1)
        clocked.advance(LEASE / 2 + 0.001)
        assert await clocked.worker("v").claim() == []

    async def test_a_renewal_that_comes_first_does_not_hide_it(self, clocked: Bed) -> None:
        early, _ = await clocked.claimed("a", name="early")
        late, _ = await clocked.claimed("b", name="late")
        clocked.advance(LEASE * 2)
        early.renew()
        assert await clocked.worker("v").claim(10) == []
        assert late.renew() == []

    async def test_a_step_that_wants_nothing_and_comes_first_does_not_hide_it(self, clocked: Bed) -> None:
        busy, _ = await clocked.claimed("a", name="busy")
        late, _ = await clocked.claimed("b", name="late")
        clocked.advance(LEASE * 2)
        await busy.settle(finish(busy.held["a"]))
        assert await clocked.worker("v").claim(10) == []
        assert late.renew() == []

    async def test_more_than_one_page_of_claims_is_forgiven(self, clocked: Bed) -> None:
        ids = [f"{number:04}" for number in range(700)]
        clocked.put(*ids)
        worker = clocked.worker("w")
        for _ in range(7):
            await worker.claim(100)
        clocked.advance(LEASE * 4)
        assert await clocked.worker("v").claim(100) == []
        assert clocked.looking.zcount(KEYS.active, clocked.now + LEASE * 1000, "+inf") == 700


class TestStockWorkersThatTakeOver:
    async def test_a_claim_that_one_took_over_is_only_forgotten(self, clocked: Bed) -> None:
        await clocked.claimed("a")
        await clocked.pass_time(LEASE + 1)
        clocked.hold_as_stock_does("a")
        score = clocked.score("a")
        assert await clocked.worker("v").claim() == []
        assert clocked.entry("a") is None
        assert clocked.looking.zscore(KEYS.active, "a") is None
        assert (clocked.score("a"), clocked.held("a")) == (score, b"1")
        assert "lost" not in clocked.story("a")
        assert clocked.attempts("a") == 1

    async def test_a_claim_that_one_finished_is_only_forgotten(self, clocked: Bed) -> None:
        await clocked.claimed("a")
        clocked.put("other", due=clocked.now)
        await clocked.pass_time(LEASE + 1)
        clocked.finish_as_stock_does("a")
        assert [claim.id for claim in await clocked.worker("v").claim(10)] == ["other"]
        assert clocked.entry("a") is None
        assert clocked.looking.zscore(KEYS.active, "a") is None
        assert clocked.score("a") is None

    async def test_what_the_first_holder_says_later_is_stale(self, clocked: Bed) -> None:
        worker, _ = await clocked.claimed("a")
        claim = worker.held["a"]
        await clocked.pass_time(LEASE + 1)
        clocked.hold_as_stock_does("a")
        await clocked.worker("v").claim()
        assert await worker.settle(finish(claim)) == [False]
        assert clocked.held("a") == b"1"


@pytest.mark.parametrize("again_or_back", [again, None])
async def test_a_job_that_has_left_the_queue_leaves_nothing_behind_when_it_is_put_back(
    clocked: Bed, again_or_back: object
) -> None:
    await clocked.claimed("a")
    await clocked.pass_time(LEASE + 1)
    worker = clocked.worker("v")
    claim = await worker.claim_one()
    clocked.finish_as_stock_does("a")
    await worker.settle(again(claim, 1) if again_or_back else interrupted(claim))
    assert clocked.entry("a") is None
    assert clocked.score("a") is None
    assert clocked.attempts("a") == 0
