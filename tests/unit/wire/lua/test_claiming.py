"""Claiming: due jobs in order, each under a token of its own, past whatever a stock worker holds."""

from collections.abc import Callable
from functools import partial

import pytest

from rota.wire.claims import Claim, Settlement
from rota.wire.keys import ABORT, IN_PROGRESS, JOB, RETRY
from tests.unit.wire.lua.beds import KEYS, LEASE, Bed, again, bury, finish, interrupted, payload

Settle = Callable[[Claim], Settlement]


async def test_due_jobs_are_claimed_in_the_order_of_their_time(bed: Bed) -> None:
    now = bed.now
    for job_id, ago in (("c", 10), ("a", 30), ("b", 20)):
        bed.put(job_id, due=now - ago)
    claims = await bed.worker("w").claim(10)
    assert [claim.id for claim in claims] == ["a", "b", "c"]
    assert [claim.due_ms for claim in claims] == [now - 30, now - 20, now - 10]


async def test_a_claim_takes_no_more_than_it_wants_and_says_that_jobs_were_left(bed: Bed) -> None:
    bed.put(*"abcde")
    reply = await bed.worker("w").step(3)
    assert [claim.id for claim in reply.claims] == ["a", "b", "c"]
    assert reply.left
    reply = await bed.worker("v").step(2)
    assert [claim.id for claim in reply.claims] == ["d", "e"]
    assert not reply.left


async def test_jobs_that_are_not_due_wait_and_the_reply_says_how_long(clocked: Bed) -> None:
    clocked.put("later", due=clocked.now + 5000)
    worker = clocked.worker("w")
    reply = await worker.step(10)
    assert (reply.claims, reply.left, reply.upcoming) == ([], False, 5.0)
    clocked.advance(4.999)
    assert await worker.claim() == []
    clocked.advance(0.001)
    assert (await worker.claim_one()).id == "later"


async def test_behind_what_is_claimed_the_next_due_job_is_announced(clocked: Bed) -> None:
    clocked.put("now")
    clocked.put("soon", due=clocked.now + 2000)
    reply = await clocked.worker("w").step(1)
    assert [claim.id for claim in reply.claims] == ["now"]
    assert reply.upcoming == 2.0


async def test_an_empty_queue_announces_nothing(bed: Bed) -> None:
    reply = await bed.worker("w").step(10)
    assert (reply.claims, reply.left, reply.upcoming, reply.answers) == ([], False, None, [])


async def test_no_two_claims_share_a_token(bed: Bed) -> None:
    bed.put("x", "y", "z")
    tokens = []
    for worker in (bed.worker("w"), bed.worker("v")):
        for lane in (0, 1, 0):
            claims = (await worker.step(2, lane=lane)).claims
            tokens += [claim.token for claim in claims]
            await worker.settle(*(interrupted(claim) for claim in claims))
    assert len(set(tokens)) == len(tokens) == 12


async def test_a_claim_writes_the_fence_the_deadline_and_arq_s_mirror(bed: Bed) -> None:
    bed.put("a")
    claim = await bed.worker("w").claim_one()
    assert bed.entry("a") == [claim.token, str(claim.due_ms), str(claim.started_ms), "0", "0"]
    deadline = claim.started_ms + LEASE * 1000
    assert bed.score("a") == deadline
    assert bed.looking.zscore(KEYS.active, "a") == deadline
    assert bed.held("a") == claim.token.encode()
    assert 0 < bed.looking.pttl(f"{IN_PROGRESS}a") <= LEASE * 1000
    assert (claim.attempt, bed.attempts("a")) == (1, 0)
    assert claim.payload == payload()


async def test_a_claimed_job_is_not_claimed_again(bed: Bed) -> None:
    bed.put("a")
    await bed.worker("w").claim_one()
    assert await bed.worker("v").claim(10) == []
    assert await bed.worker("w").claim(10) == []


async def test_attempts_are_counted_when_they_end(bed: Bed) -> None:
    bed.put("a")
    worker = bed.worker("w")
    for attempt in (1, 2, 3):
        claim = await worker.claim_one()
        assert claim.attempt == attempt
        await worker.settle(again(claim, 0))


