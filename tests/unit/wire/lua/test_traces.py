"""What scripts leave behind: one event for each change, and no key of ours on an idle bare queue; and a full server."""

from collections.abc import Callable

import pytest
from redis.exceptions import OutOfMemoryError

from rota.settings.settings import Settings
from rota.wire.claims import Claim, Settlement, Told
from rota.wire.keys import RESULT, RETRY
from tests.unit.wire.lua.beds import (
    EVENTS,
    KEYS,
    LEASE,
    Bed,
    again,
    bury,
    finish,
    interrupted,
)


class TestEvents:
    async def test_each_change_of_a_job_s_state_is_told_once(self, clocked: Bed) -> None:
        await clocked.enqueue("a")
        worker = clocked.worker("w")
        await worker.settle(again(await worker.claim_one(), 0))
        await worker.settle(interrupted(await worker.claim_one()))
        await worker.claim_one()
        await clocked.pass_time(LEASE + 1)
        survivor = clocked.worker("v")
        await survivor.settle(bury(await survivor.claim_one()))
        await clocked.replay("a")
        await survivor.settle(finish(await survivor.claim_one()))
        assert clocked.story("a") == [
            "enqueued",
            "started",
            "retried",
            "started",
            "interrupted",
            "started",
            "lost",
            "started",
            "dead",
            "enqueued",
            "started",
            "completed",
        ]

    async def test_none_carries_the_payload_or_the_result(self, bed: Bed) -> None:
        await bed.enqueue("a", payload=b"bytes")
        worker = bed.worker("w")
        await worker.settle(finish(await worker.claim_one(), detail=b'{"x":1}'))
        enqueued, started, completed = bed.events("a")
        for event in (enqueued, completed):
            assert (event["queue"], event["id"], event["task"]) == ("q", "a", "work")
            assert "payload" not in event
        assert enqueued["due"] == started["due"]
        assert completed["attempt"] == 1
        assert not completed["extras"]

    async def test_an_error_is_told_by_its_beginning(self, bed: Bed) -> None:
        bed.put("a", "b")
        worker = bed.worker("w")
        long = b'"' + b"x" * 10_000 + b'"'
        await worker.settle(again(await worker.claim_one(), 60, detail=long))
        await worker.settle(bury(await worker.claim_one(), detail=long))
        for job_id in ("a", "b"):
            assert bed.events(job_id)[-1]["detail"] == long[:500].decode()
        assert bed.looking.hget(f"{KEYS.dead}:b", "error") == long

    @pytest.mark.parametrize("stock", [True, False], ids=["a stock client's", "ours"])
    async def test_a_start_says_the_name_and_when_the_job_was_due(self, bed: Bed, stock: bool) -> None:
        bed.put("a", stock=stock)
        claim = await bed.worker("w").claim_one()
        (started,) = bed.events("a")
        assert (started["task"], started["worker"], started["due"]) == ("work", "w", claim.due_ms)
        assert "payload" not in started

    async def test_the_payload_of_a_stock_client_s_job_expires_no_more_once_it_has_started(
        self, bed: Bed
    ) -> None:
        bed.put("a", stock=True, life=86_400_000)
        bed.looking.set(f"{RETRY}a", 1)
        await bed.worker("w").claim_one()
        assert bed.looking.ttl("arq:job:a") == -1

    async def test_a_loss_names_the_claim_that_was_lost(self, clocked: Bed) -> None:
        clocked.put("a")
        claim = await clocked.worker("w").claim_one()
        await clocked.pass_time(LEASE + 1)
        await clocked.worker("v").claim_one()
        (lost,) = [event for event in clocked.events("a") if event["type"] == "lost"]
        assert lost["detail"] == claim.token

    async def test_when_a_retry_is_due_is_told(self, clocked: Bed) -> None:
        clocked.put("a")
        worker = clocked.worker("w")
        await worker.settle(again(await worker.claim_one(), 5))
        assert clocked.events("a")[-1]["due"] == clocked.now + 5000

    async def test_a_cancel_is_told_when_it_is_done_and_not_when_it_is_asked(self, bed: Bed) -> None:
        await bed.enqueue("a", "b")
        await bed.worker("w").claim_one()
        await bed.cancel("a")
        await bed.cancel("b")
        assert bed.story("a") == ["enqueued", "started"]
        assert bed.story("b") == ["enqueued", "cancelled"]

    async def test_a_hand_back_that_is_nobody_s_business_is_not_told(self, bed: Bed) -> None:
        bed.put("a")
        worker = bed.worker("w")
        await worker.settle(interrupted(await worker.claim_one())._replace(event=""))
        assert bed.story("a") == ["started"]


