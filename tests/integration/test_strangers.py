"""A backlog of jobs that no worker knows, and the known ones behind it."""

from rota import Run, State, job
from rota.fleet.strays import UnknownJobs
from rota.wire.inventory import unknown_jobs
from tests.servers import RedisServer
from tests.streams import events_in
from tests.workers import serving

STRANGERS = 2000


@job
async def not_known_here(run: Run, number: int) -> None:
    """Stand for a job of a version that no worker has."""


@job
async def known(run: Run) -> int:
    return run.attempt


async def test_a_backlog_of_unknown_jobs_is_put_off_unclaimed(server: RedisServer) -> None:
    async with serving(server.url, known, QUEUE_CONCURRENCY="5") as works:
        await works.client.pause("default")
        await works.client.enqueue_many(not_known_here.call(number) for number in range(STRANGERS))
        handle = await works.client.enqueue(known)
        await works.client.resume("default")
        assert await handle.result(timeout=30) == 1
        counts = await works.client.counts("default")
        assert counts[State.DELAYED] == STRANGERS
        found = await unknown_jobs(works.client.redis, ["default", "other"])
        assert found == {"default": (STRANGERS, ("not_known_here",)), "other": (0, ())}
        await (counted := UnknownJobs(works.client.redis, ["default", "other"])).look()
        assert counted.counts == {"default": STRANGERS, "other": 0}
    with server.client() as looking:
        events = events_in(looking.xrange("rota:events"))
    started = [event.task for event in events if event.type == "started"]
    assert 0 < started.count("not_known_here") < STRANGERS / 10
