"""The scripts that clients call: enqueue, cancel, replay. Each changes all or nothing."""

import pytest

from rota.wire.keys import ABORT, JOB, RESULT, RETRY
from tests.unit.wire.lua.beds import KEYS, LEASE, Bed, again, bury, finish, unknown


class TestEnqueue:
    async def test_a_job_is_put_with_its_payload_for_ever(self, bed: Bed) -> None:
        before = bed.now
        assert await bed.enqueue("a", payload=b"bytes") == [1]
        assert bed.looking.get(f"{JOB}a") == b"bytes"
        assert bed.looking.pttl(f"{JOB}a") == -1
        assert before <= (bed.score("a") or 0) <= bed.now

    async def test_it_is_due_after_its_delay_by_the_server_s_clock_or_when_it_says(
        self, clocked: Bed
    ) -> None:
        await clocked.enqueue("delayed", delay=2.5)
        await clocked.enqueue("dated", due_ms=1_900_000_000_000)
        assert clocked.score("delayed") == clocked.now + 2500
        assert clocked.score("dated") == 1_900_000_000_000

    async def test_a_payload_may_have_a_life_beyond_its_due_time(self, clocked: Bed) -> None:
        await clocked.enqueue("a", delay=10, life_ms=5000)
        assert clocked.looking.pttl(f"{JOB}a") == 15_000

    @pytest.mark.parametrize("state", ["waiting", "delayed", "active", "retrying"])
    async def test_an_id_that_a_live_job_has_is_taken_and_nothing_changes(self, bed: Bed, state: str) -> None:
        await bed.enqueue("a", payload=b"first", delay=60 if state == "delayed" else 0)
        worker = bed.worker("w")
        if state in ("active", "retrying"):
            claim = await worker.claim_one()
            if state == "retrying":
                await worker.settle(again(claim, 60))
        bed.looking.delete(KEYS.wake)
        before = bed.everything()
        assert await bed.enqueue("a", payload=b"second") == [0]
        assert bed.everything() == before

    async def test_of_several_the_free_ones_are_put(self, bed: Bed) -> None:
        await bed.enqueue("b")
        assert await bed.enqueue("a", "b", "c", "a") == [1, 0, 1, 0]
        assert bed.looking.zcard(KEYS.queue) == 3

    async def test_once_a_job_has_finished_its_id_is_free_and_the_old_result_goes(self, bed: Bed) -> None:
        await bed.enqueue("a")
        worker = bed.worker("w")
        await worker.settle(finish(await worker.claim_one()))
        assert bed.result("a") is not None
        assert await bed.enqueue("a") == [1]
        assert bed.result("a") is None
        assert (await worker.claim_one()).attempt == 1

    async def test_unless_it_is_to_stay_taken_while_the_result_is_kept(self, bed: Bed) -> None:
        bed.looking.set(f"{RESULT}a", "kept")
        assert await bed.enqueue("a", reuse=False) == [0]
        assert bed.result("a") == b"kept"

    async def test_jobs_of_one_moment_keep_the_order_of_their_ids(self, clocked: Bed) -> None:
        await clocked.enqueue("1", "2")
        await clocked.enqueue("3")
        assert [claim.id for claim in await clocked.worker("w").claim(3)] == ["1", "2", "3"]

    async def test_a_thousand_are_put_at_once(self, bed: Bed) -> None:
        ids = [f"{number:04}" for number in range(1100)]
        assert await bed.enqueue(*ids) == [1] * 1100
        assert bed.looking.zcard(KEYS.queue) == 1100


