"""Whose a job is: the scripts know it of the job's terms, and say it in all that they tell of the job."""

from tests.unit.wire.lua.beds import LEASE, Bed, finish, interrupted


async def test_whatever_happens_to_a_tenant_s_job_its_events_say_whose_it_is(clocked: Bed) -> None:
    await clocked.enqueue("a", terms="p=3 t=acme")
    await clocked.enqueue("b")
    await clocked.worker("w").claim(2)
    await clocked.pass_time(LEASE + 1)
    worker = clocked.worker("v")
    for settlement in (interrupted, finish):
        await worker.settle(*map(settlement, await worker.claim(2)))
    story = ["enqueued", "started", "lost", "started", "interrupted", "started", "completed"]
    assert clocked.story("a") == clocked.story("b") == story
    assert [one.get("tenant") for one in clocked.events("a")] == ["acme"] * len(story)
    assert [one.get("tenant") for one in clocked.events("b")] == [None] * len(story)
