"""Flows that are disturbed between any two scripts: a repeated script changes nothing, and after a crash others go on.

Each scenario runs once undisturbed, which numbers its scripts; then once more for every script: the process ends before
it, or after it and before its reply, or it is sent twice. The flow must end in the same way each time.
"""

import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, Literal

import pytest

from rota import Cancel, JobCancelled, JobFailed, Run, each, fixed, job, pipeline
from rota.testing import Bench
from rota.wire.keys import QueueKeys, queue_key
from rota.wire.queue import QueueScripts, ServiceRules
from tests.streams import events_in

#: One in this many scripts is disturbed; at full scale, every one.
EVERY = 1 if float(os.environ.get("FAULTS_SCALE", "0.1")) >= 1 else 13

How = Literal["before", "after", "twice"]


class Cut(BaseException):
    """The end of the process, in place of a script's reply."""


class Wire:
    """A client's connection that counts the scripts, and disturbs one of them."""

    def __init__(self, redis: Any) -> None:
        self.number = 0
        self.disturbed: tuple[int, How] | None = None
        self.undisturbed = redis.execute_command
        redis.execute_command = self.execute_command

    async def execute_command(self, *args: Any, **kwargs: Any) -> Any:
        if args[0] != "EVALSHA":
            return await self.undisturbed(*args, **kwargs)
        self.number += 1
        at, how = self.disturbed or (0, "twice")
        if self.number != at:
            return await self.undisturbed(*args, **kwargs)
        if how == "before":
            raise Cut
        answer = await self.undisturbed(*args, **kwargs)
        if how == "after":
            raise Cut
        await self.undisturbed(*args, **kwargs)
        return answer


@job
async def numbers(run: Run, upto: int) -> list[int]:
    return list(range(upto))


@job(max_attempts=1)
async def work(run: Run, number: int) -> int:
    if number == 3:
        raise ValueError("unlucky")
    if number == 5:
        raise Cancel("not this one")
    return 2 * number


@job(queue="other")
async def total(run: Run, numbers: Sequence[int | None]) -> int:
    return sum(number or 0 for number in numbers)


@job
async def note(run: Run, word: str) -> str:
    assert run.batch
    return f"{word}: {run.batch.completed} of {run.batch.total}"


@job(backoff=fixed(3600.0))
async def falter(run: Run) -> str:
    raise ValueError("once more")


sums = pipeline(numbers, each(work), total)
gaps = pipeline(numbers, each(work, on_failure="continue"), total)
nested = pipeline(numbers, each(pipeline(numbers, each(work), total)), total)

Scenario = Callable[[Bench], Awaitable[Any]]


async def drained(bench: Bench) -> None:
    """Work everything off; another worker follows one that was cut off."""
    try:
        await bench.drain()
    except Cut:
        await a_lease_ends(bench)
        await bench.drain()


async def a_lease_ends(bench: Bench) -> None:
    """Let a lease end while the fleet is alive, so that the claims of a dead worker are free."""
    redis = SimpleNamespace(execute_command=bench.client.redis.execute_command.__self__.undisturbed)
    for number in range(1, 9):
        bench.advance(bench.settings.lease / 4)
        for queue in bench.queues:
            idle = QueueScripts(QueueKeys.of(queue_key(queue)), "idle", bench.settings.lease, ServiceRules())
            await idle.step(redis, lane=0, seq=number, want=0)


async def enqueued(bench: Bench, what: Any, *args: Any) -> Any:
    """Enqueue a pipeline under an id, and once more if the client was cut off."""
    asked = what.options(id="mine", on_taken="existing")
    try:
        return await bench.client.enqueue(asked, *args)
    except Cut:
        return await bench.client.enqueue(asked, *args)


async def came_to(handle: Any) -> Any:
    try:
        return await handle.result(timeout=0)
    except (JobFailed, JobCancelled) as error:
        return type(error).__name__, getattr(error, "message", "") or getattr(error, "reason", "")


def ends(bench: Bench, task: str) -> int:
    """Return how many jobs of a name completed: a step that failed, and is sent again, may tell of an end twice."""
    return len({event.id for event in bench.events if (event.task, event.type) == (task, "completed")})


async def plain(bench: Bench) -> Any:
    handle = await enqueued(bench, sums, 3)
    await drained(bench)
    return await came_to(handle), ends(bench, "work"), ends(bench, "total")


