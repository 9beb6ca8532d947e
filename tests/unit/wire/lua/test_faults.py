"""Each command of a script fails once, then the cause is gone and the call is sent again: nothing stays half made.

Redis does not take back what a script wrote before the command that failed.
"""

import os
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from redis.exceptions import ResponseError

from rota.testing.clock import BenchClock
from rota.testing.server import clients
from rota.wire.claims import Checkpoint, Claim, Settlement
from rota.wire.keys import RESULT, RETRY
from rota.wire.leading.outbox import OutboxKeys, Sending
from tests.unit.wire.lua.beds import (
    EVENTS,
    KEYS,
    LEASE,
    Bed,
    Worker,
    again,
    bury,
    finish,
    interrupted,
    unknown,
)
from tests.unit.wire.lua.faults import Faults
from tests.waiting import until

#: One in this many commands is made to fail; at full scale, every one.
EVERY = 1 if float(os.environ.get("FAULTS_SCALE", "0.1")) >= 1 else 7
_START = datetime(2026, 1, 1, tzinfo=UTC)
RATE = "rota:r:x"
LIMITED = f"p=5 c=rota:c:x|k|2 r={RATE}|k|1000|1000000 u=rota:u:k|s"
#: What may be missed when a command fails: events, figures, the moment at which an idle worker wakes, and
#: that a priority has no jobs any more, which a claim sees too.
_OPTIONAL = (EVENTS, f"{KEYS.queue}:stats", KEYS.wake, f"{KEYS.queue}:levels")


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch, scripts_end: None) -> Faults:
    return Faults(monkeypatch)


Call = Callable[[bool], Awaitable[Any]]


class Run:
    """One run of a story on a new server: the `at`th command of its call fails, 0 = none does."""

    def __init__(self, bed: Bed, faults: Faults, at: int) -> None:
        self.bed = bed
        self.faults = faults
        self.at = at

    async def sent(self, call: Call) -> Any:
        """Make the call in which a command fails, and send it again if it did: `call` gets whether it is sent again."""
        self.faults.arm(self.at)
        try:
            return await call(False)
        except ResponseError:
            self.faults.disarm()
            return await call(True)
        finally:
            self.faults.disarm()

    async def settled(self, worker: Worker, *settlements: Settlement) -> None:
        """Settle in the call in which a command fails."""

        async def step(is_resent: bool) -> Any:
            return await worker.step(0, settlements, seq=worker.last + (not is_resent), resend=is_resent)

        reply = await self.sent(step)
        assert all(reply.answers) or self.faults.failed

    async def claimed(self, worker: Worker, want: int = 10, *, alone: bool = False) -> dict[str, Claim]:
        """Claim, as a lane does, in the call in which a command fails, until nothing is left to claim."""

        async def step(is_resent: bool) -> Any:
            number = worker.last + (not is_resent)
            return await worker.step(want, seq=number, refused=is_resent, alone=alone)

        await self.sent(step)
        for _ in range(2):
            await worker.step(want, seq=worker.last + 1, alone=alone)
        return worker.held


Story = Callable[[Run], Awaitable[None]]


async def over(run: Run) -> None:
    """Let jobs end: one with all that a job may have, one that is plain, one dead with what it saved."""
    bed, worker = run.bed, run.bed.worker("w")
    await bed.enqueue("full", "waits", terms=LIMITED)
    bed.put("plain", "dead", "cron")
    claims = {claim.id: claim for claim in await worker.claim(5)}
    assert {"full", "plain", "dead", "cron"} <= set(claims)
    await worker.scripts.keep(bed.redis, [(claims["dead"], Checkpoint(1, b"1"))])
    await run.settled(
        worker,
        finish(claims["full"]),
        bury(claims["dead"]),
        finish(claims["plain"]),
        finish(claims["cron"], mirror_ms=1000),
    )


async def going_again(run: Run) -> None:
    """Put jobs back into the line: for each reason, limited and not, one of them gone from the queue."""
    bed, worker = run.bed, run.bed.worker("w")
    await bed.enqueue("full", terms=LIMITED)
    bed.put("plain", "shut", "snoozed", "unknown", "gone")
    claims = {claim.id: claim for claim in await worker.claim(10)}
    bed.finish_as_stock_does("gone")
    await run.settled(
        worker,
        again(claims["full"], 5, checkpoint=Checkpoint(1, b"1").wire()),
        again(claims["plain"], 0),
        again(claims["gone"], 0),
        interrupted(claims["shut"]),
        again(claims["snoozed"], 60, unspent=True, event="snoozed"),
        unknown(claims["unknown"], 1),
    )


