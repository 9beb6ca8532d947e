"""Limits: how many start in a time, how many of a key run at once, and in which order the others wait."""

import os
import random
from collections import defaultdict

import pytest

from rota.model.policies.limits import at_most, per_second
from rota.wire.claims import SettlementKind
from rota.wire.keys import ABORT, QueueKeys
from tests.unit.wire.lua.beds import KEYS, LEASE, Bed, again, bury, finish
from tests.unit.wire.lua.limited import lines, rated, slotted

OTHER = QueueKeys.of("arq:queue:other")


class TestRates:
    async def test_one_starts_and_the_others_wait_for_their_turn_in_order(self, clocked: Bed) -> None:
        await clocked.enqueue("a", "b", "c", terms=rated())
        worker = clocked.worker("w")
        assert await worker.claim_ids() == ["a"]
        reply = await worker.step(10)
        assert reply.claims == []
        assert reply.upcoming == pytest.approx(1.0, abs=0.011)
        for job_id in ("b", "c"):
            clocked.advance(1.01)
            assert await worker.claim_ids() == [job_id]

    async def test_while_it_waits_no_attempt_is_spent_and_no_slot_held(self, clocked: Bed) -> None:
        await clocked.enqueue("a", "b", terms=rated())
        worker = clocked.worker("w")
        await worker.claim(10)
        assert (clocked.attempts("b"), clocked.entry("b"), clocked.held("b")) == (0, None, None)

    async def test_a_job_that_waited_remembers_when_it_was_due(self, clocked: Bed) -> None:
        await clocked.enqueue("a", "b", terms=rated())
        due = clocked.now
        worker = clocked.worker("w")
        await worker.claim(10)
        clocked.advance(1.5)
        (claim,) = await worker.claim(10)
        assert (claim.due_ms, claim.started_ms) == (due, due + 1500)

    async def test_keys_do_not_wait_for_each_other(self, clocked: Bed) -> None:
        for key in "xyz":
            await clocked.enqueue(f"{key}1", f"{key}2", terms=rated(key))
        assert await clocked.worker("w").claim_ids() == ["x1", "y1", "z1"]

    async def test_after_a_pause_as_many_start_at_once_as_the_burst_says(self, clocked: Bed) -> None:
        limit = per_second(10, burst=3)
        await clocked.enqueue(*"abcde", terms=rated(limit=limit))
        worker = clocked.worker("w")
        assert await worker.claim_ids() == ["a", "b", "c"]
        clocked.advance(0.101)
        assert await worker.claim_ids() == ["d"]

    async def test_a_queue_that_nobody_served_catches_up_in_order_and_at_the_rate(self, clocked: Bed) -> None:
        await clocked.enqueue(*(f"{number:02}" for number in range(30)), terms=rated())
        clocked.advance(600)
        worker, started = clocked.worker("w"), []
        for _ in range(30):
            started.append(await worker.claim_ids())
            clocked.advance(1.01)
        assert started == [[f"{number:02}"] for number in range(30)]

    async def test_what_stock_clients_enqueued_is_sent_to_wait_by_its_worker(self, clocked: Bed) -> None:
        clocked.put("a", "b")
        worker = clocked.worker("w")
        claims = await worker.claim(10)
        assert [claim.terms for claim in claims] == ["", ""]
        back = [again(claim, -0.001, unspent=True, event="", terms=rated()) for claim in claims]
        assert await worker.settle(*back) == [True, True]
        assert [(claim.id, claim.attempt, claim.terms) for claim in await worker.claim(10)] == [
            ("a", 1, rated())
        ]
        assert clocked.attempts("b") == 0

    async def test_a_changed_limit_holds_for_those_that_wait_already(self, clocked: Bed) -> None:
        await clocked.enqueue(*"abcdef", terms=rated())
        clocked.looking.set("rota:limit:r", per_second(4).figures)
        worker = clocked.worker("w")
        await worker.claim(10)
        clocked.advance(0.26)
        assert await worker.claim_ids() == ["b"]

    async def test_a_cancelled_job_leaves_its_turn_to_the_next(self, clocked: Bed) -> None:
        await clocked.enqueue(*"abcd", terms=rated())
        worker = clocked.worker("w")
        await worker.claim(10)
        assert [await clocked.cancel("b"), await clocked.cancel("c")] == ["cancelled", "cancelled"]
        clocked.advance(1.01)
        assert await worker.claim_ids() == ["d"]

    async def test_a_job_that_is_to_be_cancelled_needs_no_turn(self, clocked: Bed) -> None:
        await clocked.enqueue(*"abc", terms=rated())
        worker = clocked.worker("w")
        await worker.claim(10)
        # As stock Job.abort() does.
        clocked.looking.zadd(ABORT, {"b": clocked.now})
        clocked.looking.zadd(KEYS.queue, {"b": 1})
        (claim,) = await worker.claim(10)
        assert (claim.id, claim.aborted) == ("b", True)
        clocked.advance(1.01)
        assert await worker.claim_ids() == ["c"]

    async def test_a_clock_that_was_set_back_does_not_close_a_limit(self, clocked: Bed) -> None:
        await clocked.enqueue("a", terms=rated())
        clocked.looking.set("rota:limit:r:*", (clocked.now + 86_400_000) * 1000)
        assert await clocked.worker("w").claim_ids() == ["a"]

    async def test_nothing_is_left_behind(self, clocked: Bed) -> None:
        await clocked.enqueue(*"abc", terms=f"p=3 {rated()} {slotted()}")
        worker = clocked.worker("w")
        for _ in range(3):
            for claim in await worker.claim(10):
                await worker.settle(finish(claim))
            clocked.advance(1.01)
        assert await worker.claim(10) == []
        assert lines(clocked) == []


