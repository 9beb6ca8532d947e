"""Suspects: a job that was lost often runs alone, so that no neighbours are lost with it."""

from typing import Any

from rota import Run, State, job, none
from rota.app.compose import policy_of
from rota.attempts.attempt import Handler
from rota.attempts.parts import Resources, Stacks
from rota.attempts.runner import Runner
from rota.client.view import counts
from rota.engine.execution import Execution
from rota.model.outcome import Rules
from rota.settings.settings import Settings
from tests.unit.wire.lua.beds import KEYS, LEASE, Bed, again, finish, payload

RULES = Rules(max_attempts=4, backoff=none(), timeout=300.0, keep_result=3600.0)


@job
async def work(run: Run) -> None:
    pass


async def nowhere(*call: Any) -> None:
    raise AssertionError("nothing here runs off the loop")


async def lose(bed: Bed, job_id: str, times: int) -> None:
    """Put `job_id`, the only job, and have it claimed and lost."""
    bed.put(job_id, due=bed.now - 60_000)
    for number in range(times):
        assert await bed.worker(f"lost-{number}").claim_ids(1) == [job_id]
        await bed.pass_time(LEASE + 1)


async def test_a_suspect_is_passed_over_and_one_worker_is_asked_to_make_room(clocked: Bed) -> None:
    await lose(clocked, "suspect", 2)
    clocked.put("innocent")
    worker = clocked.worker("w", suspect=2)
    reply = await worker.step(10)
    assert [claim.id for claim in reply.claims] == ["innocent"]
    assert reply.make_room
    assert not reply.left
    assert not (await clocked.worker("v", suspect=2).step(10)).make_room


async def test_alone_a_worker_claims_the_suspect_and_nothing_else(clocked: Bed) -> None:
    await lose(clocked, "suspect", 2)
    clocked.put("innocent", due=1)
    worker = clocked.worker("w", suspect=2)
    reply = await worker.step(1, alone=True)
    assert [claim.id for claim in reply.claims] == ["suspect"]
    assert reply.claims[0].lost == 2
    assert (await worker.step(1, alone=True)).claims == []


async def test_before_it_is_one_and_after_it_may_have_been_a_job_is_claimed_as_any_other(
    clocked: Bed,
) -> None:
    await lose(clocked, "once", 1)
    assert await clocked.worker("w", suspect=2).claim_ids() == ["once"]
    await clocked.pass_time(LEASE + 1)
    assert await clocked.worker("v").claim_ids() == ["once"]
    await clocked.pass_time(LEASE + 1)
    # Lost three times: the runner gives it up, which takes a claim.
    assert await clocked.worker("u", suspect=2).claim_ids() == ["once"]


async def test_when_the_worker_that_was_asked_dies_another_is_asked(clocked: Bed) -> None:
    await lose(clocked, "suspect", 2)
    assert (await clocked.worker("w", suspect=2).step(1)).make_room
    await clocked.pass_time(LEASE + 1)
    assert (await clocked.worker("v", suspect=2).step(1)).make_room


async def test_a_suspect_that_ends_well_leaves_nothing_behind(clocked: Bed) -> None:
    await lose(clocked, "suspect", 2)
    worker = clocked.worker("w", suspect=2)
    await worker.step(1)
    (claim,) = (await worker.step(1, alone=True)).claims
    assert await worker.settle(finish(claim)) == [True]
    assert clocked.entry("suspect") is None
    clocked.put("next")
    assert await worker.claim_ids() == ["next"]


async def test_many_suspects_do_not_hide_what_is_due_behind_them(clocked: Bed) -> None:
    names = [f"suspect-{number:02}" for number in range(30)]
    clocked.put(*names, due=clocked.now - 60_000)
    for number in range(2):
        assert len(await clocked.worker(f"lost-{number}").claim(30)) == 30
        await clocked.pass_time(LEASE + 1)
    clocked.put("innocent")
    assert await clocked.worker("w", suspect=2).claim_ids(2) == ["innocent"]


async def many_suspects(bed: Bed, number: int) -> list[str]:
    """Put jobs that were lost twice, and return their ids in the order in which they are due."""
    names = [f"suspect-{place:04}" for place in range(number)]
    bed.put(*names, due=bed.now - 60_000)
    entries: dict[str | bytes, str] = {name: f"- {bed.score(name):.0f} 0 2 0" for name in names}
    bed.looking.hset(KEYS.runs, mapping=entries)
    return names