async def test_a_payload_that_has_expired_is_claimed_without_one(bed: Bed) -> None:
    bed.put("a")
    bed.looking.delete(f"{JOB}a")
    assert (await bed.worker("w").claim_one()).payload is None


async def test_what_the_service_has_claimed_of_a_stock_client_s_expires_no_more(bed: Bed) -> None:
    bed.put("a", stock=True, life=60_000)
    await bed.worker("w").claim_one()
    assert bed.looking.pttl(f"{JOB}a") == -1


async def test_a_bare_worker_leaves_a_payload_s_life_alone(bed: Bed) -> None:
    bed.put("a", stock=True, life=60_000)
    await bed.worker("w", service=False).claim_one()
    assert 0 < bed.looking.pttl(f"{JOB}a") <= 60_000


async def test_a_claim_says_that_its_cancel_was_asked_for(bed: Bed) -> None:
    bed.put("a", "b")
    bed.looking.zadd(ABORT, {"a": bed.now})
    assert [claim.aborted for claim in await bed.worker("w").claim(2)] == [True, False]


class TestMixedFleets:
    async def test_a_job_that_a_stock_worker_holds_is_skipped_and_keeps_its_score(self, bed: Bed) -> None:
        bed.put("held", "free")
        bed.hold_as_stock_does("held")
        before = bed.score("held")
        assert [claim.id for claim in await bed.worker("w").claim(10)] == ["free"]
        assert bed.score("held") == before
        assert bed.entry("held") is None
        assert bed.attempts("held") == 0

    async def test_the_attempts_that_stock_workers_counted_stay_while_the_job_does(self, bed: Bed) -> None:
        bed.put("a")
        bed.looking.set(f"{RETRY}a", 2, ex=88400)
        assert (await bed.worker("w").claim_one()).attempt == 3
        assert bed.looking.ttl(f"{RETRY}a") == -1

    async def test_fresh_jobs_behind_300_that_stock_workers_hold_are_reached(self, bed: Bed) -> None:
        held = [f"held-{number:03}" for number in range(300)]
        bed.put(*held, due=bed.now - 10_000)
        before = [bed.score(job_id) for job_id in held]
        for job_id in held:
            bed.hold_as_stock_does(job_id)
        bed.put("fresh-1", "fresh-2")
        reply = await bed.worker("w").step(1)
        assert [claim.id for claim in reply.claims] == ["fresh-1"]
        assert reply.left
        assert [bed.score(job_id) for job_id in held] == before

    async def test_the_search_among_held_jobs_is_bounded(self, bed: Bed) -> None:
        held = {f"held-{number:04}": bed.now - 10_000 for number in range(1500)}
        bed.looking.zadd(KEYS.queue, held)
        bed.looking.mset({f"{IN_PROGRESS}{job_id}": "1" for job_id in held})
        bed.put("fresh")
        assert await bed.worker("w").claim(10) == []

    async def test_a_claimed_job_that_stock_abort_re_scores_gets_its_deadline_back(self, bed: Bed) -> None:
        bed.put("a")
        claim = await bed.worker("w").claim_one()
        bed.ask_to_abort("a")
        assert await bed.worker("v").claim(10) == []
        assert bed.score("a") == claim.started_ms + LEASE * 1000

    async def test_re_scored_claims_do_not_hide_what_is_due_behind_them(self, bed: Bed) -> None:
        bed.put(*(f"claimed-{number}" for number in range(20)), due=bed.now - 5000)
        claims = await bed.worker("w").claim(20)
        for claim in claims:
            bed.ask_to_abort(claim.id)
        bed.put("fresh")
        assert [claim.id for claim in await bed.worker("v").claim(2)] == ["fresh"]

    async def test_a_waiting_job_that_stock_abort_re_scores_is_claimed_and_says_so(self, bed: Bed) -> None:
        bed.put("a", due=bed.now + 60_000)
        bed.ask_to_abort("a")
        claim = await bed.worker("w").claim_one()
        assert claim.aborted

    async def test_a_job_that_was_lost_and_then_taken_by_a_stock_worker_is_skipped(
        self, clocked: Bed
    ) -> None:
        clocked.put("a", "b")
        await clocked.worker("w").claim_one()
        await clocked.pass_time(LEASE + 1)
        survivor = clocked.worker("v")
        claim = await survivor.claim_one()
        await survivor.settle(again(claim, 0))
        assert clocked.entry("a") is not None
        clocked.hold_as_stock_does("a")
        assert [claim.id for claim in await survivor.claim(10)] == ["b"]


