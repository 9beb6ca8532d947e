"""Losses that jobs share, with a deploy or with a machine, make no suspects: not the first time in a row."""

from tests.unit.wire.lua.beds import LEASE, Bed, Worker, again, finish


async def losses(bed: Bed) -> dict[str, int]:
    """Claim all that was lost, on a worker that holds nothing else, and return how many losses of each job count."""
    claims = await bed.worker("next").claim(20)
    assert all(claim.recovered for claim in claims)
    return {claim.id: claim.lost for claim in claims}


async def claimed_by(bed: Bed, worker: str, want: int) -> Worker:
    """Return a new worker that has claimed as many jobs."""
    found = bed.worker(worker)
    assert len(await found.claim(want)) == want
    return found


async def test_a_worker_that_falls_alone_makes_its_jobs_suspect(clocked: Bed) -> None:
    clocked.put("a", "b")
    await claimed_by(clocked, "w", 2)
    await clocked.pass_time(LEASE + 1)
    assert await losses(clocked) == {"a": 1, "b": 1}


async def test_workers_that_fall_together_do_not(clocked: Bed) -> None:
    clocked.put("a", "b", "c")
    await claimed_by(clocked, "v", 2)
    await claimed_by(clocked, "w", 1)
    await clocked.pass_time(LEASE + 1)
    assert await losses(clocked) == {"a": 0, "b": 0, "c": 0}


async def test_their_leases_may_end_some_seconds_apart(clocked: Bed) -> None:
    clocked.put("a", "b")
    await claimed_by(clocked, "v", 1)
    await clocked.pass_time(LEASE / 3)
    await claimed_by(clocked, "w", 1)
    await clocked.pass_time(2 * LEASE / 3 + 1)
    first = clocked.worker("next")
    (one,) = await first.claim(5)
    await clocked.pass_time(LEASE / 3, first)
    (other,) = await first.claim(5)
    assert [(claim.id, claim.lost) for claim in (one, other)] == [("a", 0), ("b", 0)]


async def test_a_worker_that_falls_while_another_works_falls_alone(clocked: Bed) -> None:
    clocked.put("a", "b")
    await claimed_by(clocked, "v", 1)
    well = await claimed_by(clocked, "w", 1)
    await clocked.pass_time(LEASE + 1, well)
    assert await losses(clocked) == {"a": 1}


async def test_a_worker_that_finds_the_loss_has_not_fallen_however_late_its_own_claims_are(
    clocked: Bed,
) -> None:
    clocked.put("a", "b")
    await claimed_by(clocked, "v", 1)
    await clocked.pass_time(LEASE / 4)
    finder = await claimed_by(clocked, "w", 1)
    await clocked.pass_time(3 * LEASE / 4 + 1)
    assert {claim.id: claim.lost for claim in await finder.claim(5)} == {"a": 1}


async def test_a_worker_that_was_told_to_stop_is_not_killed_by_its_jobs(clocked: Bed) -> None:
    clocked.put("a", "b")
    worker = await claimed_by(clocked, "w", 2)
    await worker.scripts.say_it_stops(clocked.redis)
    await clocked.pass_time(LEASE + 1)
    assert await losses(clocked) == {"a": 0, "b": 0}


async def test_what_it_said_is_forgotten_when_it_has_ended_in_order(clocked: Bed) -> None:
    worker = clocked.worker("w")
    await worker.scripts.say_it_stops(clocked.redis)
    await worker.scripts.forget(clocked.redis, 2)
    assert clocked.all_keys() == set()


async def test_two_bad_deploys_in_a_row_make_no_suspects(clocked: Bed) -> None:
    names = [f"job-{place:02}" for place in range(20)]
    clocked.put(*names)
    for deploy in range(2):
        worker = await claimed_by(clocked, f"w{deploy}", 20)
        await worker.scripts.say_it_stops(clocked.redis)
        await clocked.pass_time(LEASE + 1)
    claims = await clocked.worker("next", suspect=2).claim(20)
    assert [(claim.id, claim.lost) for claim in claims] == [(name, 1) for name in names]


async def test_a_job_that_kills_one_worker_after_the_other_is_found(clocked: Bed) -> None:
    clocked.put("killer")
    for turn in range(2):
        await claimed_by(clocked, f"w{turn}", 1)
        await clocked.pass_time(LEASE + 1)
    reply = await clocked.worker("next", suspect=2).step(5)
    assert (reply.claims, reply.make_room) == ([], True)


async def test_a_job_that_kills_machines_is_found_though_it_takes_twice_as_long(clocked: Bed) -> None:
    clocked.put("killer", due=1)
    counted = []
    for turn in range(4):
        clocked.put(f"neighbour-{turn}", due=2)
        counted.append((await clocked.worker(f"w{turn}").claim_one()).lost)
        await claimed_by(clocked, f"n{turn}", 1)
        await clocked.pass_time(LEASE + 1)
    assert counted == [0, 0, 1, 1]
    assert (await clocked.worker("next", suspect=2).step(0)).make_room is False
    assert (await clocked.worker("next", suspect=2).step(5)).make_room


async def test_what_a_loss_was_is_forgotten_once_the_job_has_failed_by_itself(clocked: Bed) -> None:
    clocked.put("a", "b")
    await claimed_by(clocked, "v", 1)
    await claimed_by(clocked, "w", 1)
    await clocked.pass_time(LEASE + 1)
    worker = clocked.worker("next")
    one, other = await worker.claim(5)
    assert await worker.settle(again(one, 0), finish(other)) == [True, True]
    assert clocked.entry("a") is None
    assert not (await worker.claim_one()).recovered
