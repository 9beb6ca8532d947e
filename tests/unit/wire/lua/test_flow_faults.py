"""Each command of every script that a flow goes through fails once: nothing stays half made.

The scenarios are those of `test_flows`. A call in which a command failed is made again, as it was; or its process ends
there, and another goes on. The flow must end in the same way each time.
"""

import os
from contextlib import suppress
from typing import Any, Literal

import pytest
from redis.exceptions import ResponseError

from rota import Client, each, pipeline
from rota.settings.settings import Settings
from rota.testing import Bench
from rota.wire.scripts import FLOW_START, STEP
from tests.unit.wire.lua.beds import KEYS, Bed, finish
from tests.unit.wire.lua.faults import Faults
from tests.unit.wire.lua.test_flows import SCENARIOS, Cut, Scenario, note, numbers, total, work

#: One in this many commands is made to fail: at full scale 1 in 23, and at 23, every one.
EVERY = max(1, round(23 / float(os.environ.get("FAULTS_SCALE", "0.1"))))
#: Where the arguments of a step say that it is sent again, and how many settlements it has.
_RESEND, _SETTLEMENTS = 3 + 10 + 10, 3 + 10 + 13

How = Literal["again", "cut"]


class Wire:
    """A connection on which a call that was refused is made once more; with "cut", that of a client is cut off."""

    def __init__(self, redis: Any, how: How, faults: Faults) -> None:
        self._how = how
        self._faults = faults
        self._call = redis.execute_command
        redis.execute_command = self.execute_command

    async def undisturbed(self, *args: Any, **kwargs: Any) -> Any:
        """Make a call in which no command fails."""
        with self._faults.held_off():
            return await self._call(*args, **kwargs)

    async def execute_command(self, *args: Any, **kwargs: Any) -> Any:
        is_step = args[1] in (STEP.sha, STEP.source)
        if is_step and args[_SETTLEMENTS] == 0:
            return await self.undisturbed(*args, **kwargs)  # claims are for `test_faults`
        try:
            return await self._call(*args, **kwargs)
        except ResponseError as error:
            if "made to fail" not in str(error):
                raise
        if is_step:
            return await self._call(*args[:_RESEND], 1, *args[_RESEND + 1 :], **kwargs)
        if self._how == "cut" and args[1] != FLOW_START.sha:
            raise Cut
        return await self._call(*args, **kwargs)


async def played(scenario: Scenario, faults: Faults, at: int, how: How) -> tuple[Any, list[str]]:
    """Return how a scenario ended, and the keys that would stay for ever."""
    with Bench([numbers, work, total, note]) as bench:
        Wire(bench.client.redis, how, faults)
        faults.arm(at)
        result = await scenario(bench)
        faults.disarm()
        looking = bench._looking
        forever = [key.decode() for key in looking.keys("*flow*") if looking.pttl(key) < 0]
        left = [key.decode() for key in looking.keys("*:terms")]
        return result, forever + left


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch, scripts_end: None) -> Faults:
    return Faults(monkeypatch, never=[b"XADD"])


@pytest.mark.parametrize("how", ["again", "cut"])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
async def test_whichever_command_fails_a_flow_comes_to_the_same(
    scenario: Scenario, how: How, faults: Faults
) -> None:
    expected = await played(scenario, faults, 0, how)
    calls = faults.calls
    for at in range(1 + calls % EVERY, calls, EVERY):
        found = await played(scenario, faults, at, how)
        assert (at, faults.failed, found) == (at, faults.failed, expected)


@pytest.mark.parametrize(
    "damage",
    [
        lambda looking, key: (looking.delete(key), looking.set(key, "text")),
        lambda looking, key: looking.hset(key, "open", "many"),
        lambda looking, key: looking.hset(key, "stage", "one"),
        lambda looking, key: looking.hdel(key, "plan"),
        lambda looking, key: looking.hset(f"{key}:plan", "n", "two"),
        lambda looking, key: looking.delete(key),
        lambda looking, key: (looking.delete(f"{key}:plan"), looking.set(f"{key}:plan", "text")),
    ],
    ids=["of another type", "open", "stage", "no plan", "n", "gone", "plan of another type"],
)
async def test_a_flow_that_is_damaged_holds_up_no_job(clocked: Bed, damage: Any) -> None:
    handle = await Client(clocked.redis, Settings(default_queue="q")).enqueue(
        pipeline(numbers, each(work)), 3
    )
    clocked.put("other")
    worker = clocked.worker("w")
    first, other = sorted(await worker.claim(2), key=lambda claim: claim.id == "other")
    damage(clocked.looking, f"rota:flow:{handle.id}")
    settlements = [finish(first), finish(other)]
    with suppress(ResponseError):
        await worker.step(0, settlements)
    reply = await worker.step(0, settlements, seq=worker.last, resend=True)
    assert reply.answers == [True, True]
    assert clocked.score(first.id) is None
    assert not clocked.looking.hlen(KEYS.runs)


@pytest.mark.parametrize("jobs_done", [0, 2], ids=["in a stage of one job", "among the items of a list"])
@pytest.mark.parametrize("cancelled", ["job", "flow"])
async def test_a_flow_that_lost_its_plan_ends_when_it_or_a_job_of_it_is_cancelled(
    cancelled: str, jobs_done: int
) -> None:
    with Bench([numbers, work]) as bench:
        handle = await bench.client.enqueue(pipeline(numbers, each(work)), 3)
        with suppress(AssertionError):
            await bench.drain(max_jobs=jobs_done)
        bench._looking.delete(f"rota:flow:{handle.id}:plan")
        job = f"{handle.id}.0.0" if jobs_done == 0 else f"{handle.id}.1.1"
        assert (
            await (bench.client.cancel("default", job) if cancelled == "job" else handle.cancel())
            == "cancelled"
        )
        assert (await handle.status()).state == "cancelled"
        assert bench._looking.ttl(f"rota:flow:{handle.id}") > 0
        await bench.drain()
        assert not bench._looking.keys("arq:job:*"), "its other jobs hold up nothing"
        assert not [key for key in bench._looking.keys("rota:flow:*") if bench._looking.ttl(key) < 0]


async def test_a_batch_that_lost_the_number_of_its_jobs_ends_with_the_last_of_them(clocked: Bed) -> None:
    batch = await Client(clocked.redis, Settings(default_queue="q")).batch([work.call(1), work.call(2)])
    clocked.looking.hdel(f"rota:flow:{batch.id}", "0:total")
    worker = clocked.worker("w")
    for state in (b"active", b"completed"):
        await worker.settle(finish(await worker.claim_one()))
        assert clocked.looking.hget(f"rota:flow:{batch.id}", "state") == state
