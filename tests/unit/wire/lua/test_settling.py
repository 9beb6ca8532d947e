"""Settling: how a claim ended is written once, by its holder alone, and leaves what arq's readers expect."""

from collections.abc import Callable

import pytest

from rota.wire.claims import Claim, Settlement, Told, hand_back
from rota.wire.keys import ABORT, IN_PROGRESS, JOB, RESULT
from tests.unit.wire.lua.beds import (
    KEYS,
    LEASE,
    Bed,
    again,
    bury,
    finish,
    interrupted,
    payload,
    unknown,
    with_retention,
)

Settle = Callable[[Claim], Settlement]


class TestTheFence:
    @pytest.mark.parametrize("settle", [finish, bury, interrupted], ids=["finished", "dead", "again"])
    async def test_a_settlement_of_somebody_else_s_claim_changes_nothing(
        self, bed: Bed, settle: object
    ) -> None:
        assert callable(settle)
        _, (claim,) = await bed.claimed("a")
        before = bed.everything()
        assert await bed.worker("v").settle(settle(claim._replace(token="v:0:1:1"))) == [False]
        assert bed.everything() == before

    @pytest.mark.parametrize("settle", [finish, bury, interrupted], ids=["finished", "dead", "again"])
    async def test_a_settlement_after_the_claim_was_lost_changes_nothing(
        self, clocked: Bed, settle: Settle
    ) -> None:
        worker, (claim,) = await clocked.claimed("a")
        await clocked.pass_time(LEASE + 1)
        assert (await clocked.worker("v").claim_one()).id == "a"
        before = clocked.everything()
        assert await worker.settle(settle(claim)) == [False]
        assert clocked.everything() == before

    async def test_a_settlement_between_loss_and_the_next_claim_changes_nothing(self, clocked: Bed) -> None:
        worker, (claim,) = await clocked.claimed("a")
        clocked.put("b", due=1)
        await clocked.pass_time(LEASE + 1)
        await clocked.worker("v").claim_one()
        assert (clocked.entry("a") or [""])[0].startswith("-!w@")
        assert await worker.settle(finish(claim)) == [False]
        assert clocked.result("a") is None
        assert clocked.score("a") is not None

    async def test_of_two_settlements_of_one_claim_in_one_step_the_first_counts(self, bed: Bed) -> None:
        worker, (claim,) = await bed.claimed("a")
        assert await worker.settle(finish(claim), again(claim, 0)) == [True, False]
        assert bed.score("a") is None
        assert bed.story("a") == ["started", "completed"]

    async def test_good_and_stale_ones_are_told_apart(self, bed: Bed) -> None:
        bed.put("a", "b", "c")
        worker = bed.worker("w")
        a, b, c = await worker.claim(3)
        answers = await worker.settle(finish(a), finish(b._replace(token="x:0:1:1")), finish(c))
        assert answers == [True, False, True]
        assert bed.entry("b") is not None


class TestFinishing:
    async def test_the_record_is_kept_for_its_time_and_the_rest_is_gone(self, bed: Bed) -> None:
        worker, (claim,) = await bed.claimed("a")
        assert await worker.settle(finish(claim, record_ms=60_000)) == [True]
        assert bed.result("a") == b'{"r":1}'
        assert 0 < bed.looking.pttl(f"{RESULT}a") <= 60_000
        assert {key for key in bed.all_keys() if key.endswith(":a")} == {f"{RESULT}a"}
        assert bed.entry("a") is None
        assert bed.score("a") is None

    async def test_a_record_may_be_kept_for_ever_or_not_at_all(self, bed: Bed) -> None:
        bed.put("kept", "not")
        worker = bed.worker("w")
        kept, not_kept = await worker.claim(2)
        await worker.settle(finish(kept, record_ms=0), finish(not_kept, record=b""))
        assert bed.looking.pttl(f"{RESULT}kept") == -1
        assert bed.result("not") is None

    async def test_a_cancel_that_was_asked_for_meanwhile_is_forgotten(self, bed: Bed) -> None:
        worker, (claim,) = await bed.claimed("a")
        bed.ask_to_abort("a")
        await worker.settle(finish(claim))
        assert bed.looking.zscore(ABORT, "a") is None
        assert bed.score("a") is None

    async def test_after_a_cron_job_arq_s_mirror_stays_for_its_time(self, bed: Bed) -> None:
        worker, (claim,) = await bed.claimed("a", service=False)
        await worker.settle(finish(claim, mirror_ms=60_000))
        assert bed.held("a") == b"1"
        assert 0 < bed.looking.pttl(f"{IN_PROGRESS}a") <= 60_000