async def with_gaps(bench: Bench) -> Any:
    handle = await enqueued(bench, gaps, 7)
    await drained(bench)
    return await came_to(handle), ends(bench, "work"), ends(bench, "total")


async def in_pipelines(bench: Bench) -> Any:
    handle = await enqueued(bench, nested, 3)
    await drained(bench)
    return await came_to(handle), ends(bench, "work"), ends(bench, "total")


async def empty(bench: Bench) -> Any:
    handle = await enqueued(bench, sums, 0)
    await drained(bench)
    return await came_to(handle), ends(bench, "total")


async def dying(bench: Bench) -> Any:
    handle = await enqueued(bench, sums, 5)
    await drained(bench)
    return await came_to(handle), ends(bench, "work"), ends(bench, "total"), len(bench.dead)


async def dying_and_going_on(bench: Bench) -> Any:
    handle = await enqueued(bench, sums, 4)
    await drained(bench)
    answers = []
    for _ in range(2):
        try:
            answers.append(await handle.retry())
        except Cut:
            answers.append(await handle.retry())
    await drained(bench)
    return await came_to(handle), "retried" in answers or "refused" in answers, ends(bench, "work")


async def cancelled(bench: Bench) -> Any:
    handle = await enqueued(bench, sums, 3)
    with suppress(AssertionError, Cut):
        await bench.drain(max_jobs=4)
    try:
        await handle.cancel()
    except Cut:
        await handle.cancel()
    await drained(bench)
    await a_lease_ends(bench)
    await drained(bench)
    return await came_to(handle), ends(bench, "total"), len(bench.dead)


async def batch(bench: Bench) -> Any:
    async def put() -> Any:
        calls = [*(work.call(number) for number in range(2, 7)), total.call([1, 2])]
        return await bench.client.batch(
            calls, on_finished=note.call("over"), on_died=note.call("dead"), id="mine"
        )

    try:
        handle = await put()
    except Cut:
        handle = await put()
    await drained(bench)
    info = await handle.status()
    words = sorted(word.partition(":")[0] for word in bench.results(note))
    return (info.state, info.total, info.completed, info.dead, info.cancelled), words


SCENARIOS = [plain, with_gaps, in_pipelines, empty, dying, dying_and_going_on, cancelled, batch]
EXPECTED = {
    plain: (6, 3, 1),
    with_gaps: (2 * (0 + 1 + 2 + 4 + 6), 5, 1),
    in_pipelines: (2 * (0 + 0 + 1), 3, 4),
    empty: (0, 1),
    batch: (("completed", 6, 4, 1, 1), ["dead", "over"]),
}


async def played(scenario: Scenario, disturbed: tuple[int, How] | None) -> tuple[Any, int, list[str]]:
    """Return how a scenario ended, how many scripts it took, and the keys that would stay for ever."""
    with Bench([numbers, work, total, note]) as bench:
        wire = Wire(bench.client.redis)
        wire.disturbed = disturbed
        result = await scenario(bench)
        looking = bench._looking
        forever = [key.decode() for key in looking.keys("*flow*") if looking.pttl(key) < 0]
        left = [key.decode() for key in looking.keys("*:terms")]
        return result, wire.number, forever + left


@pytest.mark.parametrize("how", ["before", "after", "twice"])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
async def test_wherever_it_is_cut_a_flow_comes_to_the_same(scenario: Scenario, how: How) -> None:
    undisturbed, scripts, left = await played(scenario, None)
    if scenario in EXPECTED:
        assert undisturbed == EXPECTED[scenario]
    assert not left
    for number in range(1 + scripts % EVERY, scripts + 1, EVERY):
        result, _, left = await played(scenario, (number, how))
        assert (number, result) == (number, undisturbed)
        assert (number, left) == (number, [])


async def test_a_job_that_is_stopped_between_two_attempts_is_told_with_those_it_had() -> None:
    with Bench([falter, note]) as bench:
        handle = await bench.client.enqueue(pipeline(falter, note))
        with suppress(AssertionError):
            await bench.drain(max_jobs=1)
        await handle.cancel()
        told = [one for one in events_in(bench._looking.xrange("rota:events")) if one.task == "falter"]
    assert [(one.type, one.attempt) for one in told[-2:]] == [("retried", 1), ("cancelled", 1)]
