"""Sweeping: what has outlived its job or its process is struck, and nothing of what lives."""

import pytest

from rota.wire.claims import Checkpoint
from rota.wire.leading.sweeping import PORTION, SWEPT, Collection, collections_in, collections_of
from tests.unit.wire.lua.beds import KEYS, LEASE, Bed, again, bury, finish, interrupted, unknown

FIELDS = [part for part, kind in SWEPT.items() if kind == "fields"]


async def swept(bed: Bed, only: str = "") -> int:
    """Sweep the bed's queue, or one collection of it, to the end; return how many entries were struck."""
    struck = 0
    for collection in collections_of(KEYS.queue):
        if only and not collection.key.endswith(f":{only}"):
            continue
        start = ""
        while start != "0":
            start, gone = await collection.sweep(bed.redis, start or "0")
            struck += gone
    return struck


def leave(bed: Bed, *ids: str) -> None:
    """Leave a field of each of these jobs in each hash."""
    for part in FIELDS:
        bed.looking.hset(f"{KEYS.queue}:{part}", mapping=dict.fromkeys(ids, "x"))


def fields(bed: Bed) -> dict[str, set[bytes]]:
    return {part: set(bed.looking.hkeys(f"{KEYS.queue}:{part}")) for part in FIELDS}


class TestLetters:
    async def test_a_letter_that_has_expired_leaves_the_list(self, clocked: Bed) -> None:
        worker, claims = await clocked.claimed("a", "b")
        await worker.settle(*map(bury, claims))
        clocked.looking.pexpire(f"{KEYS.dead}:a", 1000)
        assert await swept(clocked) == 0
        clocked.advance(1.001)
        assert await swept(clocked) == 1
        assert clocked.looking.zrange(KEYS.dead, 0, -1) == [b"b"]

    @pytest.mark.parametrize("letters", [PORTION - 1, PORTION, 2 * PORTION + 5])
    async def test_each_of_many_is_looked_at(self, bed: Bed, letters: int) -> None:
        for number in range(letters):
            bed.looking.zadd(KEYS.dead, {f"{number}": number})
            if number % 3 == 0:
                bed.looking.hset(f"{KEYS.dead}:{number}", "reason", "failed")
        left = {f"{number}".encode() for number in range(0, letters, 3)}
        assert await swept(bed) == letters - len(left)
        assert set(bed.looking.zrange(KEYS.dead, 0, -1)) == left


async def test_a_process_whose_heartbeat_is_gone_leaves_the_list(bed: Bed) -> None:
    bed.looking.sadd(KEYS.workers, "alive", "dead")
    bed.looking.set(f"{KEYS.worker}:alive", "running 10 0 0", px=16_000)
    assert await swept(bed) == 1
    assert bed.looking.smembers(KEYS.workers) == {b"alive"}


class TestFields:
    async def test_what_is_left_of_a_job_that_is_gone_is_struck(self, bed: Bed) -> None:
        leave(bed, "gone", "\xff")
        assert await swept(bed) == 2 * len(FIELDS)
        assert bed.all_keys() == set()

    async def test_many_are_struck_and_none_that_lives(self, bed: Bed) -> None:
        ids = [f"{number}" for number in range(5 * PORTION)]
        leave(bed, *ids)
        bed.put(*ids[::5])
        assert await swept(bed) == 4 * PORTION * len(FIELDS)
        assert fields(bed) == {part: {one.encode() for one in ids[::5]} for part in FIELDS}

    @pytest.mark.parametrize(
        "key", ["payload", "queue", "active", "runs"], ids=lambda key: f"only its {key} is there"
    )
    async def test_one_sign_of_life_keeps_all(self, bed: Bed, key: str) -> None:
        match key:
            case "payload":
                bed.looking.set("arq:job:a", b"p")
            case "queue":
                bed.looking.zadd(KEYS.queue, {"a": 1})
            case "active":
                bed.looking.zadd(KEYS.active, {"a": 1})
            case "runs":
                bed.looking.hset(KEYS.runs, "a", "- 1 0 0 0")
        leave(bed, "a")
        assert await swept(bed) == 0

    async def test_at_no_moment_of_its_life_a_job_loses_anything(self, clocked: Bed) -> None:
        async def untouched() -> None:
            before = clocked.everything()
            assert await swept(clocked) == 0
            assert clocked.everything() == before

        await clocked.enqueue("a", terms="p3", delay=10)
        await untouched()
        clocked.advance(10)
        worker, other = clocked.worker("w"), clocked.worker("v")
        for ended in (
            interrupted,
            lambda claim: again(claim, 5, failure=b'"boom"'),
            lambda claim: unknown(claim, 5),
        ):
            claim = await worker.claim_one()
            await worker.scripts.report(clocked.redis, [(claim, "work", 50, "half")])
            await worker.scripts.keep(clocked.redis, [(claim, Checkpoint(claim.attempt, b"1"))])
            await untouched()
            await worker.settle(ended(claim))
            await untouched()
            clocked.advance(6)
        await clocked.pass_time(LEASE + 1)
        claim = await other.claim_one()
        await untouched()
        await clocked.pass_time(LEASE + 1)
        await untouched()
        claim = await other.claim_one()
        await other.settle(bury(claim))
        await untouched()
        assert await clocked.replay("a") == ["replayed"]
        await untouched()
        await other.settle(finish(await other.claim_one()))
        await untouched()


class TestWhatIsThere:
    async def test_every_queue_in_redis_is_found_and_no_other_key(self, bed: Bed) -> None:
        leave(bed, "gone")
        bed.looking.sadd("arq:queue:former:workers", "dead")
        bed.looking.sadd("arq:queue:workers", "a bare worker's")
        bed.looking.zadd("arq:queue:q:dead", {"a": 1})
        for key in (
            "arq:queue:q:dead:terms",
            "arq:queue:Not a name:terms",
            "arq:job:terms",
            "arq:queue:terms",
        ):
            bed.looking.hset(key, "a", "b")
        found = [one async for some in collections_in(bed.redis) for one in some]
        assert set(found) == {
            Collection("arq:queue:former", "arq:queue:former:workers", "workers"),
            *(one for one in collections_of(KEYS.queue) if one.kind != "workers"),
        }
