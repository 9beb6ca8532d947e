"""Due jobs whose names a worker does not know are put off where they lie, and hold up no other."""

import pytest

from rota.wire import envelopes
from tests.unit.wire.lua.beds import Bed, unknown
from tests.unit.wire.lua.limited import rated

#: `Bed.put` queues jobs of this name.
STRANGE = ("work",)
KNOWN = envelopes.encode_job("known", b"{}", enqueued_ms=1_700_000_000_000)
GRACE_MS, DELAY_MS, TURN_MS = 86_400_000, 5_000, 3_500


@pytest.mark.parametrize("stock", [False, True])
async def test_a_known_job_behind_many_strangers_is_claimed_in_one_step(bed: Bed, stock: bool) -> None:
    strangers = [f"stranger-{number}" for number in range(200)]
    bed.put(*strangers, stock=stock)
    await bed.enqueue("known", payload=KNOWN)
    worker = bed.worker("w")
    reply = await worker.step(2, strangers=STRANGE)
    assert [claim.id for claim in reply.claims] == ["known"]
    assert not reply.left
    for job_id in strangers:
        assert (bed.score(job_id) or 0) >= bed.now + DELAY_MS - 1000
        assert (bed.entry(job_id) or [])[0] == "-w"
        assert bed.attempts(job_id) == 0
    assert await bed.worker("other").claim_ids() == []


async def test_of_very_many_some_are_left_for_the_next_step(clocked: Bed) -> None:
    clocked.put(*(f"stranger-{number}" for number in range(400)), due=clocked.now - 5000)
    await clocked.enqueue("known", payload=KNOWN)
    worker = clocked.worker("w")
    first = await worker.step(1, strangers=STRANGE)
    assert (first.left, first.claims) == (True, [])
    assert [claim.id for claim in (await worker.step(1, strangers=STRANGE)).claims] == ["known"]


async def test_a_worker_that_knows_them_claims_them(clocked: Bed) -> None:
    clocked.put("a", "b")
    await clocked.worker("w").step(2, strangers=STRANGE)
    clocked.advance(DELAY_MS / 1000)
    assert await clocked.worker("knows").claim_ids() == ["a", "b"]


async def test_in_the_turn_of_the_others_a_hundred_of_them_stay_where_these_find_them(clocked: Bed) -> None:
    clocked.put(*(f"stranger-{number:03}" for number in range(150)))
    worker = clocked.worker("w")
    await worker.step(1, strangers=STRANGE)
    clocked.advance(DELAY_MS / 1000)
    await worker.step(1, strangers=STRANGE)
    due = [number for number in range(150) if (clocked.score(f"stranger-{number:03}") or 0) <= clocked.now]
    assert len(due) == 100
    clocked.advance(TURN_MS / 1000)
    await worker.step(1, strangers=STRANGE)
    assert all((clocked.score(f"stranger-{number:03}") or 0) > clocked.now for number in range(150))


async def test_what_must_end_or_waits_in_a_line_of_limits_is_claimed(clocked: Bed) -> None:
    clocked.put("cancelled")
    clocked.ask_to_abort("cancelled")
    await clocked.enqueue(
        "limited", payload=envelopes.encode_job("work", b"{}", enqueued_ms=1), terms=rated()
    )
    reply = await clocked.worker("w").step(5, strangers=STRANGE)
    assert {claim.id for claim in reply.claims} == {"cancelled", "limited"}


async def test_after_the_grace_they_are_claimed(clocked: Bed) -> None:
    clocked.put("a")
    worker = clocked.worker("w")
    await worker.step(1, strangers=STRANGE)
    since = int((clocked.entry("a") or [])[4])
    clocked.looking.hset("arq:queue:q:runs", "a", f"-w 0 0 0 {since - GRACE_MS - 1}")
    clocked.looking.zadd("arq:queue:q", {"a": clocked.now})
    assert [claim.id for claim in (await worker.step(1, strangers=STRANGE)).claims] == ["a"]


async def test_a_priority_is_kept(clocked: Bed) -> None:
    strange = envelopes.encode_job("work", b"{}", enqueued_ms=1)
    await clocked.enqueue("urgent", payload=strange, terms="p=9")
    await clocked.enqueue("known", payload=KNOWN, terms="p=1")
    worker = clocked.worker("w")
    reply = await worker.step(1, strangers=STRANGE)
    assert [claim.id for claim in reply.claims] == ["known"]
    clocked.advance(DELAY_MS / 1000)
    await clocked.enqueue("later", payload=KNOWN, terms="p=1")
    assert await clocked.worker("knows").claim_ids(1) == ["urgent"]


@pytest.mark.parametrize(
    ("seconds", "delay_ms"), [(0, 5000), (49, 5000), (80, 8000), (99, 9900), (5000, 60_000)]
)
async def test_the_longer_a_job_is_unknown_the_longer_it_is_left_alone(
    clocked: Bed, seconds: int, delay_ms: int
) -> None:
    worker, claims = await clocked.claimed("claimed")
    since = clocked.now - 1000 * seconds if seconds else 0
    token = claims[0].token
    clocked.looking.hset("arq:queue:q:runs", "claimed", f"{token} {clocked.now} {clocked.now} 0 {since}")
    assert await worker.settle(unknown(claims[0], 5.0)) == [True]
    assert clocked.score("claimed") == clocked.now + delay_ms
    clocked.put("put off")
    clocked.looking.hset("arq:queue:q:runs", "put off", f"- 0 0 0 {since}")
    await worker.step(1, strangers=STRANGE)
    assert clocked.score("put off") == clocked.now + delay_ms


async def test_a_full_redis_lets_them_be_put_off(real: Bed) -> None:
    real.put("stranger")
    await real.enqueue("known", payload=KNOWN)
    worker = real.worker("w")
    with real.full():
        reply = await worker.step(1, strangers=STRANGE)
    assert [claim.id for claim in reply.claims] == ["known"]
    assert (real.score("stranger") or 0) > real.now


async def test_a_worker_that_knows_all_does_not_look_at_payloads(real: Bed) -> None:
    real.put(*(f"job-{number}" for number in range(10)))
    await real.worker("w").claim(10)
    assert real.commands()["getrange"] == 0