class TestWaking:
    async def test_however_much_is_enqueued_there_is_one_token(self, bed: Bed) -> None:
        await bed.enqueue("a", "b")
        await bed.enqueue("c")
        assert bed.tokens() == 1

    async def test_a_taken_id_leaves_none(self, bed: Bed) -> None:
        await bed.enqueue("a")
        bed.looking.delete(KEYS.wake)
        await bed.enqueue("a")
        assert bed.tokens() == 0

    async def test_who_leaves_due_jobs_behind_passes_the_token_on(self, bed: Bed) -> None:
        await bed.enqueue("a", "b")
        bed.looking.delete(KEYS.wake)
        worker = bed.worker("w")
        assert (await worker.step(1)).left
        assert bed.tokens() == 1
        bed.looking.delete(KEYS.wake)
        assert not (await worker.step(1)).left
        assert bed.tokens() == 0

    async def test_a_nudge_leaves_a_token_for_what_is_due_within_its_horizon(self, clocked: Bed) -> None:
        worker = clocked.worker("w")
        assert await worker.scripts.nudge(clocked.redis, 3.0) is None
        clocked.put("a", due=clocked.now + 5000)
        assert await worker.scripts.nudge(clocked.redis, 3.0) == 5.0
        assert clocked.tokens() == 0
        clocked.advance(2)
        assert await worker.scripts.nudge(clocked.redis, 3.0) == 3.0
        clocked.advance(10)
        assert await worker.scripts.nudge(clocked.redis, 3.0) == 0.0
        assert clocked.tokens() == 1

    async def test_the_watcher_s_role_is_one_worker_s_until_it_ends_or_gives_it_up(
        self, clocked: Bed
    ) -> None:
        first, second = clocked.worker("w").scripts, clocked.worker("v").scripts
        assert await first.watch(clocked.redis, 25)
        assert not await second.watch(clocked.redis, 25)
        clocked.advance(20)
        assert await first.watch(clocked.redis, 25)
        clocked.advance(20)
        assert not await second.watch(clocked.redis, 0)
        assert await first.watch(clocked.redis, 25)
        assert not await first.watch(clocked.redis, 0)
        assert await second.watch(clocked.redis, 25)
        clocked.advance(26)
        assert await first.watch(clocked.redis, 25)

    async def test_the_watcher_s_role_is_kept_by_the_worker_that_has_it(self, clocked: Bed) -> None:
        first, second = clocked.worker("w").scripts, clocked.worker("v").scripts
        assert not await first.keep_watching(clocked.redis, 25), "keeping takes nothing"
        assert await second.watch(clocked.redis, 25), "and left nothing in the way of another"
        assert not await first.keep_watching(clocked.redis, 25)
        clocked.advance(20)
        assert await second.keep_watching(clocked.redis, 25)
        clocked.advance(20)
        assert not await first.watch(clocked.redis, 25), "the role lasts as long as it was kept for"
        clocked.advance(6)
        assert not await second.keep_watching(clocked.redis, 25), "a role that has ended is not kept"
        assert await first.watch(clocked.redis, 25)