class TestAgain:
    async def test_a_retry_is_due_after_its_delay_and_keeps_its_attempts(self, clocked: Bed) -> None:
        worker, (claim,) = await clocked.claimed("a")
        assert await worker.settle(again(claim, 5)) == [True]
        assert clocked.score("a") == clocked.now + 5000
        assert clocked.looking.zscore(KEYS.active, "a") is None
        assert clocked.attempts("a") == 1
        assert clocked.entry("a") is None
        assert clocked.held("a") is None
        clocked.advance(5)
        assert (await worker.claim_one()).attempt == 2

    async def test_a_job_that_is_handed_back_has_its_old_place(self, bed: Bed) -> None:
        bed.put("first", "second")
        worker = bed.worker("w")
        first = await worker.claim_one()
        due = first.due_ms
        assert await worker.settle(hand_back(first)) == [True]
        assert bed.score("first") == due
        claims = await worker.claim(2)
        assert [claim.id for claim in claims] == ["first", "second"]

    async def test_unspent_gives_the_attempt_back(self, bed: Bed) -> None:
        worker, (claim,) = await bed.claimed("a")
        await worker.settle(again(claim, 0))
        second = await worker.claim_one()
        await worker.settle(interrupted(second))
        assert bed.attempts("a") == 1
        assert (await worker.claim_one()).attempt == 2

    async def test_a_retry_that_began_at_a_later_try_goes_on_from_there(self, bed: Bed) -> None:
        worker, (claim,) = await bed.claimed("a")
        await worker.settle(again(claim, 0, attempt=5))
        assert (await worker.claim_one()).attempt == 6

    async def test_a_job_that_nobody_knows_keeps_the_time_when_that_was_first_found(
        self, clocked: Bed
    ) -> None:
        _, (claim,) = await clocked.claimed("a")
        worker = clocked.worker("v")
        first = clocked.now
        for name in ("w", "v", "u"):
            await clocked.worker(name).settle(unknown(claim, 5))
            clocked.advance(5)
            worker = clocked.worker(f"{name}2")
            claim = await worker.claim_one()
            assert claim.unknown_since_ms == first
            assert claim.attempt == 1

    async def test_once_it_is_known_that_time_is_forgotten(self, bed: Bed) -> None:
        worker, (claim,) = await bed.claimed("a")
        await worker.settle(unknown(claim, 0))
        other = bed.worker("v")
        claim = await other.claim_one()
        assert claim.unknown_since_ms > 0
        await other.settle(again(claim, 0))
        assert bed.entry("a") is None
        assert (await worker.claim_one()).unknown_since_ms == 0

    async def test_a_loss_does_not_reset_it(self, clocked: Bed) -> None:
        worker, (claim,) = await clocked.claimed("a")
        first = clocked.now
        await worker.settle(unknown(claim, 0))
        await clocked.worker("v").claim_one()
        await clocked.pass_time(LEASE + 1)
        claim = await worker.claim_one()
        assert (claim.unknown_since_ms, claim.lost) == (first, 1)

    async def test_who_did_not_know_a_job_leaves_it_to_others_for_a_while(self, clocked: Bed) -> None:
        worker, (claim,) = await clocked.claimed("a")
        clocked.put("b")
        await worker.settle(unknown(claim, 1))
        clocked.advance(1)
        assert [claim.id for claim in await worker.claim(10)] == ["b"]
        clocked.advance(3.499)
        assert await worker.claim(10) == []
        clocked.advance(0.001)
        assert (await worker.claim_one()).id == "a"

    async def test_others_may_have_it_at_once(self, bed: Bed) -> None:
        worker, (claim,) = await bed.claimed("a")
        await worker.settle(unknown(claim, 0))
        assert await worker.claim(10) == []
        assert (await bed.worker("v").claim_one()).id == "a"

    async def test_a_cancel_that_was_asked_for_waits_for_the_next_claim(self, bed: Bed) -> None:
        worker, (claim,) = await bed.claimed("a")
        bed.ask_to_abort("a")
        await worker.settle(hand_back(claim))
        assert (await worker.claim_one()).aborted

    async def test_a_snooze_is_counted_and_the_next_claim_says_so(self, bed: Bed) -> None:
        worker, (claim,) = await bed.claimed("a")
        for snoozes in range(3):
            assert claim.snoozes == snoozes
            await worker.settle(again(claim, 0, unspent=True, event="snoozed"))
            claim = await worker.claim_one()
        again_claim = (await worker.step(1, seq=worker.last, resend=True)).claims[0]
        assert again_claim.snoozes == claim.snoozes == 3
        await worker.settle(again(claim, 0))
        claim = await worker.claim_one()
        assert claim.snoozes == 3
        await worker.settle(finish(claim))
        assert bed.looking.hlen(KEYS.snoozes) == 0

    async def test_the_count_of_snoozes_goes_with_a_job_that_is_cancelled(self, bed: Bed) -> None:
        worker, (claim,) = await bed.claimed("a")
        await worker.settle(again(claim, 0, unspent=True, event="snoozed"))
        assert bed.looking.hgetall(KEYS.snoozes) == {b"a": b"1"}
        await bed.cancel("a")
        assert bed.looking.hlen(KEYS.snoozes) == 0

    async def test_a_job_that_somebody_took_off_the_queue_leaves_no_count_and_no_request(
        self, bed: Bed
    ) -> None:
        worker, (claim,) = await bed.claimed("a")
        await worker.settle(again(claim, 0, unspent=True, event="snoozed"))
        claim = await worker.claim_one()
        bed.ask_to_abort("a")
        bed.looking.zrem(KEYS.queue, "a")
        await worker.settle(again(claim, 0))
        assert (bed.looking.hlen(KEYS.snoozes), bed.looking.zcard(ABORT)) == (0, 0)

    async def test_the_errors_of_failed_attempts_are_kept_and_go_into_the_dead_letter(self, bed: Bed) -> None:
        worker, (claim,) = await bed.claimed("a")
        for attempt in (1, 2):
            await worker.settle(again(claim, 0, failure=b'"no %d"' % attempt))
            claim = await worker.claim_one()
        kept = bed.looking.hget(KEYS.attempts, "a")
        assert [line.split(b" ", 2)[::2] for line in kept.split(b"\n")] == [
            [b"1", b'"no 1"'],
            [b"2", b'"no 2"'],
        ]
        await worker.settle(bury(claim))
        assert bed.looking.hget(f"{KEYS.dead}:a", "attempts") == kept
        assert bed.looking.hlen(KEYS.attempts) == 0

    async def test_of_large_errors_the_last_are_kept(self, bed: Bed) -> None:
        worker, (claim,) = await bed.claimed("a")
        for attempt in range(1, 6):
            await worker.settle(again(claim, 0, failure=b'"%b"' % (b"%d" % attempt * 3000)))
            claim = await worker.claim_one()
        kept = bed.looking.hget(KEYS.attempts, "a")
        assert [line.split(b" ")[0] for line in kept.split(b"\n")] == [b"4", b"5"]
        await worker.settle(again(claim, 0, failure=b'"%b"' % (b"6" * 9000)))
        assert bed.looking.hget(KEYS.attempts, "a").count(b"\n") == 0

    @pytest.mark.parametrize("end", ["finish", "cancel", "remove"])
    async def test_they_go_with_a_job_however_it_ends(self, bed: Bed, end: str) -> None:
        worker, (claim,) = await bed.claimed("a")
        await worker.settle(again(claim, 0, failure=b'"no"'))
        assert bed.looking.hlen(KEYS.attempts) == 1
        if end == "cancel":
            await bed.cancel("a")
        else:
            claim = await worker.claim_one()
            if end == "remove":
                bed.looking.zrem(KEYS.queue, "a")
            await worker.settle(finish(claim) if end == "finish" else again(claim, 0, failure=b'"no"'))
        assert bed.looking.hlen(KEYS.attempts) == 0

    @pytest.mark.parametrize("end", [finish, bury])
    async def test_a_key_of_another_type_in_their_place_holds_up_nothing(
        self, bed: Bed, end: Callable[[Claim], Settlement]
    ) -> None:
        bed.looking.set(KEYS.attempts, "no hash")
        worker, (claim,) = await bed.claimed("a")
        for _ in range(2):
            assert await worker.settle(again(claim, 0, failure=b'"no"')) == [True]
            claim = await worker.claim_one()
        assert await worker.settle(end(claim)) == [True]
        assert bed.entry("a") is None
        bed.put("b")
        assert await bed.cancel("b") == "cancelled"

    async def test_a_first_attempt_has_none_before_it(self, bed: Bed) -> None:
        bed.looking.hset(KEYS.attempts, "a", '7 1700000000000 "of another job"')
        worker, (claim,) = await bed.claimed("a")
        await worker.settle(again(claim, 0, failure=b'"no"'))
        assert bed.looking.hget(KEYS.attempts, "a").startswith(b"1 ")

    @pytest.mark.parametrize(("delay", "tokens"), [(0.0, 1), (3.0, 1), (60.0, 0)])
    async def test_what_is_handed_back_for_soon_wakes_another_worker(
        self, bed: Bed, delay: float, tokens: int
    ) -> None:
        worker, (claim,) = await bed.claimed("a")
        await worker.settle(again(claim, delay))
        assert bed.tokens() == tokens