class TestQueueRate:
    async def test_it_counts_every_job_whatever_its_terms(self, clocked: Bed) -> None:
        clocked.put("a", "b")
        await clocked.enqueue("c", terms="p=1")
        worker = clocked.worker("w", rate=per_second(1))
        assert await worker.claim_ids() == ["c"]
        reply = await worker.step(10)
        assert (reply.claims, reply.left) == ([], False)
        assert reply.upcoming == pytest.approx(1.0, abs=0.011)
        clocked.advance(1.01)
        assert await worker.claim_ids() == ["a"]

    async def test_of_many_that_are_kept_back_one_waits_for_the_next_turn(self, clocked: Bed) -> None:
        clocked.put("a", "b", "c")
        workers = [clocked.worker(name, rate=per_second(1)) for name in "uvw"]
        await workers[0].claim(10)
        waits = [(await worker.step(10)).upcoming is not None for worker in workers]
        assert waits == [True, False, False]

    async def test_one_without_a_free_slot_lets_another_wait(self, clocked: Bed) -> None:
        clocked.put("a", "b", "c")
        first, second = (clocked.worker(name, rate=per_second(1)) for name in "uv")
        await first.step(10)
        clocked.advance(1.01)
        clocked.looking.delete(KEYS.wake)
        assert await first.claim_ids(1) == ["b"]
        assert clocked.looking.llen(KEYS.wake) == 1
        assert (await second.step(10)).upcoming is not None


class TestSlots:
    async def test_the_next_starts_when_one_ends(self, bed: Bed) -> None:
        await bed.enqueue(*"abcd", terms=slotted(most=2))
        worker = bed.worker("w")
        first = await worker.claim(10)
        assert [claim.id for claim in first] == ["a", "b"]
        assert await worker.claim_ids() == []
        reply = await worker.step(10, [finish(first[0])])
        assert [claim.id for claim in reply.claims] == ["c"]

    async def test_keys_do_not_wait_for_each_other(self, bed: Bed) -> None:
        for key in "xyz":
            await bed.enqueue(f"{key}1", f"{key}2", terms=slotted(key))
        assert await bed.worker("w").claim_ids() == ["x1", "y1", "z1"]

    @pytest.mark.parametrize("ending", ["retried", "lost", "handed back"])
    async def test_a_slot_is_free_again_however_its_job_ended(self, clocked: Bed, ending: str) -> None:
        await clocked.enqueue("a", "b", terms=slotted())
        worker = clocked.worker("w")
        (claim,) = await worker.claim(10)
        if ending == "lost":
            await clocked.pass_time(LEASE + 1)
        elif ending == "retried":
            await worker.settle(again(claim, 60))
        else:
            await worker.settle(again(claim, -0.001, unspent=True))
        assert await clocked.worker("v").claim_ids() == (["b"] if ending == "retried" else ["a"])

    async def test_another_worker_is_told(self, bed: Bed) -> None:
        await bed.enqueue("a", "b", terms=slotted())
        worker = bed.worker("w")
        (claim,) = await worker.claim(10)
        bed.looking.delete(KEYS.wake)
        await worker.settle(finish(claim))
        assert bed.looking.llen(KEYS.wake) == 1

    async def test_jobs_of_other_queues_may_share_them(self, bed: Bed) -> None:
        await bed.enqueue("a", terms=slotted())
        await bed.enqueue("b", terms=slotted(), keys=OTHER)
        here, there = bed.worker("w"), bed.worker("v", keys=OTHER)
        (claim,) = await here.claim(10)
        assert await there.claim_ids() == []
        bed.looking.delete(OTHER.wake)
        await here.settle(finish(claim))
        assert bed.looking.llen(OTHER.wake) == 1
        assert await there.claim_ids() == ["b"]

    async def test_what_was_deleted_by_hand_holds_no_slot_for_ever(self, bed: Bed) -> None:
        await bed.enqueue("a", "b", terms=slotted())
        worker = bed.worker("w")
        await worker.claim(1)
        bed.looking.delete(KEYS.runs, KEYS.active)
        bed.looking.zrem(KEYS.queue, "a")
        bed.looking.zadd(KEYS.queue, {"b": bed.now})
        assert await worker.claim_ids() == ["b"]

    async def test_who_waits_for_a_token_keeps_nobody_from_a_slot(self, clocked: Bed) -> None:
        both = f"{rated('slow', per_second(1))} {slotted()}"
        await clocked.enqueue("a", "b", terms=both)
        await clocked.enqueue("c", terms=slotted())
        worker = clocked.worker("w")
        (claim,) = await worker.claim(10)
        reply = await worker.step(10, [finish(claim)])
        assert [claim.id for claim in reply.claims] == ["c"]

    async def test_a_dead_letter_comes_back_with_its_terms(self, bed: Bed) -> None:
        await bed.enqueue("a", "b", terms=slotted())
        worker = bed.worker("w")
        (claim,) = await worker.claim(10)
        (second,) = (await worker.step(10, [bury(claim)])).claims
        assert await bed.replay("a") == ["replayed"]
        assert await worker.claim_ids() == []
        assert [one.id for one in (await worker.step(10, [finish(second)])).claims] == ["a"]


