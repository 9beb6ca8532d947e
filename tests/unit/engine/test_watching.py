"""The watcher: its role, and what it hears of changes to its queue."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from rota.engine.link import QueueLink
from rota.engine.watching import watcher as roles
from rota.engine.watching.changes import Changes
from rota.engine.watching.watcher import Watcher
from rota.server.outage import Outage
from tests.servers import RedisServer
from tests.unit.wire.lua.beds import KEYS, Bed, real_bed
from tests.waiting import until


class Engine:
    """An engine that takes no jobs, unless it is told that it does."""

    claims = 0
    wants_slot = False


def watcher_of(bed: Bed, engine: Engine | None = None) -> Watcher:
    link = QueueLink(bed.worker("w").scripts, bed.redis, Outage("email"))
    return Watcher(link, engine or Engine())


@contextlib.asynccontextmanager
async def listening(watcher: Watcher) -> AsyncIterator[None]:
    """Run a watcher while a block lasts, which begins when it listens."""
    task = asyncio.create_task(watcher.run())
    try:
        await until(lambda: watcher.beside_changed, "it listens")
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def hears(bed: Bed) -> None:
    """Put a job as a stock client does, see a token, and take both away."""
    bed.put("email", stock=True)
    await until(lambda: bed.tokens() == 1, "there is a token for a stock client's job")
    bed.looking.delete(KEYS.wake, KEYS.queue)


def trackers(bed: Bed) -> list[str]:
    """Return the ids of the connections on which Redis tells of changes."""
    return [one["id"] for one in bed.looking.client_list() if "t" in one["flags"]]


async def test_a_stock_client_s_jobs_get_a_token_one_after_the_other(server: RedisServer) -> None:
    async with real_bed(server) as bed, listening(watcher_of(bed)):
        for _ in range(5):
            await hears(bed)


async def test_a_watcher_whose_connection_was_cut_reads_all_again(server: RedisServer) -> None:
    async with real_bed(server) as bed, listening(watcher_of(bed)):
        await hears(bed)
        (cut,) = trackers(bed)
        bed.looking.client_kill_filter(_id=cut)
        bed.put("unheard", stock=True)
        await until(lambda: bed.tokens() == 1, "it looks when it listens again")
        assert trackers(bed) != [cut]
        bed.looking.delete(KEYS.wake, KEYS.queue)
        await hears(bed)


async def test_an_emptied_database_is_a_change_of_every_key(server: RedisServer) -> None:
    async with real_bed(server) as bed:
        watcher = watcher_of(bed)
        async with listening(watcher):
            watcher.beside_changed = False
            bed.looking.flushdb()
            await until(lambda: watcher.beside_changed)
            await hears(bed)


async def test_a_queue_at_which_steps_look_is_left_to_them(server: RedisServer) -> None:
    engine = Engine()
    async with real_bed(server) as bed, listening(watcher_of(bed, engine)):
        engine.wants_slot = True
        before = bed.commands()["exists"]
        for _ in range(20):
            bed.looking.rpush(KEYS.wake, "1")
            bed.put("ours")
            bed.looking.delete(KEYS.wake, KEYS.queue)
            await asyncio.sleep(0.01)
        assert bed.commands()["exists"] <= before + 3
        bed.put("meanwhile", stock=True)
        engine.wants_slot = False
        await until(lambda: bed.tokens() == 1, "what came meanwhile is looked into")


async def test_queues_of_a_process_share_a_connection_and_the_last_one_closes_it(server: RedisServer) -> None:
    async with real_bed(server) as bed:
        changes = Changes(bed.redis)
        async with changes.of("one") as one:
            await one.read("one")
            async with changes.of("other") as other:
                await other.read("other")
                assert len(trackers(bed)) == 1
                bed.looking.set("other", "x")
                assert await other.changes() == {"other"}
                assert await one.changes(within=0.01) == set()
            bed.looking.set("one", "x")
            assert await one.changes() == {"one"}
        await until(lambda: not trackers(bed))


async def test_a_watcher_keeps_its_role_by_one_command_and_takes_it_again_where_it_was_lost(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roles, "ROLE_EVERY", 0.02)
    async with real_bed(server) as bed:
        watcher = watcher_of(bed)
        watching = asyncio.create_task(watcher.run())
        try:
            start = bed.commands()["getex"]
            await until(lambda: bed.commands()["getex"] > start, "it keeps its role, once it listens")
            before = bed.commands()
            await until(lambda: bed.commands()["getex"] >= before["getex"] + 5, "it keeps it again and again")
            assert bed.commands()["evalsha"] == before["evalsha"], "without a script"
            bed.looking.delete(KEYS.watcher)
            await until(lambda: bed.looking.get(KEYS.watcher) == b"w", "it takes the role again")
            assert watcher.holds
            bed.looking.set(KEYS.watcher, "v")
            await until(lambda: not watcher.holds, "the role is another's")
            assert bed.looking.get(KEYS.watcher) == b"v"
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)


@pytest.mark.parametrize("beside", ["arq:queue:q:health-check", "health", "arq:queue", "arq:queue:q"])
async def test_a_watcher_hears_of_a_key_beside_its_own(server: RedisServer, beside: str) -> None:
    async with real_bed(server) as bed:
        watcher = watcher_of(bed)
        watcher.beside = beside
        watching = asyncio.create_task(watcher.run())
        try:
            await until(lambda: watcher.beside_changed, "it may have changed before the watcher listened")
            for change in (bed.looking.set, lambda key, _: bed.looking.delete(key)):
                watcher.beside_changed = False
                change(beside, "x")
                await until(lambda: watcher.beside_changed)
            bed.put("email")
            await until(lambda: bed.tokens() == 1, "of its queue it hears, too")
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
