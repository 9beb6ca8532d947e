"""Sweeping: what has outlived its job or its process is struck, and nothing of what lives."""

import pytest
from redis.exceptions import ResponseError

from rota.wire.claims import Checkpoint
from rota.wire.leading.sweeping import PORTION, SWEPT, Collection, Found, collections_of, sweep_keys
from tests.unit.wire.lua.beds import KEYS, LEASE, Bed, again, bury, finish, interrupted, unknown
from tests.unit.wire.lua.limited import rated, slotted

FIELDS = [part for part, kind in SWEPT.items() if kind in ("fields", "terms")]


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
        assert [await swept(bed, part) for part in FIELDS] == [0] * len(FIELDS)

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


class TestNotes:
    async def test_what_is_remembered_of_a_job_that_has_left_the_queue_is_struck(self, clocked: Bed) -> None:
        worker, (claim, other) = await clocked.claimed("a", "b")
        await worker.settle(unknown(claim, 5), unknown(other, 5))
        clocked.finish_as_stock_does("a")
        assert await swept(clocked, "runs") == 1
        assert clocked.entry("a") is None
        assert clocked.entry("b")

    async def test_a_claim_whose_worker_renews_keeps_its_entry(self, clocked: Bed) -> None:
        worker, (claim,) = await clocked.claimed("a")
        clocked.looking.delete(KEYS.queue, KEYS.active, "arq:job:a")
        assert await swept(clocked) == 0
        assert await worker.settle(finish(claim)) == [True]

    async def test_a_claim_that_no_step_comes_to_take_back_is_struck_long_after_its_lease(
        self, clocked: Bed
    ) -> None:
        await clocked.claimed("a")
        clocked.finish_as_stock_does("a")
        clocked.advance(LEASE + 599)
        assert await swept(clocked, "active") == 0
        clocked.advance(2)
        assert await swept(clocked) == 1
        assert not {KEYS.active, KEYS.runs} & clocked.all_keys()


class TestTerms:
    async def test_what_a_job_that_is_gone_held_is_given_back(self, clocked: Bed) -> None:
        terms = f"p=3 {slotted()} u=rota:unique:q:work:x|f"
        for one in ("a", "b"):
            unique = "rota:unique:q:work:x 0" if one == "a" else ""
            await clocked.enqueue(one, terms=terms if one == "a" else slotted(), unique=unique)
        assert await clocked.worker("w").claim_ids() == ["a"]
        clocked.finish_as_stock_does("a")
        clocked.looking.delete(KEYS.runs, KEYS.active)
        assert await swept(clocked, "terms") == 1
        assert not clocked.looking.exists("rota:unique:q:work:x", f"{KEYS.queue}:p3")
        assert await clocked.worker("v").claim_ids() == ["b"], "the next one is due at once"

    async def test_terms_that_cannot_be_read_are_struck_too(self, bed: Bed) -> None:
        bed.looking.hset(KEYS.terms, mapping={"a": "c=|||", "b": "\xff\n", "c": "u=x|f"})
        assert await swept(bed) == 3
        assert bed.all_keys() == set()


async def test_a_job_that_is_gone_leaves_the_lines_it_waits_in(clocked: Bed) -> None:
    await clocked.enqueue("a", "b", "c", terms=rated())
    assert await clocked.worker("w").claim_ids() == ["a"]
    clocked.looking.zrem(KEYS.queue, "c")
    found = Found(clocked.looking.keys("*"), "rota").collections
    struck = [await one.sweep(clocked.redis, "0") for one in found if one.kind == "members"]
    assert sum(gone for _, gone in struck) == 2
    line = f"{KEYS.queue}:line:rota:limit:r:*"
    assert clocked.looking.zrange(line, 0, -1) == clocked.looking.zrange(KEYS.parked, 0, -1) == [b"b"]


async def test_the_slots_of_jobs_that_run_no_longer_are_freed(clocked: Bed) -> None:
    await clocked.enqueue("a", "b", "waiting", terms=slotted(most=2))
    assert await clocked.worker("w").claim_ids() == ["a", "b"]
    clocked.looking.hdel(KEYS.runs, "a")
    slots = "rota:slots:s:*"
    assert await Collection(slots, slots, "slots").sweep(clocked.redis, "0") == ("0", 1)
    assert clocked.looking.smembers(slots) == {f"{KEYS.queue} b".encode()}


async def test_where_no_slot_is_held_only_queues_with_a_line_stay_named(clocked: Bed) -> None:
    await clocked.enqueue("a", "waiting", terms=slotted(most=1))
    assert await clocked.worker("w").claim_ids() == ["a"]
    clocked.looking.sadd("rota:slots:s:*:lines", "arq:queue:former")
    lines = Collection("rota:slots:s:*:lines", "rota:slots:s:*:lines", "slots")
    assert await lines.sweep(clocked.redis, "0") == ("0", 0), "it is struck when the slot is freed"
    clocked.looking.delete("rota:slots:s:*")
    assert await lines.sweep(clocked.redis, "0") == ("0", 1)
    assert clocked.looking.smembers(lines.key) == {KEYS.queue.encode()}