async def claimed_and_finished(run: Run) -> None:
    """Claim jobs and let them end: nothing is left of them."""
    bed, worker = run.bed, run.bed.worker("w")
    await bed.enqueue("full", terms=LIMITED)
    bed.put("a", "b", "c")
    claims = await run.claimed(worker)
    assert set(claims) == {"full", "a", "b", "c"}
    assert await worker.settle(*map(finish, claims.values())) == [True] * 4


async def reaping(run: Run) -> None:
    """Let another worker take back and claim what a dead one held."""
    bed, dead = run.bed, run.bed.worker("dead")
    await bed.enqueue("full", terms=LIMITED)
    bed.put("a", "b", "taken")
    assert len(await dead.claim(4)) == 4
    busy = bed.worker("busy")
    for _ in range(4):
        bed.advance(LEASE / 4)
        await busy.step()
    bed.hold_as_stock_does("taken")
    bed.advance(1)
    other = bed.worker("w")
    claims = await run.claimed(other)
    assert {name: claim.lost for name, claim in claims.items()} == {"full": 1, "a": 1, "b": 1}
    assert await other.settle(*map(finish, claims.values())) == [True] * 3


async def forgiving(run: Run) -> None:
    """Let the server stand still: nobody loses a claim."""
    bed, worker = run.bed, run.bed.worker("w")
    bed.put("a", "b", "c")
    assert len(await worker.claim(3)) == 3
    bed.advance(2 * LEASE)
    await run.claimed(bed.worker("other"))
    assert worker.renew() == []


async def enqueueing(run: Run) -> None:
    """Enqueue jobs, plain and with all that a job may have; nothing is left of a call that failed."""
    bed = run.bed
    before = bed.everything()

    async def call(is_resent: bool) -> Any:
        assert not is_resent or bed.everything() == before
        return await bed.enqueue("full", "second", life_ms=60_000, terms=LIMITED, unique="rota:u:k 0")

    assert await run.sent(call) == [1, 0]


async def enqueueing_plain(run: Run) -> None:
    """Enqueue jobs without terms in one call."""
    bed = run.bed
    before = bed.everything()

    async def call(is_resent: bool) -> Any:
        assert not is_resent or bed.everything() == before
        return await bed.enqueue("a", "b")

    assert await run.sent(call) == [1, 1]


async def enqueueing_owned(run: Run) -> None:
    """Enqueue jobs of a tenant, with a priority, in one call."""
    bed = run.bed
    before = bed.everything()

    async def call(is_resent: bool) -> Any:
        assert not is_resent or bed.everything() == before
        return await bed.enqueue("a", "b", terms="p=5 t=acme")

    assert await run.sent(call) == [1, 1]


async def enqueueing_with_a_life(run: Run) -> None:
    """Enqueue jobs without terms, whose payloads expire, in one call."""
    bed = run.bed
    before = bed.everything()

    async def call(is_resent: bool) -> Any:
        assert not is_resent or bed.everything() == before
        return await bed.enqueue("a", "b", life_ms=60_000)

    assert await run.sent(call) == [1, 1]


async def enqueueing_once(run: Run) -> None:
    """Enqueue a job that replaces none under a key; of a call that failed neither the job nor the marker is left."""
    bed = run.bed
    before = bed.everything()

    async def call(is_resent: bool) -> Any:
        assert not is_resent or bed.everything() == before
        return await bed.enqueue_once("full", terms=LIMITED, unique="rota:u:k 0")

    assert await run.sent(call) == [1, 1]
    assert await bed.enqueue_once("second") == [0, b"f 1 q full"]


async def enqueueing_each_once(run: Run) -> None:
    """Enqueue two jobs, each under a key; of a call that failed neither a job nor a marker is left."""
    bed = run.bed
    before = bed.everything()
    jobs = {"once:1": ("a", "", "", "refuse"), "once:2": ("b", LIMITED, "rota:u:k 0", "refuse")}

    async def call(is_resent: bool) -> Any:
        assert not is_resent or bed.everything() == before
        return await bed.enqueue_each_once(jobs)

    assert await run.sent(call) == [[1, 1], [1, 1]]
    again = await bed.enqueue_each_once({**jobs, "once:3": ("c", "", "", "refuse")})
    assert again == [[0, b"f 1 q a"], [0, b"f 1 q b"], [1, 1]]


