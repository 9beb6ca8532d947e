"""What a step costs: how many commands it executes in Redis. A whole fleet waits for each of them."""

from collections import Counter
from collections.abc import Coroutine
from typing import Any

import pytest

from rota.wire.keys import IN_PROGRESS, RESULT
from tests.unit.wire.lua.beds import KEYS, LEASE, Bed, Worker, again, bury, finish

#: The call itself, and the test's own questions.
_AROUND = {"evalsha", "eval", "info"}


class Counted:
    """A bed on a real server, its worker, and the commands that are executed for it."""

    def __init__(self, bed: Bed) -> None:
        self.bed = bed
        self.worker: Worker = bed.worker("w")

    async def commands(self, step: Coroutine[Any, Any, Any]) -> Counter[str]:
        """Return the commands that the server executes while the worker does `step`."""
        before = self.bed.commands()
        await step
        executed = self.bed.commands() - before
        return Counter({name: number for name, number in executed.items() if name not in _AROUND})


@pytest.fixture
async def counted(real: Bed) -> Counted:
    counted = Counted(real)
    await counted.worker.step()
    return counted


async def test_a_step_on_an_empty_queue_asks_for_the_time_and_for_the_head(counted: Counted) -> None:
    assert await counted.commands(counted.worker.step(10)) == {"time": 1, "zrange": 1}


async def test_one_before_anything_is_due_remembers_that_it_was_there_and_asks_what_comes_next(
    counted: Counted,
) -> None:
    counted.bed.put("later", due=counted.bed.now + 60_000)
    expected = {"time": 1, "zrange": 1, "set": 1, "zrangebyscore": 1}
    assert await counted.commands(counted.worker.step(10)) == expected


async def test_a_claim_and_a_settlement_of_one_job_cost_little_and_together_less(counted: Counted) -> None:
    worker = counted.worker
    counted.bed.put("a")
    assert (await counted.commands(worker.claim())).total() <= 21
    assert (await counted.commands(worker.settle(finish(worker.held["a"])))).total() <= 15
    counted.bed.put("b", "c")
    claim = await worker.claim_one()
    assert (await counted.commands(worker.step(1, [finish(claim)]))).total() <= 31


async def test_what_a_queue_has_not_costs_one_question(counted: Counted) -> None:
    counted.bed.put("a", "b")
    claim = await counted.worker.claim_one()
    commands = await counted.commands(counted.worker.step(1, [finish(claim)]))
    assert commands["exists"] == 1
    assert commands["mget"] == 3, "whether anything is recorded is asked besides"


async def test_of_a_queue_that_has_one_thing_the_others_are_not_looked_for(counted: Counted) -> None:
    await counted.bed.enqueue("a", "b", terms="p=5")
    claim = await counted.worker.claim_one()
    commands = await counted.commands(counted.worker.settle(again(claim, 0)))
    assert commands["exists"] == 2


@pytest.mark.parametrize("is_allowed", [True, False])
async def test_a_hundred_jobs_cost_few_commands_or_one_each_where_many_keys_may_not_be_written_at_once(
    counted: Counted, *, is_allowed: bool
) -> None:
    bed, worker, sets = counted.bed, counted.worker, "msetex" if is_allowed else "set"
    bed.put(*(f"{number:03}" for number in range(100)))
    if not is_allowed:
        bed.looking.execute_command("ACL", "SETUSER", "default", "-msetex")
    try:
        claiming = await counted.commands(worker.claim(100))
        claims = list(worker.held.values())
        assert (len(claims), bed.held("042")) == (100, worker.held["042"].token.encode())
        assert 0 < bed.looking.pttl(f"{IN_PROGRESS}042") <= LEASE * 1000
        settling = await counted.commands(worker.settle(*map(finish, claims)))
    finally:
        bed.looking.execute_command("ACL", "SETUSER", "default", "+@all")
    assert (bed.result("042"), bed.looking.pttl(f"{RESULT}042") > 0) == (b'{"r":1}', True)
    assert settling["xadd"] <= 5
    for commands in (claiming, settling):
        assert commands[sets] in ((1,) if is_allowed else (100, 101, 102))
        assert commands.total() <= (25 if is_allowed else 125)


async def test_the_watcher_s_role_is_kept_by_one_command(counted: Counted) -> None:
    scripts, redis = counted.worker.scripts, counted.bed.redis
    assert await scripts.watch(redis, 25)
    assert await counted.commands(scripts.keep_watching(redis, 25)) == {"getex": 1}


async def test_a_log_costs_a_few_commands_and_a_job_without_one_none(counted: Counted) -> None:
    worker = counted.worker
    counted.bed.put("a", "b", "c")
    one, other, third = await worker.claim(3)
    without = await counted.commands(worker.settle(finish(one)))
    said = b'5 10 1 1 30\n[[1,"info","a line"]]\n'
    with_log = await counted.commands(worker.settle(finish(other, log=said)))
    assert with_log - without == {"hset": 1, "hkeys": 1, "pexpire": 1}
    assert not without["hset"] + without["hkeys"] + without["pexpire"]
    written = await counted.commands(worker.scripts.keep_logs(counted.bed.redis, [(third, said)]))
    assert written == {"hget": 1, "hset": 1, "pexpire": 1}


async def test_a_death_notes_its_cause_by_five_commands(counted: Counted) -> None:
    worker, costs = counted.worker, []
    for detail in (b'"boom"', b'{"__error__":{"type":"E","cause":"0a1b2c","message":"boom"}}'):
        counted.bed.put("a")
        claim = await worker.claim_one()
        costs.append((await counted.commands(worker.settle(bury(claim, detail=detail)))).total())
        counted.bed.looking.delete("arq:queue:q:dead:a", "arq:queue:q:dead")
    # The other one writes the cause into the letter.
    assert costs[1] - costs[0] == 5 + 1


async def test_plain_jobs_are_put_by_one_command_of_each_kind(counted: Counted) -> None:
    put = {"time": 1, "exists": 1, "mset": 1, "zadd": 1, "xadd": 1, "llen": 1}
    assert await counted.commands(counted.bed.enqueue("a")) == put | {"lpush": 1}
    ids = [f"{number:032x}" for number in range(100)]
    commands = await counted.commands(counted.bed.enqueue(*ids))
    assert commands.pop("xadd") <= 8
    assert commands == {name: number for name, number in put.items() if name != "xadd"}


async def test_redis_finds_the_claims_of_a_worker_with_a_short_name_without_reading_all(real: Bed) -> None:
    # The shortest name that `unique_name` makes: a host of one letter, process 1.
    worker = real.worker("h-1-abcdef")
    real.put("a")
    await worker.claim_one()
    assert real.looking.object("encoding", KEYS.runs) == b"hashtable"
