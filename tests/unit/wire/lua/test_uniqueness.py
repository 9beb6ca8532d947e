"""Uniqueness: which job holds a key, for how long, and what becomes of jobs that are enqueued meanwhile."""

from typing import Any

import pytest

from rota.wire.keys import JOB, RETRY
from tests.unit.wire.lua.beds import KEYS, LEASE, Bed, again, bury, finish
from tests.unit.wire.lua.limited import lines, rated, slotted

KEY = "rota:unique:q:work:k"


def until(mode: str) -> dict[str, Any]:
    """Return the arguments of an enqueue that is unique until the job has started ("s") or finished ("f")."""
    return {"terms": f"u={KEY}|{mode}", "unique": f"{KEY} 0"}


async def test_while_one_holds_the_key_another_is_not_put(bed: Bed) -> None:
    assert await bed.enqueue("a", **until("f")) == [1]
    assert await bed.enqueue("b", **until("f")) == [0]
    assert bed.score("b") is None
    assert bed.looking.get(f"{JOB}b") is None
    assert bed.looking.get(KEY) == b"a"


@pytest.mark.parametrize("ending", ["finished", "dead", "cancelled"])
async def test_until_finished_means_however_it_ended(bed: Bed, ending: str) -> None:
    await bed.enqueue("a", **until("f"))
    worker = bed.worker("w")
    if ending == "cancelled":
        await bed.cancel("a")
    else:
        claim = await worker.claim_one()
        assert await bed.enqueue("b", **until("f")) == [0]
        await worker.settle(finish(claim, kind=ending))
    assert await bed.enqueue("b", **until("f")) == [1]


async def test_a_retry_does_not_let_go_of_the_key(bed: Bed) -> None:
    await bed.enqueue("a", **until("f"))
    worker = bed.worker("w")
    await worker.settle(again(await worker.claim_one(), 60))
    assert await bed.enqueue("b", **until("f")) == [0]


async def test_until_started_lets_the_next_one_in_while_it_runs(bed: Bed) -> None:
    await bed.enqueue("a", **until("s"))
    assert await bed.enqueue("b", **until("s")) == [0]
    worker = bed.worker("w")
    claim = await worker.claim_one()
    assert await bed.enqueue("b", **until("s")) == [1]
    await worker.settle(finish(claim))
    assert bed.looking.get(KEY) == b"b"


async def test_for_a_period_a_finished_job_holds_it_too(clocked: Bed) -> None:
    await clocked.enqueue("a", unique=f"{KEY} 10000")
    worker = clocked.worker("w")
    await worker.settle(finish(await worker.claim_one()))
    assert await clocked.enqueue("b", unique=f"{KEY} 10000") == [0]
    clocked.advance(10.1)
    assert await clocked.enqueue("b", unique=f"{KEY} 10000") == [1]


async def test_a_holder_that_was_deleted_by_hand_holds_nothing(bed: Bed) -> None:
    await bed.enqueue("a", **until("f"))
    bed.looking.zrem(KEYS.queue, "a")
    assert await bed.enqueue("b", **until("f")) == [1]


async def test_replacing_keeps_the_place_and_changes_the_rest(clocked: Bed) -> None:
    await clocked.enqueue("a", payload=b"old", **until("f"))
    place = clocked.score("a")
    clocked.advance(5)
    clocked.looking.set(f"{RETRY}a", 3)
    assert await clocked.enqueue("b", payload=b"new", taken="replace", **until("f")) == [2]
    assert (clocked.looking.get(f"{JOB}a"), clocked.score("a"), clocked.score("b")) == (b"new", place, None)
    assert clocked.attempts("a") == 0


async def test_a_job_that_runs_is_not_replaced(bed: Bed) -> None:
    await bed.enqueue("a", payload=b"old", **until("f"))
    await bed.worker("w").claim_one()
    assert await bed.enqueue("b", payload=b"new", taken="replace", **until("f")) == [0]
    assert bed.looking.get(f"{JOB}a") == b"old"


async def test_debouncing_starts_the_last_one_after_a_quiet_time(clocked: Bed) -> None:
    worker = clocked.worker("w")
    for number in range(5):
        payload = f"{number}".encode()
        answers = await clocked.enqueue(
            f"j{number}", payload=payload, delay=3, taken="debounce", **until("s")
        )
        assert answers == ([1] if number == 0 else [2])
        clocked.advance(2)
        assert await worker.claim() == []
    clocked.advance(1.1)
    claim = await worker.claim_one()
    assert (claim.id, claim.payload) == ("j0", b"4")
    assert await clocked.enqueue("next", delay=3, taken="debounce", **until("s")) == [1]


