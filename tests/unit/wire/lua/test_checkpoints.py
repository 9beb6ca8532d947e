"""Checkpoints: however an attempt ends, the next gets the newest that was saved, and never an older one.

An attempt that saves goes through these steps: claimed, (written)*, settled, claimed again. A worker may be killed, and
a request or a reply may be lost, between any two of them.
"""

from collections.abc import Callable

import pytest

from rota.wire.claims import Checkpoint, Claim, Settlement
from rota.wire.keys import RETRY
from tests.unit.wire.lua.beds import KEYS, LEASE, Bed, Worker, again, bury, finish, interrupted, unknown


async def keep(worker: Worker, claim: Claim, number: int) -> int:
    """Write a claim's checkpoint, as the pulse does, and return how many counted."""
    return await worker.scripts.keep(worker.bed.redis, [(claim, state(number))])


def state(number: int) -> Checkpoint:
    return Checkpoint(number, b'{"line":%d}' % number)


def kept(bed: Bed, job_id: str = "a") -> Checkpoint | None:
    raw = bed.looking.hget(KEYS.checkpoint, job_id)
    return None if raw is None else Checkpoint.read(raw)


def riding(settlement: Settlement, number: int) -> Settlement:
    """Return the settlement with a checkpoint that was not written before."""
    return settlement._replace(checkpoint=state(number).wire())


async def started(bed: Bed, *, saved: int = 0) -> tuple[Worker, Claim]:
    """Return a worker and its claim, which has saved the checkpoint `saved` unless that is 0."""
    await bed.enqueue("a")
    worker = bed.worker("w")
    claim = await worker.claim_one()
    assert claim.checkpoint is None
    if saved:
        assert await keep(worker, claim, saved) == 1
    return worker, claim


class TestGivenBack:
    @pytest.mark.parametrize(
        "settle",
        [
            lambda claim: again(claim, 0),
            lambda claim: again(claim, 0, unspent=True, event="snoozed"),
            interrupted,
            lambda claim: unknown(claim, 0),
        ],
        ids=["retried", "snoozed", "interrupted", "unknown"],
    )
    async def test_what_was_written_is_there_after_every_end_that_is_none(
        self, bed: Bed, settle: Callable[[Claim], Settlement]
    ) -> None:
        worker, claim = await started(bed, saved=3)
        await worker.settle(settle(claim))
        assert kept(bed) == state(3)
        other = bed.worker("v")
        assert (await other.claim_one()).checkpoint == state(3).wire()
        assert kept(bed) == state(3), "it stays until the job is over"

    async def test_what_rides_in_the_settlement_is_newer_than_what_was_written(self, bed: Bed) -> None:
        worker, claim = await started(bed, saved=3)
        await worker.settle(riding(again(claim, 0), 4))
        assert (await worker.claim_one()).checkpoint == state(4).wire()

    async def test_so_is_the_first_one_of_a_queue(self, bed: Bed) -> None:
        worker, claim = await started(bed)
        reply = await worker.step(1, [riding(again(claim, 0), 1)])
        assert [claim.checkpoint for claim in reply.claims] == [state(1).wire()]

    async def test_each_job_has_its_own(self, bed: Bed) -> None:
        bed.put("a", "b", "c", "d")
        worker = bed.worker("w")
        claims = await worker.claim(4)
        a, b, c, d = claims
        await worker.scripts.keep(bed.redis, [(a, state(1)), (d, state(5))])
        await worker.settle(again(a, 0), riding(again(b, 0), 2), again(c, 0), riding(again(d, 0), 6))
        found = {claim.id: claim.checkpoint for claim in await worker.claim(4)}
        assert found == {"a": b'1 {"line":1}', "b": b'2 {"line":2}', "c": None, "d": b'6 {"line":6}'}

    async def test_after_a_crash_what_was_written_by_then(self, clocked: Bed) -> None:
        await started(clocked, saved=3)
        await clocked.pass_time(LEASE + 1)
        claim = await clocked.worker("v").claim_one()
        assert (claim.lost, claim.checkpoint) == (1, state(3).wire())

    async def test_after_a_crash_that_came_before_the_next_one_saved_anything(self, clocked: Bed) -> None:
        await started(clocked, saved=3)
        for name in ("v", "u"):
            await clocked.pass_time(LEASE + 1)
            claim = await clocked.worker(name).claim_one()
            assert claim.checkpoint == state(3).wire()

    async def test_a_claim_whose_reply_was_lost_has_it_when_it_is_handed_over_again(self, bed: Bed) -> None:
        worker, claim = await started(bed, saved=3)
        await worker.settle(again(claim, 0))
        first = await worker.step(1)
        resent = await worker.step(1, seq=worker.last, resend=True)
        assert first.claims == resent.claims
        assert [claim.checkpoint for claim in resent.claims] == [state(3).wire()]

    async def test_a_settlement_that_is_sent_again_changes_nothing_more(self, bed: Bed) -> None:
        worker, claim = await started(bed)
        settlement = riding(again(claim, 0), 1)
        await worker.step(0, [settlement])
        seq = worker.last
        second = await bed.worker("v").claim_one()
        assert await keep(bed.worker("v"), second, 2) == 1
        await worker.step(0, [settlement], seq=seq, resend=True)
        assert kept(bed) == state(2)