async def test_what_is_only_to_be_counted_stays(bed: Bed) -> None:
    leave(bed, "gone")
    bed.looking.sadd(KEYS.workers, "dead")
    before = bed.everything()
    counts = [await one.sweep(bed.redis, "0", strike=False) for one in collections_of(KEYS.queue)]
    assert sum(gone for _, gone in counts) == len(FIELDS) + 1
    assert bed.everything() == before


class TestKeys:
    async def test_of_a_job_in_no_queue_the_payload_is_found_and_deleted(self, bed: Bed) -> None:
        bed.put("waiting")
        other = "arq:queue:other"
        bed.looking.zadd(other, {"there": 1})
        for one in ("there", "gone", "\xff"):
            bed.looking.set(f"arq:job:{one}", b"p")
        bed.looking.set("arq:job:stock", b"p", px=60_000)
        bed.looking.set("arq:job:held", b"p")
        bed.hold_as_stock_does("held")
        keys = bed.looking.keys("arq:job:*")
        queues = (KEYS.queue, other)
        for strike in (False, True):
            found = await sweep_keys(bed.redis, "payloads", keys, queues, "rota", strike=strike)
            assert set(found) == {b"arq:job:gone", "arq:job:\xff".encode()}
        assert set(bed.looking.keys("arq:job:*")) == set(keys) - set(found)

    async def test_what_counts_attempts_goes_after_the_payload(self, bed: Bed) -> None:
        for one in ("has-payload", "gone"):
            bed.looking.set(f"arq:retry:{one}", 1)
        bed.looking.set("arq:job:has-payload", b"p")
        keys = bed.looking.keys("arq:retry:*")
        assert await sweep_keys(bed.redis, "counts", keys, [KEYS.queue], "rota", strike=True) == [
            b"arq:retry:gone"
        ]

    async def test_a_unique_key_is_freed_unless_its_job_lives_or_it_holds_for_a_time(self, bed: Bed) -> None:
        bed.put("lives")
        for name, holder in {"a": "lives", "b": "gone", "c": "gone"}.items():
            bed.looking.set(f"rota:unique:q:work:{name}", holder, px=60_000 if name == "c" else None)
        bed.looking.sadd("rota:unique:q:work:d", "another hand's")
        keys = bed.looking.keys("rota:unique:*")
        found = await sweep_keys(bed.redis, "unique", keys, [KEYS.queue], "rota", strike=True)
        assert found == [b"rota:unique:q:work:b"]

    async def test_the_id_that_a_user_gave_a_flow_goes_with_the_flow(self, bed: Bed) -> None:
        bed.looking.mset({"rota:flow-id:mine": "f1", "rota:flow-id:yours": "f2"})
        bed.looking.hset("rota:flow:f2", "state", "active")
        keys = bed.looking.keys("rota:flow-id:*")
        assert await sweep_keys(bed.redis, "aliases", keys, [], "rota", strike=True) == [b"rota:flow-id:mine"]

    async def test_a_queue_that_cannot_be_read_keeps_all_payloads(self, bed: Bed) -> None:
        bed.looking.set(KEYS.queue, "x")
        bed.looking.set("arq:job:a", b"p")
        with pytest.raises(ResponseError):
            await sweep_keys(bed.redis, "payloads", [b"arq:job:a"], [KEYS.queue], "rota", strike=True)
        assert bed.looking.exists("arq:job:a")


def test_keys_are_sorted_by_how_they_are_swept() -> None:
    found = Found(
        [
            *(b"arq:queue:q", b"arq:queue:q:terms", b"arq:queue:former:workers", b"arq:queue:q:stats"),
            *(b"arq:queue:q:line:rota:limit:r:*", b"arq:queue:q:dead", b"arq:queue:q:dead:terms"),
            *(
                b"arq:queue:workers",
                b"arq:queue:Not a name:terms",
                b"arq:queue:terms",
                b"arq:queue:\xff:dead",
            ),
            *(b"arq:job:\xff", b"arq:job:terms", b"arq:retry:a", b"arq:result:a", b"rota:slots:s:\xff"),
            *(b"rota:slots:s:*", b"rota:unique:q:work:x", b"rota:flow:f:plan", b"rota:flow-id:mine"),
            *(b"rota:events", b"other:flow:f", b"unrelated"),
        ],
        "rota",
    )
    assert found.queues == {"arq:queue:q", "arq:queue:former"}
    assert set(found.collections) == {
        Collection("arq:queue:q", "arq:queue:q:terms", "terms"),
        Collection("arq:queue:q", "arq:queue:q:dead", "letters"),
        Collection("arq:queue:q", "arq:queue:q:line:rota:limit:r:*", "members"),
        Collection("arq:queue:former", "arq:queue:former:workers", "workers"),
        Collection("rota:slots:s:*", "rota:slots:s:*", "slots"),
    }
    assert found.loose == {
        "payloads": [b"arq:job:\xff", b"arq:job:terms"],
        "counts": [b"arq:retry:a"],
        "unique": [b"rota:unique:q:work:x"],
        "aliases": [b"rota:flow-id:mine"],
    }
    assert found.flows == [b"rota:flow:f:plan"]