class TestCancel:
    async def test_a_waiting_job_leaves_at_once_with_a_record(self, bed: Bed) -> None:
        await bed.enqueue("a")
        assert await bed.cancel("a") == "cancelled"
        assert bed.result("a") == b"record"
        assert 0 < bed.looking.pttl(f"{RESULT}a") <= 60_000
        assert {key for key in bed.all_keys() if key.endswith(":a")} == {f"{RESULT}a"}
        assert await bed.worker("w").claim(10) == []

    async def test_so_does_a_delayed_one_that_has_run_before(self, bed: Bed) -> None:
        await bed.enqueue("a")
        worker = bed.worker("w")
        claim = await worker.claim_one()
        await worker.scripts.report(bed.redis, [(claim, "work", 50.0, "half")])
        await worker.settle(again(claim, 60))
        assert await bed.cancel("a", record=b"") == "cancelled"
        assert bed.result("a") is None
        assert bed.attempts("a") == 0
        assert bed.looking.hgetall(KEYS.progress) == {}

    async def test_so_does_one_that_was_lost_while_it_ran(self, clocked: Bed) -> None:
        await clocked.enqueue("a", "b")
        worker = clocked.worker("w")
        claims = await worker.claim(2)
        await worker.scripts.report(clocked.redis, [(claim, "work", 50.0, "half") for claim in claims])
        await clocked.pass_time(LEASE + 1)
        await clocked.worker("v").claim(1)
        assert await clocked.cancel("b") == "cancelled"
        assert clocked.entry("b") is None
        assert clocked.looking.hget(KEYS.progress, "b") is None

    async def test_one_that_nobody_knew_leaves_no_memory(self, bed: Bed) -> None:
        await bed.enqueue("a")
        worker = bed.worker("w")
        await worker.settle(unknown(await worker.claim_one(), 60))
        assert bed.entry("a") is not None
        assert await bed.cancel("a") == "cancelled"
        assert bed.entry("a") is None

    async def test_of_an_active_job_it_is_asked(self, bed: Bed) -> None:
        await bed.enqueue("a")
        claim = await bed.worker("w").claim_one()
        assert await bed.cancel("a") == "requested"
        assert bed.looking.zscore(ABORT, "a") is not None
        assert bed.score("a") == claim.started_ms + LEASE * 1000
        assert bed.result("a") is None

    async def test_so_it_is_of_one_that_a_stock_worker_holds(self, bed: Bed) -> None:
        await bed.enqueue("a")
        bed.hold_as_stock_does("a")
        assert await bed.cancel("a") == "requested"
        assert bed.score("a") is not None

    async def test_one_that_was_asked_and_goes_again_instead_is_due_at_once_and_ends_as_cancelled(
        self, bed: Bed
    ) -> None:
        await bed.enqueue("a")
        worker = bed.worker("w")
        claim = await worker.claim_one()
        assert await bed.cancel("a") == "requested"
        await worker.settle(again(claim, 3600))
        claim = await worker.claim_one()
        assert claim.aborted
        await worker.settle(finish(claim, event="cancelled"))
        assert bed.looking.zcard(ABORT) == 0

    async def test_one_whose_worker_died_with_the_request_pending_says_so_to_the_next(
        self, clocked: Bed
    ) -> None:
        await clocked.enqueue("a")
        await clocked.worker("w").claim_one()
        assert await clocked.cancel("a") == "requested"
        await clocked.pass_time(LEASE + 1)
        worker = clocked.worker("v")
        claim = await worker.claim_one()
        assert (claim.aborted, claim.lost) == (True, 1)
        await worker.settle(finish(claim, event="cancelled"))
        assert clocked.looking.zcard(ABORT) == 0

    async def test_a_request_does_not_outlive_a_second_one_that_finds_the_job_waiting(
        self, clocked: Bed
    ) -> None:
        await clocked.enqueue("a", "b")
        await clocked.worker("w").claim(2)
        assert await clocked.cancel("b") == "requested"
        await clocked.pass_time(LEASE + 1)
        assert [claim.id for claim in await clocked.worker("v").claim(1)] == ["a"]
        assert await clocked.cancel("b") == "cancelled"
        assert clocked.looking.zscore(ABORT, "b") is None
        await clocked.enqueue("b")
        assert not (await clocked.worker("u").claim_one()).aborted

    async def test_a_request_for_a_job_that_was_over_does_not_meet_the_next_of_its_id(self, bed: Bed) -> None:
        # A stock client's `Job.abort()` does not look whether the job is still there.
        bed.looking.zadd(ABORT, {"a": bed.now, "other": bed.now})
        await bed.enqueue("a")
        worker = bed.worker("w")
        claim = await worker.claim_one()
        assert not claim.aborted
        await worker.settle(bury(claim))
        bed.looking.zadd(ABORT, {"a": bed.now})
        assert await bed.replay("a") == ["replayed"]
        assert not (await worker.claim_one()).aborted
        assert bed.looking.zrange(ABORT, 0, -1) == [b"other"]

    async def test_nor_the_one_that_replaces_its_job_while_that_waits_to_go_again(self, bed: Bed) -> None:
        await bed.enqueue("a")
        worker = bed.worker("w")
        await worker.settle(again(await worker.claim_one(), 60, unspent=True, event="snoozed"))
        bed.looking.zadd(ABORT, {"a": bed.now})
        assert await bed.enqueue("a", taken="debounce") == [2]
        claim = await worker.claim_one()
        assert (claim.aborted, claim.snoozes) == (False, 0)

    async def test_it_tells_how_many_attempts_there_were(self, bed: Bed) -> None:
        await bed.enqueue("a", "b")
        worker = bed.worker("w")
        await worker.settle(again(await worker.claim_one(), 60))
        for job_id in ("a", "b"):
            await bed.cancel(job_id)
        told = [event["attempt"] for event in bed.events() if event["type"] == "cancelled"]
        assert told == [1, 0]

    async def test_a_job_that_is_not_there_is_absent(self, bed: Bed) -> None:
        assert await bed.cancel("a") == "absent"
        assert bed.result("a") is None
        assert bed.events() == []

    @pytest.mark.parametrize("prefix", [JOB, RETRY])
    async def test_what_lies_there_in_another_type_is_cancelled_too(self, bed: Bed, prefix: str) -> None:
        await bed.enqueue("a")
        bed.looking.delete(f"{prefix}a")
        bed.looking.hset(f"{prefix}a", "odd", "1")
        assert await bed.cancel("a") == "cancelled"
        assert bed.looking.exists(f"{JOB}a", f"{RETRY}a") == 0

    async def test_requests_that_nobody_heard_go_after_a_day(self, clocked: Bed) -> None:
        await clocked.enqueue("a", "b")
        await clocked.worker("w").claim(2)
        await clocked.cancel("a")
        clocked.advance(86_401)
        await clocked.cancel("b")
        assert clocked.looking.zrange(ABORT, 0, -1) == [b"b"]


