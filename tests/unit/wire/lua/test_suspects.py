"""Suspects: a job that was lost often runs alone, so that no neighbours are lost with it."""

from typing import Any

from rota import Run, job, none
from rota.app.compose import policy_of
from rota.attempts.attempt import Handler
from rota.attempts.parts import Resources, Stacks
from rota.attempts.runner import Runner
from rota.engine.execution import Execution
from rota.model.outcome import Rules
from rota.settings.settings import Settings
from tests.unit.wire.lua.beds import LEASE, Bed, finish

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


async def test_a_job_that_was_lost_too_often_is_given_up_by_whoever_claims_it_then(clocked: Bed) -> None:
    clocked.put("killer")
    settings = Settings(max_lost=3)
    runner = Runner(
        policy_of(settings, settings.queue("q")),
        {"work": Handler(work, RULES)},
        Resources(deps=lambda: None, report=lambda *report: None, off_loop=nowhere),
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