async def sending_rows(run: Run) -> None:
    """Send rows of an outbox; of a call that failed neither a job nor a mark is left."""
    bed, keys = run.bed, OutboxKeys("rota", 1000)
    bed.looking.set("rota:recording", "0 1000")
    bed.looking.set("rota:outbox:birth", birth := "b1")
    rows = [
        Sending(
            mark=f"{name}:0", id=name, name="work", payload=b"p", terms=terms, unique="", on_taken="refuse"
        )
        for name, terms in (("full", LIMITED), ("plain", ""))
    ]
    before = bed.everything()

    async def call(is_resent: bool) -> Any:
        assert not is_resent or bed.everything() == before
        return await keys.send(bed.redis, "q", rows, birth=birth, epoch=1)

    assert [sent.fate for sent in await run.sent(call)] == ["put", "put"]
    bed.looking.delete("rota:recording")
    bed.looking.delete("rota:records")


async def replacing(run: Run) -> None:
    """Replace a job that waits by another payload, other terms and another place."""
    bed = run.bed
    await bed.enqueue("a", terms=LIMITED, unique="rota:u:k 0", delay=5)

    async def call(_: bool) -> Any:
        terms = "p=6 u=rota:u:k|f"
        return await bed.enqueue("b", payload=b"new", terms=terms, unique="rota:u:k 0", taken="debounce")

    assert await run.sent(call) == [2]


async def cancelling(run: Run) -> None:
    """Cancel a job that waits, with all that a job may have."""
    bed, worker = run.bed, run.bed.worker("w")
    await bed.enqueue("full", terms=LIMITED, unique="rota:u:k 0")
    claim = await worker.claim_one()
    await worker.scripts.keep(bed.redis, [(claim, Checkpoint(1, b"1"))])
    await worker.settle(again(claim, 60))
    await bed.enqueue("waits", terms=LIMITED)
    before = bed.everything()

    async def call(is_resent: bool) -> Any:
        assert not is_resent or bed.everything() == before
        return await bed.cancel("full")

    assert await run.sent(call) == "cancelled"


async def replaying(run: Run) -> None:
    """Bring back dead letters: with all that a job may have, and plain."""
    bed, worker = run.bed, run.bed.worker("w")
    await bed.enqueue("full", terms=LIMITED)
    bed.put("plain")
    claims = {claim.id: claim for claim in await worker.claim(2)}
    await worker.scripts.keep(bed.redis, [(claims["full"], Checkpoint(1, b"1"))])
    await worker.settle(*map(bury, claims.values()))
    letters = {key: value for key, value in bed.everything().items() if ":dead" in key}

    async def call(is_resent: bool) -> Any:
        if is_resent:
            left = bed.everything()
            for key, letter in letters.items():
                job_id = key.rpartition(":")[2]
                assert left.get(key) == letter or key == KEYS.dead or bed.score(job_id) is not None
        return await bed.replay("full", "plain")

    assert set(await run.sent(call)) <= {"replayed", "absent"}


async def ticking(run: Run) -> None:
    """Enqueue a tick of a cron job of arq."""
    bed = run.bed

    async def call(is_resent: bool) -> Any:
        assert not is_resent or not bed.everything()
        return await bed.worker("w", service=False).scripts.tick(
            bed.redis,
            "nightly",
            tick_ms=1000,
            memory=60.0,
            job_id="nightly:1000",
            payload=b"cron",
            due_ms=1000,
            life_ms=60_000,
        )

    assert await run.sent(call)


async def set_back(run: Run) -> None:
    """Let the server's clock be set back: what was due is due still, and a claim stays with its worker."""
    bed, worker = run.bed, run.bed.worker("w")
    bed.put("held")
    assert len(await worker.claim(1)) == 1
    bed.put("a", "b")
    await bed.enqueue("limited", terms=LIMITED)
    await bed.worker("busy").step()
    bed.set_back(120)
    other = bed.worker("other")
    claims = await run.claimed(other)
    assert set(claims) == {"a", "b", "limited"}
    assert worker.renew() == []
    assert await other.settle(*map(finish, claims.values())) == [True] * 3


async def setting_apart(run: Run) -> None:
    """Set a suspect apart, and claim what is behind it."""
    bed, worker = run.bed, run.bed.worker("w", suspect=2)
    await bed.enqueue("full", terms=LIMITED)
    bed.looking.hset(KEYS.runs, "full", "- 1 0 2 0")
    bed.put("plain")
    assert set(await run.claimed(worker)) == {"plain"}
    reply = await worker.step(1, seq=worker.last + 1, alone=True)
    assert [claim.id for claim in reply.claims] == ["full"]
    assert await worker.settle(*map(finish, worker.held.values())) == [True] * 2