class TestReplay:
    async def test_a_dead_letter_comes_back_as_new(self, bed: Bed) -> None:
        await bed.enqueue("a", payload=b"bytes")
        worker = bed.worker("w")
        await worker.settle(again(await worker.claim_one(), 0))
        await worker.settle(bury(await worker.claim_one()))
        bed.looking.delete(KEYS.wake)
        assert await bed.replay("a") == ["replayed"]
        assert bed.result("a") is None
        assert bed.looking.zcard(KEYS.dead) == 0
        assert bed.looking.hgetall(f"{KEYS.dead}:a") == {}
        assert bed.tokens() == 1
        claim = await worker.claim_one()
        assert (claim.attempt, claim.payload, claim.lost) == (1, b"bytes", 0)
        assert bed.story("a")[-3:] == ["dead", "enqueued", "started"]

    async def test_a_live_job_s_id_is_taken_and_nothing_changes(self, bed: Bed) -> None:
        await bed.enqueue("a", payload=b"old")
        worker = bed.worker("w")
        await worker.settle(bury(await worker.claim_one()))
        await bed.enqueue("a", payload=b"new")
        bed.looking.delete(KEYS.wake)
        before = bed.everything()
        assert await bed.replay("a") == ["taken"]
        assert bed.everything() == before

    async def test_a_letter_without_its_payload_stays(self, bed: Bed) -> None:
        bed.put("a")
        bed.looking.delete(f"{JOB}a")
        worker = bed.worker("w")
        await worker.settle(bury(await worker.claim_one()))
        assert await bed.replay("a") == ["empty"]
        assert bed.looking.zcard(KEYS.dead) == 1
        assert bed.score("a") is None

    async def test_a_letter_of_another_type_is_empty_and_holds_up_no_other(self, bed: Bed) -> None:
        await bed.enqueue("b")
        worker = bed.worker("w")
        await worker.settle(bury(await worker.claim_one()))
        bed.looking.zadd(KEYS.dead, {"a": 1})
        bed.looking.set(f"{KEYS.dead}:a", "text")
        assert await bed.replay("a", "b") == ["empty", "replayed"]

    async def test_one_that_is_not_there_is_absent(self, bed: Bed) -> None:
        bed.looking.zadd(KEYS.dead, {"expired": 1})
        assert await bed.replay("never", "expired") == ["absent", "absent"]
        assert bed.looking.zcard(KEYS.dead) == 0
        assert bed.tokens() == 0

    async def test_each_of_several_has_its_answer(self, bed: Bed) -> None:
        await bed.enqueue("a", "b")
        worker = bed.worker("w")
        await worker.settle(*(bury(claim) for claim in await worker.claim(2)))
        assert await bed.replay("a", "x", "b", "a") == ["replayed", "absent", "replayed", "absent"]

    async def test_a_counter_of_an_earlier_life_is_gone(self, bed: Bed) -> None:
        await bed.enqueue("a")
        worker = bed.worker("w")
        await worker.settle(bury(await worker.claim_one()))
        bed.looking.set(f"{RETRY}a", 7)
        await bed.replay("a")
        assert (await worker.claim_one()).attempt == 1


class TestTicks:
    async def tick(self, bed: Bed, tick_ms: int, job_id: str | None = None) -> bool:
        return await bed.worker("w", service=False).scripts.tick(
            bed.redis,
            "nightly",
            tick_ms=tick_ms,
            memory=86_400.0,
            job_id=job_id or f"nightly:{tick_ms}",
            payload=b"cron",
            due_ms=tick_ms,
            life_ms=60_000,
        )

    async def test_each_is_enqueued_once_and_none_that_is_not_later(self, bed: Bed) -> None:
        assert await self.tick(bed, 1000)
        assert not await self.tick(bed, 1000)
        assert not await self.tick(bed, 999)
        assert await self.tick(bed, 2000)
        assert bed.looking.zrange(KEYS.queue, 0, -1, withscores=True) == [
            (b"nightly:1000", 1000.0),
            (b"nightly:2000", 2000.0),
        ]
        assert bed.tokens() == 1

    async def test_not_even_after_the_first_run_has_ended_without_a_result(self, bed: Bed) -> None:
        await self.tick(bed, 1000)
        worker = bed.worker("w", service=False)
        await worker.settle(finish(await worker.claim_one(), record=b""))
        assert not await self.tick(bed, 1000)

    async def test_while_an_id_of_one_s_own_is_taken_none_is_enqueued(self, bed: Bed) -> None:
        assert await self.tick(bed, 1000, "own")
        assert not await self.tick(bed, 2000, "own")
        worker = bed.worker("w", service=False)
        await worker.settle(finish(await worker.claim_one(), record=b""))
        assert await self.tick(bed, 2000, "own")