class TestDeadLetters:
    async def test_a_dead_letter_keeps_everything(self, bed: Bed) -> None:
        worker, (claim,) = await bed.claimed("a")
        await worker.settle(again(claim, 0))
        claim = await worker.claim_one()
        assert await worker.settle(bury(claim, reason="timeout")) == [True]
        letter = bed.looking.hgetall(f"{KEYS.dead}:a")
        assert letter == {
            b"payload": payload(),
            b"task": b"work",
            b"attempt": b"2",
            b"error": b'"boom"',
            b"reason": b"timeout",
            b"at": letter[b"at"],
        }
        assert bed.looking.zscore(KEYS.dead, "a") == int(letter[b"at"])
        assert bed.result("a") == b'{"r":1}'
        assert bed.score("a") is None
        assert bed.looking.get(f"{JOB}a") is None

    async def test_one_whose_payload_had_expired_has_none(self, bed: Bed) -> None:
        worker, (claim,) = await bed.claimed("a")
        bed.looking.delete(f"{JOB}a")
        await worker.settle(bury(claim))
        assert b"payload" not in bed.looking.hgetall(f"{KEYS.dead}:a")

    async def test_a_later_death_under_the_same_id_replaces_the_letter(self, bed: Bed) -> None:
        worker, (claim,) = await bed.claimed("a")
        await worker.settle(bury(claim, reason="failed"))
        bed.put("a")
        bed.looking.delete(f"{JOB}a")
        await worker.settle(bury(await worker.claim_one(), reason="expired"))
        letter = bed.looking.hgetall(f"{KEYS.dead}:a")
        assert letter[b"reason"] == b"expired"
        assert b"payload" not in letter
        assert bed.looking.zcard(KEYS.dead) == 1

    async def test_letters_leave_after_their_retention(self, clocked: Bed) -> None:
        clocked.put("old", "new")
        worker = with_retention(clocked.worker("w"), 3600.0)
        old, new = await worker.claim(2)
        await worker.settle(bury(old))
        clocked.advance(3601)
        assert clocked.looking.hgetall(f"{KEYS.dead}:old") == {}
        worker.renew()
        await worker.settle(bury(new))
        assert clocked.looking.zrange(KEYS.dead, 0, -1) == [b"new"]

    async def test_of_very_many_that_have_expired_a_death_strikes_a_portion(self, clocked: Bed) -> None:
        cause_list = f"{KEYS.queue}:cause:0a1b2c"
        clocked.put("new")
        worker = with_retention(clocked.worker("w"), 3600.0)
        expired = {f"{number}": clocked.now - 3_600_000 - number for number in range(250)}
        for letters in (KEYS.dead, cause_list):
            clocked.looking.zadd(letters, expired)
        detail = b'{"__error__":{"type":"E","cause":"0a1b2c","message":"boom"}}'
        await worker.settle(bury(await worker.claim_one(), detail=detail))
        for letters in (KEYS.dead, cause_list):
            assert clocked.looking.zcard(letters) == 150 + 1

    async def test_letters_stay_until_then(self, clocked: Bed) -> None:
        clocked.put("old", "new")
        worker = with_retention(clocked.worker("w"), 3600.0)
        old, new = await worker.claim(2)
        await worker.settle(bury(old))
        clocked.advance(3599)
        worker.renew()
        await worker.settle(bury(new))
        assert clocked.looking.zrange(KEYS.dead, 0, -1) == [b"old", b"new"]
        assert clocked.looking.hgetall(f"{KEYS.dead}:old")


async def test_settlements_are_values_that_travel_whole(bed: Bed) -> None:
    worker, (claim,) = await bed.claimed("a")
    told = Told("dead", "täsk", 1, b"\x00\xfe", record=b"\x00\xff", record_ms=1000)
    odd = Settlement.dead(claim, "a reason with spaces\nand lines", told)
    assert await worker.settle(odd) == [True]
    letter = bed.looking.hgetall(f"{KEYS.dead}:a")
    assert (letter[b"reason"], letter[b"error"]) == (b"a reason with spaces\nand lines", b"\x00\xfe")
    assert letter[b"task"] == "täsk".encode()
    assert bed.result("a") == b"\x00\xff"