async def running_alone(run: Run) -> None:
    """Claim a suspect that was set apart before."""
    bed, worker = run.bed, run.bed.worker("w", suspect=2)
    await bed.enqueue("full", terms=LIMITED)
    bed.looking.hset(KEYS.runs, "full", "- 1 0 2 0")
    await worker.step(10)
    assert set(await run.claimed(worker, 1, alone=True)) == {"full"}
    assert await worker.settle(*map(finish, worker.held.values())) == [True]


STEPS: list[Story] = [
    *(over, going_again, claimed_and_finished, reaping, forgiving, set_back),
    *(setting_apart, running_alone),
]
CALLS: list[Story] = [
    *(enqueueing, enqueueing_plain, enqueueing_owned, enqueueing_with_a_life),
    *(enqueueing_once, enqueueing_each_once, sending_rows),
    *(replacing, cancelling, replaying, ticking),
]


async def outcome(story: Story, faults: Faults, at: int) -> tuple[dict[str, Any], bool]:
    """Run a story, and return all that is there afterwards and cannot be missed; and whether a command failed."""
    clock = BenchClock(_START)
    redis, looking = clients()
    with clock.opened():
        bed = Bed(redis, looking, clock)
        faults.arm(0)
        await story(Run(bed, faults, at))
        bed.advance(0.01)  # what could not be deleted expires
        found = {key: value for key, value in bed.everything().items() if key not in _OPTIONAL}
    return found, faults.failed is not None


def but_for_counts(found: dict[str, Any]) -> dict[str, Any]:
    """Return what was found without what is counted: an attempt, a snooze or a start may count once more, or less."""
    counts = (RETRY, f"{KEYS.queue}:snoozes", RATE)
    return {key: value for key, value in found.items() if not key.startswith(counts)}


async def every_fault_is_healed(story: Story, faults: Faults) -> None:
    """Check that a story ends the same whichever of its commands fails."""
    expected, _ = await outcome(story, faults, 0)
    at, has_failed = 1, True
    while has_failed:
        found, has_failed = await outcome(story, faults, at)
        assert but_for_counts(found) == but_for_counts(expected), f"{at}: {faults.failed}"
        at += EVERY


@pytest.mark.parametrize("story", STEPS, ids=lambda story: story.__name__)
async def test_a_step_of_which_one_command_failed_is_made_whole(story: Story, faults: Faults) -> None:
    await every_fault_is_healed(story, faults)


@pytest.mark.parametrize(
    ("story", "told"),
    [
        (over, {("full", "completed"), ("plain", "completed"), ("cron", "completed"), ("dead", "dead")}),
        (
            going_again,
            {("full", "retried"), ("plain", "retried"), ("shut", "interrupted"), ("snoozed", "snoozed")},
        ),
    ],
    ids=["over", "going_again"],
)
async def test_what_became_of_jobs_is_told_whichever_command_of_the_step_fails(
    story: Story, told: set[tuple[str, str]], faults: Faults
) -> None:
    at, has_failed = 1, True
    while has_failed:
        clock = BenchClock(_START)
        redis, looking = clients()
        with clock.opened():
            bed = Bed(redis, looking, clock)
            await story(Run(bed, faults, at))
            found = {(event["id"], event["type"]) for event in bed.events()}
        has_failed = faults.failed is not None
        assert told <= found or "XADD" in str(faults.failed), f"{at}: {faults.failed}"
        at += EVERY


@pytest.mark.parametrize("story", CALLS, ids=lambda story: story.__name__)
async def test_a_call_of_a_client_that_failed_is_made_whole_by_the_next(story: Story, faults: Faults) -> None:
    await every_fault_is_healed(story, faults)


@pytest.mark.parametrize(
    ("refused", "result"), [("-del", "kept"), ("-del -zadd", None)], ids=["long way", "short way"]
)
async def test_a_client_that_may_not_delete_leaves_no_payload_for_a_job_that_never_runs(
    real: Bed, refused: str, result: str | None
) -> None:
    if result:
        real.looking.set(f"{RESULT}a", result)
    commands = ["+@all", *refused.split()]
    real.looking.acl_setuser("narrow", enabled=True, nopass=True, keys=["*"], commands=commands)
    await real.redis.execute_command("AUTH", "narrow", "any")
    with pytest.raises(ResponseError):
        await real.enqueue("a")
    await until(lambda: not real.looking.exists("arq:job:a"))
    real.looking.acl_setuser("narrow", commands=["+@all"])
    assert await real.enqueue("a") == [1]