class TestTheNewestWins:
    async def test_what_is_sent_before_and_arrives_after_changes_nothing(self, bed: Bed) -> None:
        worker, claim = await started(bed, saved=10)
        assert await keep(worker, claim, 9) == 0
        assert await keep(worker, claim, 10) == 0
        assert kept(bed) == state(10)
        assert await keep(worker, claim, 11) == 1

    async def test_nobody_but_the_holder_is_heard(self, bed: Bed) -> None:
        worker, claim = await started(bed, saved=1)
        assert await keep(worker, claim._replace(token="v:0:1:1"), 2) == 0
        assert await keep(worker, claim._replace(id="b"), 2) == 0
        assert kept(bed) == state(1)
        assert kept(bed, "b") is None

    @pytest.mark.parametrize("settle", [lambda claim: again(claim, 0), interrupted, finish, bury])
    async def test_what_arrives_after_its_settlement_changes_nothing(
        self, bed: Bed, settle: Callable[[Claim], Settlement]
    ) -> None:
        worker, claim = await started(bed, saved=1)
        await worker.settle(settle(claim))
        before = kept(bed)
        assert await keep(worker, claim, 2) == 0
        assert kept(bed) == before

    async def test_a_claim_that_was_lost_is_not_heard_while_another_runs(self, clocked: Bed) -> None:
        worker, lost = await started(clocked, saved=1)
        await clocked.pass_time(LEASE + 1)
        survivor = clocked.worker("v")
        claim = await survivor.claim_one()
        assert await keep(worker, lost, 5) == 0
        assert await worker.settle(riding(again(lost, 0), 5)) == [False]
        assert await worker.settle(riding(bury(lost), 5)) == [False]
        assert kept(clocked) == state(1)
        assert await keep(survivor, claim, 2) == 1

    async def test_nor_while_the_job_waits_for_its_next_claim(self, clocked: Bed) -> None:
        worker, lost = await started(clocked, saved=1)
        clocked.put("b")
        await clocked.pass_time(LEASE + 1)
        await clocked.worker("v").step(1)
        assert await keep(worker, lost, 5) == 0

    async def test_one_that_nobody_can_read_is_replaced(self, bed: Bed) -> None:
        worker, claim = await started(bed)
        bed.looking.hset(KEYS.checkpoint, "a", b"junk")
        assert await keep(worker, claim, 1) == 1
        assert kept(bed) == state(1)