class TestMemory:
    async def test_jobs_that_pass_through_leave_no_payload_and_no_result_in_memory(self, real: Bed) -> None:
        used = int(real.looking.info("memory")["used_memory"])
        worker, size = real.worker("w"), b"x" * 20_000
        real.looking.config_set("maxmemory", used + 8_000_000)
        try:
            for number in range(60):
                await real.enqueue(*(f"{number}.{one}" for one in range(50)), payload=size)
                claims = await worker.claim(50)
                assert len(claims) == 50
                await worker.settle(*(finish(claim, detail=b'"' + size + b'"') for claim in claims))
        finally:
            real.looking.config_set("maxmemory", 0)
        assert real.looking.memory_usage(EVENTS, samples=0) < 500_000

    async def test_by_default_the_largest_events_fill_a_small_part_of_a_small_server(self, real: Bed) -> None:
        default = Settings().events_maxlen
        # The longest ids and names, in characters of four bytes where that is allowed, and an error of which each
        # character is escaped.
        name, long = "w" * 100, "q:" + "\N{GRINNING FACE}" * 200
        for number in range(10):
            ids = [f"{long}{number}.{one}" for one in range(100)]
            worker, claims = await real.claimed(*ids, name=f"w{number}")
            told = Told("retried", name, 1, b'"' * 1000)
            await worker.settle(*(Settlement.again(claim, 3600, told) for claim in claims))
        entries = real.looking.xlen(EVENTS)
        assert len(real.events()) == 2000 > entries
        size = real.looking.memory_usage(EVENTS, samples=0)
        assert size / entries * default < 512 * 1024 * 1024 / 10


class TestProgress:
    async def test_the_holder_s_is_kept_and_told(self, bed: Bed) -> None:
        bed.put("a")
        worker = bed.worker("w")
        claim = await worker.claim_one()
        assert await worker.scripts.report(bed.redis, [(claim, "work", 12.5, "a word, or two")]) == 1
        assert bed.looking.hget(KEYS.progress, "a") == b"12.5 a word, or two"
        told = bed.events("a")[-1]
        assert (told["type"], told["percent"], told["message"]) == ("progress", 12.5, "a word, or two")

    async def test_nobody_else_s_is(self, bed: Bed) -> None:
        bed.put("a")
        worker = bed.worker("w")
        claim = await worker.claim_one()
        stranger = claim._replace(token="v:0:1:1")
        assert await worker.scripts.report(bed.redis, [(stranger, "work", 50.0, "")]) == 0
        await worker.settle(again(claim, 0))
        assert await worker.scripts.report(bed.redis, [(claim, "work", 50.0, "")]) == 0
        assert bed.looking.hgetall(KEYS.progress) == {}
        assert "progress" not in bed.story("a")

    async def test_it_goes_with_the_job(self, bed: Bed) -> None:
        bed.put("a")
        worker = bed.worker("w")
        claim = await worker.claim_one()
        await worker.scripts.report(bed.redis, [(claim, "work", 50.0, "")])
        await worker.settle(finish(claim))
        assert bed.looking.hgetall(KEYS.progress) == {}


