"""The leader: one worker process of all does what is to be done once, and another follows when it ends or dies."""

import time

from rota import Client, Run, job
from rota.fleet.roster import roster
from tests.servers import RedisServer
from tests.waiting import until
from tests.workers import standing


@job
async def nothing(run: Run) -> None: ...


async def named(client: Client) -> str | None:
    """Return the process that leads, which `rota workers` shows too."""
    leader = (await roster(client.redis, ["default"], "rota")).leader
    return leader.worker if leader else None


async def test_of_two_processes_one_leads_and_the_other_follows_it(
    client: Client, server: RedisServer
) -> None:
    async with standing(server.url, __name__, "first") as first:
        await until(lambda: first.leads)
        async with standing(server.url, __name__, "second") as second:
            assert await named(client) == "first"
            assert not second.leads
            # A deploy: the process drains, and gives its place back at once.
            first.retire()
            await until(lambda: second.leads)
            assert await named(client) == "second"
            assert not first.leads


async def test_a_process_that_is_killed_is_followed_when_its_lease_has_ended(
    client: Client, server: RedisServer
) -> None:
    # What a process leaves that was killed: its name, and the epoch of its term, until the lease ends.
    await client.redis.set("rota:leader", "killed 7", px=1000)
    began = time.monotonic()
    async with standing(server.url, __name__, "other") as other:
        await until(lambda: other.leads)
        assert time.monotonic() - began > 0.9
        assert await named(client) == "other"