class TestWhatIsLeft:
    async def test_nothing_of_a_job_that_is_completed_or_cancelled(self, bed: Bed) -> None:
        bed.put("a", "b", "c")
        worker = bed.worker("w")
        claims = await worker.claim(3)
        await worker.scripts.keep(bed.redis, [(claim, state(1)) for claim in claims])
        a, b, c = claims
        await worker.settle(finish(a), finish(b, event="cancelled"), again(c, 60))
        assert await bed.cancel("c") == "cancelled"
        assert bed.looking.exists(KEYS.checkpoint) == 0

    async def test_nothing_of_one_that_somebody_took_off_its_queue(self, bed: Bed) -> None:
        worker, claim = await started(bed, saved=1)
        bed.looking.zrem(KEYS.queue, "a")
        await worker.settle(riding(again(claim, 0), 2))
        assert bed.looking.exists(KEYS.checkpoint) == 0

    async def test_nor_of_one_that_a_stock_worker_took_over_and_finished(self, clocked: Bed) -> None:
        await started(clocked, saved=1)
        clocked.finish_as_stock_does("a")
        clocked.put("b")
        await clocked.pass_time(LEASE + 1)
        await clocked.worker("v").step(1)
        assert clocked.looking.exists(KEYS.checkpoint) == 0

    async def test_a_new_job_of_the_same_id_begins_anew(self, bed: Bed) -> None:
        worker, claim = await started(bed, saved=1)
        await worker.settle(finish(claim))
        await bed.enqueue("a")
        assert (await worker.claim_one()).checkpoint is None

    async def test_even_if_a_stock_worker_left_the_old_one_s_behind(self, bed: Bed) -> None:
        worker, claim = await started(bed, saved=7)
        await worker.settle(again(claim, 0))
        bed.finish_as_stock_does("a")
        await bed.enqueue("a")
        claim = await worker.claim_one()
        assert claim.checkpoint is None
        assert bed.looking.exists(KEYS.checkpoint) == 0
        assert await keep(worker, claim, 1) == 1

    async def test_one_that_takes_the_place_of_a_waiting_job_begins_anew(self, bed: Bed) -> None:
        worker, claim = await started(bed, saved=7)
        await worker.settle(again(claim, 0))
        assert await bed.enqueue("a", payload=b"new", taken="replace") == [2]
        claim = await worker.claim_one()
        assert (claim.payload, claim.checkpoint) == (b"new", None)
        assert await keep(worker, claim, 1) == 1

    async def test_bare_workers_neither_look_nor_write(self, bed: Bed) -> None:
        await bed.enqueue("a")
        bed.looking.hset(KEYS.checkpoint, "a", b"1 1")
        bed.looking.set(f"{RETRY}a", 1)
        worker = bed.worker("w", service=False)
        claim = await worker.claim_one()
        assert claim.checkpoint is None
        await worker.settle(finish(claim))
        assert bed.looking.hgetall(KEYS.checkpoint) == {b"a": b"1 1"}


class TestDeadLetters:
    async def test_a_letter_keeps_what_was_saved_and_the_queue_does_not(self, bed: Bed) -> None:
        worker, claim = await started(bed, saved=3)
        await worker.settle(bury(claim))
        assert bed.looking.hget(f"{KEYS.dead}:a", "checkpoint") == state(3).wire()
        assert bed.looking.exists(KEYS.checkpoint) == 0

    async def test_what_rides_in_the_settlement_is_what_it_keeps(self, bed: Bed) -> None:
        worker, claim = await started(bed, saved=3)
        await worker.settle(riding(bury(claim), 4))
        assert bed.looking.hget(f"{KEYS.dead}:a", "checkpoint") == state(4).wire()
        assert bed.looking.exists(KEYS.checkpoint) == 0

    async def test_brought_back_it_goes_on_from_there(self, bed: Bed) -> None:
        worker, claim = await started(bed)
        await worker.settle(riding(bury(claim), 4))
        assert await bed.replay("a") == ["replayed"]
        claim = await worker.claim_one()
        assert (claim.attempt, claim.checkpoint) == (1, state(4).wire())
        assert await keep(worker, claim, 5) == 1

    async def test_one_that_saved_nothing_has_nothing(self, bed: Bed) -> None:
        worker, claim = await started(bed)
        await worker.settle(bury(claim))
        assert not bed.looking.hexists(f"{KEYS.dead}:a", "checkpoint")
        await bed.replay("a")
        assert (await worker.claim_one()).checkpoint is None

    async def test_a_new_job_of_the_same_id_leaves_the_letter_s_alone(self, bed: Bed) -> None:
        worker, claim = await started(bed, saved=3)
        await worker.settle(bury(claim))
        await bed.enqueue("a")
        claim = await worker.claim_one()
        assert claim.checkpoint is None
        await worker.settle(finish(claim))
        assert bed.looking.hget(f"{KEYS.dead}:a", "checkpoint") == state(3).wire()


async def test_a_full_server_takes_checkpoints_and_reports(real: Bed) -> None:
    worker, claim = await started(real, saved=1)
    with real.full():
        assert await keep(worker, claim, 2) == 1
        assert kept(real) == state(2)
        assert await worker.scripts.report(real.redis, [(claim, "work", 50.0, "half")]) == 1
        assert await worker.settle(riding(again(claim, 0), 3)) == [True]
        assert kept(real) == state(3)