@pytest.mark.parametrize("limit", [rated("ann"), slotted("ann")], ids=["rate", "slots"])
async def test_ten_thousand_that_wait_for_one_key_cost_the_others_nothing(real: Bed, limit: str) -> None:
    worker, costs = real.worker("w"), []
    await real.enqueue("first", terms=limit)
    await worker.claim(1)
    for crowd in (0, 10_000):
        for start in range(0, crowd, 500):
            await real.enqueue(*(f"waits{number}" for number in range(start, start + 500)), terms=limit)
        before = real.commands()
        for start in range(0, 500, 50):
            names = [f"{crowd}-{number}" for number in range(start, start + 50)]
            await real.enqueue(*names, terms=limit.replace("ann", "bob") if start == 0 else "")
            await worker.step(50, [finish(claim) for claim in worker.held.values() if claim.id != "first"])
        costs.append((real.commands() - before).total())
    assert costs[1] <= costs[0] * 1.2


@pytest.mark.parametrize("seed", range(int(os.environ.get("FUZZ_EXAMPLES", "0")) // 20 + 2))
async def test_whatever_happens_the_limits_hold_and_everything_ends(clocked: Bed, seed: int) -> None:
    """Run jobs of three keys under a rate and slots, with workers that claim, finish, retry and die at random."""
    chance = random.Random(seed)
    rate, slots, keys = per_second(5), at_most(2), "xyz"
    terms = {f"{key}{number}": key for key in keys for number in range(25)}
    for job_id, key in terms.items():
        limits = f"p={chance.randrange(1, 4)} {rated(key, rate)} {slotted(key, slots.most)}"
        await clocked.enqueue(job_id, terms=limits, delay=chance.choice([0, 0, 0.5, 3]))
    starts: dict[str, list[int]] = defaultdict(list)
    workers = [clocked.worker(f"w{number}") for number in range(3)]
    done: set[str] = set()
    for _ in range(3000):
        worker = chance.choice(workers)
        settlements = []
        for claim in list(worker.held.values()):
            fate = chance.random()
            if fate < 0.3:
                settlements.append(finish(claim))
            elif fate < 0.4:
                settlements.append(again(claim, chance.choice([0, 1])))
        reply = await worker.step(chance.choice([0, 1, 10]), settlements)
        done.update(
            one.id
            for one, counted in zip(settlements, reply.answers, strict=True)
            if counted and one.kind is SettlementKind.FINISHED
        )
        for claim in reply.claims:
            starts[terms[claim.id]].append(reply.now_ms)
        running: dict[str, int] = defaultdict(int)
        for member in clocked.looking.zrange(KEYS.active, 0, -1):
            running[terms[member.decode()]] += 1
        assert all(running[key] <= slots.most for key in keys)
        if chance.random() < 0.01:
            worker.held.clear()  # killed
            await clocked.pass_time(LEASE + 1, *(one for one in workers if one is not worker))
        clocked.advance(chance.choice([0.001, 0.05, 0.3]))
        if len(done) == len(terms):
            break
    assert done == set(terms)
    for times in starts.values():
        for first, sixth in zip(times, times[rate.most :], strict=False):
            assert sixth - first >= 1000
    assert lines(clocked) == []
