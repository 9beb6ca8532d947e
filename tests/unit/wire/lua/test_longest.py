"""The lines in which jobs wait for a limit: told by key, whatever the jobs that wait cost nothing more."""

from rota.wire.inventory import Line, longest_lines
from tests.unit.wire.lua.beds import KEYS, Bed
from tests.unit.wire.lua.limited import rated, slotted


def stand_in_line(bed: Bed, key: str, count: int, begin: int = 0) -> None:
    """Park jobs as the scripts do, spread over the times at which they are tried again."""
    ids = {f"{key}-{number}": begin + number * 7 for number in range(count)}
    pipe = bed.looking.pipeline(transaction=False)
    pipe.zadd(KEYS.parked, ids)
    pipe.zadd(f"{KEYS.queue}:line:rota:slots:email:send:{key}", ids)
    pipe.hset(KEYS.terms, mapping=dict.fromkeys(ids, f"p=3 {slotted(key, name='email:send')} t=acme"))
    pipe.execute()


async def test_jobs_that_limits_keep_back_are_told_by_key_the_longest_line_first(bed: Bed) -> None:
    await bed.enqueue("a1", "a2", "a3", terms=slotted("a%20b", name="email:send"))
    await bed.enqueue("c1", "c2", terms=rated(name="calls"))
    await bed.enqueue("free")
    assert len(await bed.worker("w").claim(10)) == 3
    assert await longest_lines(bed.redis, KEYS.queue) == [Line("email:send", "a b", 2), Line("calls", "", 1)]


async def test_a_long_line_is_found_among_very_many_jobs_and_counted_whole(bed: Bed) -> None:
    stand_in_line(bed, "acme", 3000)
    for number in range(30):
        stand_in_line(bed, f"small-{number}", 5, begin=number * 700)
    stand_in_line(bed, "globex", 900, begin=9000)
    first, second, *_ = await longest_lines(bed.redis, KEYS.queue)
    assert (first, second) == (Line("email:send", "acme", 3000), Line("email:send", "globex", 900))


async def test_what_it_costs_does_not_grow_with_the_jobs_that_wait(real: Bed) -> None:
    costs = []
    for count in (300, 3000):
        stand_in_line(real, "acme", count)
        await longest_lines(real.redis, KEYS.queue)
        before = real.commands()
        await longest_lines(real.redis, KEYS.queue)
        done = real.commands() - before
        costs.append({name: done[name] for name in ("zcard", "zrange", "hmget")})
    assert costs == [{"zcard": 2, "zrange": 10, "hmget": 1}] * 2


async def test_terms_that_are_gone_or_no_longer_ours_are_passed_over(bed: Bed) -> None:
    stand_in_line(bed, "acme", 2)
    bed.looking.hdel(KEYS.terms, "acme-0")
    bed.looking.zadd(KEYS.parked, {"strange": 1, "other": 2})
    bed.looking.hset(KEYS.terms, "strange", "c=nonsense r=|| c=rota:slots:x")
    bed.looking.hset(KEYS.terms, "other", slotted("type", name="email:send"))
    bed.looking.set(f"{KEYS.queue}:line:rota:slots:email:send:type", "no line")
    assert await longest_lines(bed.redis, KEYS.queue) == [Line("email:send", "acme", 2)]