async def test_more_suspects_than_a_step_looks_at_do_not_hide_what_is_due_behind_them(clocked: Bed) -> None:
    await many_suspects(clocked, 1_100)
    clocked.put("innocent")
    worker = clocked.worker("w", suspect=2)
    first = await worker.step(2)
    assert first.left
    assert [claim.id for claim in first.claims] == []
    assert await worker.claim_ids(2) == ["innocent"]


async def test_suspects_that_were_set_apart_run_in_the_order_in_which_they_were_due(clocked: Bed) -> None:
    names = await many_suspects(clocked, 3)
    dues = [clocked.score(name) for name in names]
    worker = clocked.worker("w", suspect=2)
    run = []
    while (await worker.step(5)).make_room:
        (claim,) = (await worker.step(1, alone=True)).claims
        run.append((claim.id, claim.due_ms))
        assert await worker.settle(finish(claim)) == [True]
    assert run == list(zip(names, dues, strict=True))
    left = clocked.all_keys()
    assert not {f"{KEYS.queue}:suspects", KEYS.parked, KEYS.queue} & left


async def test_a_suspect_that_was_set_apart_counts_as_waiting(clocked: Bed) -> None:
    await many_suspects(clocked, 3)
    assert (await clocked.worker("w", suspect=2).step(5)).claims == []
    counted = await counts(clocked.redis, KEYS)
    assert (counted[State.WAITING], counted[State.DELAYED]) == (3, 0)


async def test_a_suspect_that_left_after_it_was_set_apart_keeps_nobody_waiting(clocked: Bed) -> None:
    await many_suspects(clocked, 1)
    worker = clocked.worker("w", suspect=2)
    assert (await worker.step(5)).make_room
    assert await clocked.cancel("suspect-0000") == "cancelled"
    clocked.put("innocent")
    assert (await worker.step(1, alone=True)).claims == []
    reply = await worker.step(5)
    assert ([claim.id for claim in reply.claims], reply.make_room) == (["innocent"], False)


async def test_a_suspect_that_fails_is_one_again_when_its_next_attempt_is_due(clocked: Bed) -> None:
    await many_suspects(clocked, 1)
    worker = clocked.worker("w", suspect=2)
    assert (await worker.step(5)).make_room
    (claim,) = (await worker.step(1, alone=True)).claims
    assert await worker.settle(again(claim, 5.0)) == [True]
    assert not (await worker.step(5)).make_room
    clocked.advance(6)
    assert (await worker.step(5)).make_room
    (claim,) = (await worker.step(1, alone=True)).claims
    assert (claim.id, claim.attempt, claim.lost) == ("suspect-0000", 2, 2)


async def test_a_suspect_keeps_its_priority_and_its_limit(clocked: Bed) -> None:
    await clocked.enqueue("first", "second", terms="p=5 c=rota:slots:one||1", payload=payload())
    clocked.looking.hset(KEYS.runs, mapping=dict.fromkeys(("first", "second"), "- 1 0 2 0"))
    worker = clocked.worker("w", suspect=2)
    assert (await worker.step(5)).make_room
    (claim,) = (await worker.step(1, alone=True)).claims
    assert await worker.settle(finish(claim)) == [True]
    clocked.advance(1)
    await worker.step(5)
    (other,) = (await worker.step(1, alone=True)).claims
    assert {claim.id, other.id} == {"first", "second"}


async def test_a_job_that_was_lost_too_often_is_given_up_by_whoever_claims_it_then(clocked: Bed) -> None:
    clocked.put("killer")
    settings = Settings(max_lost=3)
    runner = Runner(
        policy_of(settings, settings.queue("q")),
        {"work": Handler(work, RULES)},
        Resources(deps=None, report=lambda *report: None, off_loop=nowhere),
        Stacks(),
    )
    for number in range(3):
        worker = clocked.worker(f"w{number}")
        settlement = await runner.execute(Execution(await worker.claim_one()))
        assert settlement.kind == "finished"
        await clocked.pass_time(LEASE + 1)
    last = clocked.worker("last")
    claim = await last.claim_one()
    settlement = await runner.execute(Execution(claim))
    assert (claim.lost, settlement.kind, settlement.reason) == (3, "dead", "lost")
    assert await last.settle(settlement) == [True]
    assert clocked.story("killer")[-1] == "dead"