class TestOddKeys:
    async def test_an_id_that_is_no_utf_8_goes_there_and_back(self, bed: Bed) -> None:
        member = b"\xff\xfe odd \x00\r\n"
        job_id = member.decode("utf-8", "surrogateescape")
        bed.put(job_id)
        worker = bed.worker("w")
        claim = await worker.claim_one()
        assert claim.id == job_id
        assert worker.renew() == []
        assert await worker.settle(again(claim, 0)) == [True]
        assert await worker.settle(finish(await worker.claim_one())) == [True]
        assert bed.result(job_id) == b'{"r":1}'
        assert bed.score(job_id) is None

    @pytest.mark.parametrize("prefix", [JOB, RETRY, IN_PROGRESS])
    @pytest.mark.parametrize(
        "settle", [finish, bury, partial(again, delay=1)], ids=["finished", "dead", "again"]
    )
    async def test_a_key_of_another_type_does_no_harm(self, bed: Bed, prefix: str, settle: Settle) -> None:
        bed.put("odd", "good")
        bed.looking.delete(f"{prefix}odd")
        bed.looking.rpush(f"{prefix}odd", "not", "a", "string")
        worker = bed.worker("w")
        claims = {claim.id: claim for claim in await worker.claim(10)}
        assert set(claims) == {"odd", "good"}
        assert claims["odd"].attempt == 1
        assert claims["odd"].payload == (None if prefix == JOB else payload())
        assert worker.renew() == []
        assert await worker.settle(*(settle(claim) for claim in claims.values())) == [True, True]
        assert bed.entry("odd") is None

    @pytest.mark.parametrize("score", [float("-inf"), -1.5, 0.25, 1e-300])
    async def test_a_score_that_is_no_time_is_claimed_and_keeps_its_place(
        self, bed: Bed, score: float
    ) -> None:
        bed.put("good")
        bed.put("odd")
        bed.looking.zadd(KEYS.queue, {"odd": score})
        worker = bed.worker("w")
        odd, good = await worker.claim(10)
        assert (odd.id, good.id) == ("odd", "good")
        assert await worker.settle(interrupted(odd), interrupted(good)) == [True, True]
        assert [claim.id for claim in await worker.claim(10)] == ["odd", "good"]

    async def test_a_score_beyond_all_time_is_left_alone(self, bed: Bed) -> None:
        bed.put("odd", "good")
        bed.looking.zadd(KEYS.queue, {"odd": float("inf")})
        reply = await bed.worker("w").step(10)
        assert [claim.id for claim in reply.claims] == ["good"]

    async def test_a_counter_that_is_no_number_starts_again(self, bed: Bed) -> None:
        bed.put("a")
        bed.looking.set(f"{RETRY}a", "many")
        worker = bed.worker("w")
        claim = await worker.claim_one()
        assert claim.attempt == 1
        await worker.settle(interrupted(claim))
        assert bed.attempts("a") == 0

    async def test_a_claim_that_is_in_no_list_any_more_counts_when_its_job_is_claimed_again(
        self, clocked: Bed
    ) -> None:
        worker = clocked.worker("w")
        for attempt in (1, 2, 3):
            clocked.put("a")
            assert (await worker.claim_one()).attempt == attempt
            clocked.looking.delete(KEYS.active, f"{IN_PROGRESS}a")


class TestBatches:
    async def test_a_step_claims_at_most_a_hundred(self, bed: Bed) -> None:
        bed.put(*(f"{number:03}" for number in range(150)))
        reply = await bed.worker("w").step(1000)
        assert len(reply.claims) == 100
        assert reply.left

    async def test_a_hundred_are_settled_and_a_hundred_claimed_in_one_step(self, bed: Bed) -> None:
        bed.put(*(f"{number:03}" for number in range(200)))
        worker = bed.worker("w")
        first = await worker.claim(100)
        reply = await worker.step(100, [finish(claim) for claim in first])
        assert reply.answers == [True] * 100
        assert [claim.id for claim in reply.claims] == [f"{number:03}" for number in range(100, 200)]
        assert bed.looking.zcard(KEYS.queue) == 100