async def test_an_id_of_one_s_own_is_replaced_the_same_way(clocked: Bed) -> None:
    await clocked.enqueue("a", payload=b"old", delay=60)
    assert await clocked.enqueue("a", payload=b"new", taken="replace") == [2]
    assert clocked.score("a") == clocked.now + 60_000
    assert await clocked.enqueue("a", payload=b"newer", delay=5, taken="replace") == [2]
    assert (clocked.score("a"), clocked.looking.get(f"{JOB}a")) == (clocked.now + 5000, b"newer")


async def test_replacing_changes_the_limits_that_it_waits_for(clocked: Bed) -> None:
    await clocked.enqueue("x", terms=slotted("old"))
    worker = clocked.worker("w")
    assert await worker.claim_ids() == ["x"]
    await clocked.enqueue("a", terms=f"p=3 {slotted('old')}")
    await clocked.enqueue("a", terms=rated("new"), taken="replace")
    claims = await worker.claim(10)
    assert [(claim.id, claim.terms) for claim in claims] == [("a", rated("new"))]
    await worker.settle(*(finish(claim) for claim in worker.held.values()))
    await worker.claim()
    assert lines(clocked) == []


async def test_a_lost_job_holds_its_key_until_it_is_done(clocked: Bed) -> None:
    await clocked.enqueue("a", **until("f"))
    await clocked.worker("w").claim_one()
    await clocked.pass_time(LEASE + 1)
    assert await clocked.enqueue("b", **until("f")) == [0]
    worker = clocked.worker("v")
    await worker.settle(finish(await worker.claim_one()))
    assert clocked.looking.exists(KEY) == 0


async def with_a_letter(bed: Bed, mode: str) -> None:
    """Let job a die, and job b of the same key wait."""
    await bed.enqueue("a", payload=b"of a", **until(mode))
    worker = bed.worker("w")
    await worker.settle(bury(await worker.claim_one()))
    assert await bed.enqueue("b", payload=b"of b", **until(mode)) == [1]


@pytest.mark.parametrize(
    ("mode", "answer"),
    [("f", "existing b"), ("s", "existing b"), ("f|existing", "existing b"), ("f|refuse", "held b")],
)
async def test_a_letter_whose_key_another_job_has_stays_a_letter(bed: Bed, mode: str, answer: str) -> None:
    await with_a_letter(bed, mode)
    before = bed.everything()
    assert await bed.replay("a") == [answer]
    assert bed.everything() == before


@pytest.mark.parametrize("mode", ["f|replace", "s|debounce"])
async def test_a_letter_replaces_the_job_that_has_its_key_and_waits_if_that_is_the_rule(
    bed: Bed, mode: str
) -> None:
    await with_a_letter(bed, mode)
    place = bed.score("b")
    assert await bed.replay("a") == ["replaced b"]
    assert (bed.looking.get(f"{JOB}b"), bed.score("b"), bed.score("a")) == (b"of a", place, None)
    assert not [key for key in bed.all_keys() if ":dead" in key]
    assert bed.events("b")[-1]["reason"] == "replaced"


async def test_a_letter_does_not_replace_a_job_that_runs(bed: Bed) -> None:
    await with_a_letter(bed, "f|replace")
    claim = await bed.worker("other").claim_one()
    assert await bed.replay("a") == ["held b"]
    assert (claim.id, bed.looking.zcard(KEYS.dead)) == ("b", 1)


async def test_a_job_that_comes_back_has_its_key_again(bed: Bed) -> None:
    await bed.enqueue("a", **until("f|refuse"))
    worker = bed.worker("w")
    await worker.settle(bury(await worker.claim_one()))
    assert await bed.replay("a") == ["replayed"]
    assert await bed.enqueue("b", **until("f|refuse")) == [0]
    await worker.settle(finish(await worker.claim_one()))
    assert await bed.enqueue("b", **until("f|refuse")) == [1]


async def test_one_in_a_period_counts_jobs_that_come_back_too(clocked: Bed) -> None:
    timed: dict[str, Any] = {"terms": f"u={KEY}|0|existing|10000", "unique": f"{KEY} 10000"}
    await clocked.enqueue("a", **timed)
    worker = clocked.worker("w")
    await worker.settle(bury(await worker.claim_one()))
    clocked.advance(10.1)
    assert await clocked.enqueue("b", **timed) == [1]
    assert await clocked.replay("a") == ["existing b"]
    await worker.settle(finish(await worker.claim_one()))
    assert await clocked.replay("a") == ["existing b"]
    clocked.advance(10.1)
    assert await clocked.replay("a") == ["replayed"]
    assert await clocked.enqueue("c", **timed) == [0]