class TestWhatIsLeft:
    async def test_a_bare_queue_that_is_idle_has_nothing_that_stock_arq_would_not_leave(
        self, bed: Bed
    ) -> None:
        bed.put("done", "failed", "retried", "back")
        worker = bed.worker("w", service=False)
        done, failed, retried, back = await worker.claim(4)
        worker.renew()
        await worker.settle(finish(done), finish(failed, record=b""), again(retried, 0), interrupted(back))
        bed.looking.delete(KEYS.wake)
        await worker.settle(*(finish(claim) for claim in await worker.claim(2)))
        await worker.scripts.forget(bed.redis, 1)
        assert bed.all_keys() == {f"{RESULT}{job_id}" for job_id in ("done", "retried", "back")}

    async def test_what_serves_a_resend_goes_by_itself_where_a_worker_died(self, clocked: Bed) -> None:
        clocked.put("a")
        worker = clocked.worker("w", service=False)
        await worker.settle(finish(await worker.claim_one(), record=b""))
        clocked.advance(LEASE * 4 + 1)
        assert clocked.all_keys() == set()

    async def test_bare_there_are_no_events_and_a_letter_is_the_service_s(self, bed: Bed) -> None:
        bed.put("a", "b")
        worker = bed.worker("w", service=False)
        a, b = await worker.claim(2)
        await worker.settle(finish(a), again(b, 60))
        assert bed.looking.exists(EVENTS) == 0
        assert bed.looking.exists(KEYS.dead) == 0

    async def test_the_service_s_idle_queue_keeps_results_letters_and_events(self, bed: Bed) -> None:
        bed.put("done", "dead")
        worker = bed.worker("w")
        done, dead = await worker.claim(2)
        await worker.settle(finish(done), bury(dead))
        await worker.scripts.forget(bed.redis, 1)
        assert bed.all_keys() == {
            EVENTS,
            KEYS.stats,
            KEYS.dead,
            f"{KEYS.dead}:dead",
            f"{RESULT}done",
            f"{RESULT}dead",
        }


class TestServers:
    async def test_a_server_that_has_forgotten_the_scripts_is_told_them_again(self, bed: Bed) -> None:
        bed.put("a")
        worker = bed.worker("w")
        bed.looking.script_flush()
        claim = await worker.claim_one()
        bed.looking.script_flush()
        assert worker.renew() == []
        bed.looking.script_flush()
        assert await worker.settle(finish(claim)) == [True]

    @pytest.mark.parametrize("settle", [finish, bury, interrupted], ids=["finished", "dead", "again"])
    async def test_a_full_server_takes_settlements_and_gives_claims(
        self, real: Bed, settle: Callable[[Claim], Settlement]
    ) -> None:
        real.put("a", "b", "c")
        worker = real.worker("w")
        claim = await worker.claim_one()
        with real.full():
            assert await worker.claim_ids(1) == ["b"]
            assert await worker.settle(settle(claim)) == [True]
            assert real.looking.zscore(KEYS.active, "a") is None
            # Also where the reply to a step was lost.
            await worker.step(1, [settle(claim)], seq=worker.last, resend=True)
        assert worker.renew() == []

    @pytest.mark.parametrize("service", [True, False], ids=["service", "bare"])
    async def test_a_full_server_gives_claims_and_then_has_few_events(self, real: Bed, service: bool) -> None:
        for _ in range(5000):
            real.looking.xadd(EVENTS, {"type": "old"})
        real.put("a", "b")
        worker = real.worker("w", service=service)
        with real.full():
            assert await worker.claim_ids(1) == ["a"]
            assert await worker.claim_ids(1) == ["b"]
        assert real.looking.xlen(EVENTS) < 1200 or not service

    async def test_a_full_server_takes_cancels_and_wake_tokens_and_has_a_watcher(self, real: Bed) -> None:
        worker, _ = await real.claimed("a")
        real.put("b")
        real.looking.delete(KEYS.wake)
        with real.full():
            assert await real.cancel("a") == "requested"
            assert await worker.scripts.watch(real.redis, 10)
            assert await worker.scripts.nudge(real.redis, 1) == 0
            assert real.looking.llen(KEYS.wake) == 1
            assert await real.cancel("b") == "cancelled"
            with pytest.raises(OutOfMemoryError):
                await real.enqueue("c")

    async def test_a_full_server_renews_leases(self, real: Bed) -> None:
        worker, (claim,) = await real.claimed("a")
        with real.full():
            assert worker.renew() == []
        assert await worker.settle(finish(claim)) == [True]


async def test_a_counter_that_a_client_set_is_counted_on_from(bed: Bed) -> None:
    bed.put("a")
    bed.looking.set(f"{RETRY}a", 2)
    assert (await bed.worker("w").claim_one()).attempt == 3
