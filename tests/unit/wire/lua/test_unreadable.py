"""What another hand wrote into the fields of a queue: the step goes on, and each job ends once."""

import math
from typing import Any

import pytest

from rota.wire.claims import Claim
from tests.unit.wire.lua.beds import EVENTS, KEYS, LEASE, Bed, again, finish, interrupted

JUNK: list[str | bytes] = [
    "",
    " ",
    "-",
    "-!",
    "x",
    "a b c d e",
    "w:0:1:1 nan inf -1 1e400",
    "- 1 2 x 4",
    "\x00\xff",
    "- nan 0 nan 9",
    b"-!\xff@1",
    b"-!w@" + b"9" * 5000,
]
TERMS = [
    "",
    "x",
    "c=",
    "c=|",
    "c=a|b",
    "c=a|b|c",
    "r=a|b|1",
    "r=a|b|c|d",
    "p=aused",
    "p=",
    "u=",
    "u=x",
    "w=x",
    "w=a|1|b",
]
FIGURES = ["", "x", "nan", "inf", "-1", "1e400", "1.5", "9" * 30]


async def lives_on(bed: Bed, *expected: str) -> list[Claim]:
    """Claim and finish all that waits, with what step and lease do meanwhile, and return the claims."""
    worker, claims = bed.worker("w", suspect=2), []
    for _ in range(5):
        claims += await worker.claim(10)
        assert worker.renew() == []
        await worker.settle(*map(finish, worker.held.values()))
    assert sorted(claim.id for claim in claims) == sorted(expected)
    assert not {KEYS.runs, KEYS.active, KEYS.queue, KEYS.terms, f"{KEYS.queue}:snoozes"} & bed.all_keys()
    return claims


@pytest.mark.parametrize("entry", JUNK)
async def test_a_job_with_a_run_entry_that_cannot_be_read_is_claimed_as_a_new_one(
    bed: Bed, entry: str | bytes
) -> None:
    bed.put("odd", "plain")
    bed.looking.hset(KEYS.runs, "odd", entry)
    claims = {claim.id: claim for claim in await lives_on(bed, "odd", "plain")}
    assert (claims["odd"].lost, claims["odd"].attempt, claims["plain"].unreadable) == (0, 1, "")
    assert claims["odd"].unreadable == "run entry"


@pytest.mark.parametrize("entry", JUNK)
async def test_a_claim_whose_entry_was_overwritten_goes_back_when_its_lease_ends(
    clocked: Bed, entry: str | bytes
) -> None:
    dead, _ = await clocked.claimed("odd", name="dead")
    clocked.looking.hset(KEYS.runs, "odd", entry)
    await clocked.pass_time(2 * LEASE)
    await lives_on(clocked, "odd")
    assert await dead.settle(finish(dead.held["odd"])) == [False]


@pytest.mark.parametrize("rest", ["", "1", "nan nan nan nan", "x inf -1 1e400", "1 2 3 4 5 6"])
async def test_a_claim_settles_by_its_token_whatever_else_its_entry_says(bed: Bed, rest: str) -> None:
    worker, claims = await bed.claimed("end", "again", "shut")
    for claim in claims:
        bed.looking.hset(KEYS.runs, claim.id, f"{claim.token} {rest}")
    end, later, shut = claims
    assert await worker.settle(finish(end), again(later, 0), interrupted(shut)) == [True] * 3
    await lives_on(bed, "again", "shut")


@pytest.mark.parametrize("rest", ["", " 1", " nan nan nan nan"])
async def test_a_claim_that_is_handed_over_again_is_read_as_far_as_it_can_be(bed: Bed, rest: str) -> None:
    worker, (claim,) = await bed.claimed("odd")
    bed.looking.hset(KEYS.runs, "odd", f"{claim.token}{rest}")
    bed.looking.hset(f"{KEYS.queue}:snoozes", "odd", "often")
    (same,) = (await worker.step(1, seq=worker.last, resend=True)).claims
    assert (same.token, same.lost, same.snoozes) == (claim.token, 0, 0)
    assert same.unreadable == "snoozes"


@pytest.mark.parametrize("terms", TERMS)
async def test_terms_that_cannot_be_read_limit_nothing(bed: Bed, terms: str) -> None:
    bed.put("odd", "plain")
    bed.looking.hset(KEYS.terms, "odd", terms)
    claims = {claim.id: claim for claim in await lives_on(bed, "odd", "plain")}
    # A priority, a unique key or a flow that is none is passed over in silence.
    assert claims["odd"].unreadable == ("" if terms.startswith(("p=a", "u=x", "w=")) else "terms")


@pytest.mark.parametrize("figure", FIGURES)
async def test_counts_that_are_none_begin_again(bed: Bed, figure: str) -> None:
    bed.put("odd")
    bed.looking.set("arq:retry:odd", figure)
    bed.looking.hset(f"{KEYS.queue}:snoozes", "odd", figure)
    bed.looking.hset(f"{KEYS.queue}:levels", "turn", figure)
    bed.looking.hset(f"{KEYS.queue}:stats", mapping={"ended": figure, "busy": figure})
    bed.looking.hset(KEYS.terms, "odd", "p=5")
    worker = bed.worker("w")
    claim = await worker.claim_one()
    assert 1 <= claim.attempt <= 2
    assert await worker.settle(again(claim, 0, event="snoozed", unspent=True)) == [True]
    (claim,) = await lives_on(bed, "odd")
    assert claim.snoozes <= 1
    stats = bed.looking.hgetall(f"{KEYS.queue}:stats")
    assert abs(int(stats[b"ended"])) <= 4


@pytest.mark.parametrize("figure", FIGURES[:-1])
async def test_the_figures_of_limits_that_are_none_leave_those_of_the_terms(bed: Bed, figure: str) -> None:
    await bed.enqueue("a", "b", terms="c=rota:slots:x|k|1 r=rota:limit:x|k|1000|1000000 u=rota:unique:x|f")
    bed.looking.set("rota:limit:x", figure)
    bed.looking.set("rota:limit:x:k", figure)
    bed.looking.set("rota:slots:x", figure)
    worker = bed.worker("w")
    assert len(await worker.claim(10)) <= 1


@pytest.mark.parametrize(
    "name", ["rota:slots:x", "rota:slots:x:k", "rota:limit:x", "rota:limit:x:k", "rota:unique:x"]
)
async def test_a_limit_s_key_of_another_type_holds_nothing_up(bed: Bed, name: str) -> None:
    await bed.enqueue("a", "b", terms="c=rota:slots:x|k|1 r=rota:limit:x|k|1000|1000000 u=rota:unique:x|f")
    write: dict[bool, Any] = {True: bed.looking.lpush, False: bed.looking.set}
    write[name != "rota:slots:x:k"](name, "x")
    await lives_on(bed, "a", "b")


async def test_what_json_cannot_have_is_not_told_and_leaves_no_empty_entry(real: Bed) -> None:
    worker, (claim,) = await real.claimed("a")
    entries = real.looking.xlen(EVENTS)
    assert await worker.scripts.report(real.redis, [(claim, "send", math.nan, "")]) == 1
    assert real.looking.xlen(EVENTS) == entries
