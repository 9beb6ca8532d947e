"""Rescheduling: a job that waits gets another time, and nothing else of it changes."""

import pytest

from rota.wire.claims import encode_id
from rota.wire.keys import JOB
from rota.wire.scripts import RESCHEDULE
from tests.unit.wire.lua.beds import EVENTS, KEYS, Bed, again, finish
from tests.unit.wire.lua.limited import lines, slotted


async def reschedule(bed: Bed, job_id: str, *, due_ms: int = -1, delay: float = 0.0) -> str:
    args = ("q", 1000, encode_id(job_id), due_ms, round(delay * 1000), "work")
    answer: bytes = await RESCHEDULE(bed.redis, (KEYS.queue, EVENTS), args)
    return answer.decode()


async def test_a_delayed_job_is_due_at_once_and_a_worker_is_woken(clocked: Bed) -> None:
    await clocked.enqueue("a", delay=60.0)
    clocked.looking.delete(KEYS.wake)
    assert await reschedule(clocked, "a") == "rescheduled"
    assert clocked.tokens() == 1
    assert await clocked.worker("w").claim_ids() == ["a"]
    assert [(one["type"], one.get("reason")) for one in clocked.events("a")][:2] == [
        ("enqueued", None),
        ("enqueued", "rescheduled"),
    ]


async def test_a_waiting_job_is_put_off(clocked: Bed) -> None:
    await clocked.enqueue("a", "b")
    assert await reschedule(clocked, "a", delay=60.0) == "rescheduled"
    assert await reschedule(clocked, "b", due_ms=clocked.now + 30_000) == "rescheduled"
    worker = clocked.worker("w")
    assert await worker.claim_ids() == []
    clocked.advance(30.1)
    assert await worker.claim_ids() == ["b"]
    clocked.advance(30.0)
    assert await worker.claim_ids() == ["a"]


async def test_one_in_its_back_off_keeps_its_attempts(clocked: Bed) -> None:
    worker, (claim,) = await clocked.claimed("a")
    await worker.settle(again(claim, 60.0))
    assert await reschedule(clocked, "a") == "rescheduled"
    assert (await worker.claim_one()).attempt == 2


async def test_a_running_job_and_an_absent_one_are_left_alone(bed: Bed) -> None:
    worker, (claim,) = await bed.claimed("a")
    score = bed.score("a")
    assert await reschedule(bed, "a", delay=5.0) == "running"
    assert bed.score("a") == score
    await worker.settle(finish(claim))
    assert await reschedule(bed, "a") == "absent"
    bed.put("stock", stock=True)
    bed.hold_as_stock_does("stock")
    assert await reschedule(bed, "stock") == "running"


async def test_a_priority_goes_with_it(clocked: Bed) -> None:
    await clocked.enqueue("low")
    await clocked.enqueue("high", delay=60.0, terms="p=5")
    assert await reschedule(clocked, "high") == "rescheduled"
    assert await clocked.worker("w").claim_ids(1) == ["high"]


async def test_one_that_waits_for_a_slot_leaves_its_line(clocked: Bed) -> None:
    await clocked.enqueue("a", "b", "c", terms=slotted())
    worker = clocked.worker("w")
    (claim,) = await worker.claim(10)
    assert await reschedule(clocked, "b", delay=60.0) == "rescheduled"
    reply = await worker.step(10, [finish(claim)])
    assert [one.id for one in reply.claims] == ["c"]
    await worker.settle(finish(reply.claims[0]))
    clocked.advance(60.1)
    (claim,) = await worker.claim(10)
    assert claim.id == "b"
    await worker.settle(finish(claim))
    assert lines(clocked) == []


async def test_a_stock_client_s_payload_does_not_expire_before(clocked: Bed) -> None:
    clocked.put("a", stock=True, life=1000)
    assert await reschedule(clocked, "a", delay=60.0) == "rescheduled"
    assert clocked.looking.pttl(JOB + "a") == -1


async def test_a_full_redis_allows_it(real: Bed) -> None:
    await real.enqueue("a", delay=60.0)
    with real.full():
        assert await reschedule(real, "a") == "rescheduled"


@pytest.mark.parametrize("times", [1, 3])
async def test_it_may_be_done_again_and_again(clocked: Bed, times: int) -> None:
    await clocked.enqueue("a", terms="p=3")
    for number in range(times):
        assert await reschedule(clocked, "a", delay=float(number)) == "rescheduled"
    clocked.advance(10)
    assert await clocked.worker("w").claim_ids() == ["a"]
