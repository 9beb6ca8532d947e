"""Pipelines and batches whose payloads are signed: all that scripts put of them was signed before, or is refused."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from rota import Client, JobFailed, Run, State, each, job, pipeline
from rota.wire.keys import JOB, flow_key
from rota.wire.sealing.ring import new_key
from tests.servers import RedisServer
from tests.waiting import until, until_in
from tests.workers import Works, serving

SIGNED = {"PAYLOAD_KEYS": new_key("one"), "PAYLOAD_SIGNING": "required"}
ENCRYPTED = {**SIGNED, "PAYLOAD_ENCRYPTION": "on"}
RAN: list[str] = []


@job
async def numbers(run: Run, most: int) -> list[int]:
    return list(range(most))


@job(max_attempts=1)
async def double(run: Run, number: int) -> int:
    if number == 1:
        raise ValueError("not one")
    return 2 * number


@job
async def total(run: Run, found: list[int | None]) -> str:
    return f"{sum(filter(None, found))}, {run.headers.get('tenant')}"


@job
async def totals(run: Run, found: list[list[int | None]]) -> list[int]:
    return [sum(filter(None, one)) for one in found]


@job
async def hold(run: Run, found: Any) -> Any:
    return found


@job
async def done(run: Run, what: str) -> None:
    assert run.batch is not None
    RAN.append(f"{what} {run.batch.completed} of {run.batch.total}")


summed = pipeline(numbers, each(double, on_failure="continue"), total)
nested = pipeline(numbers, each(pipeline(numbers, each(double, on_failure="continue"))), totals)
listed = pipeline(numbers, each(hold))
held = pipeline(numbers, hold.options(delay=600), hold)


@pytest.fixture(params=[SIGNED, ENCRYPTED], ids=["signed", "encrypted"])
async def works(request: pytest.FixtureRequest, server: RedisServer) -> AsyncIterator[Works]:
    """Run a worker that requires signatures."""
    RAN.clear()
    jobs = (numbers, double, total, totals, hold, done)
    async with serving(server.url, *jobs, **request.param) as works:
        yield works


@pytest.fixture
def client(works: Works) -> Client:
    return works.client


async def test_pipelines_and_batches_work_as_before(client: Client) -> None:
    one = await client.enqueue(summed.options(tenant="acme"), 4)
    other = await client.enqueue(nested, 4)
    every = await client.enqueue(listed, 3)
    assert await one.result(timeout=30) == "10, acme"
    assert await other.result(timeout=30) == [0, 0, 0, 4]
    assert await every.result(timeout=30) == [0, 1, 2]
    batch = await client.batch(
        [hold.call("a"), hold.call("b")], on_finished=done.call("finished"), on_died=done.call("died")
    )
    assert (await batch.wait(timeout=30)).completed == 2
    await until(lambda: RAN == ["finished 2 of 2"])


async def test_what_a_stage_returned_is_believed_only_where_a_worker_with_a_key_says_so(
    client: Client,
) -> None:
    async def stuck() -> tuple[Any, str, bytes]:
        """Return a run whose second stage waits, its key, and what its first stage returned."""
        run = await client.enqueue(held, 3)
        key = flow_key("rota", run.id)
        result = await until(lambda: client.redis.hget(key, "0:result"))
        return run, key, result

    run, key, _ = await stuck()
    theirs, _, other = await stuck()
    for forged in (b"[7]", b"[]", b"null", other, other[:-3] + b'=="'):
        await client.redis.hset(key, "0:result", forged)
        await client.reschedule("default", f"{run.id}.1.0")
        letter = await until_in(client.handle("default", f"{run.id}.1.0"), State.DEAD)
        assert letter.reason in ("unsigned", "bad_signature")
        run, key, _ = await stuck()
    await client.reschedule("default", f"{theirs.id}.1.0")
    assert await theirs.result(timeout=30) == [0, 1, 2]
    # Nor is the result of the whole.
    over = flow_key("rota", theirs.id)
    for forged in (b"[7]", other):
        await client.redis.hset(over, "result", forged)
        with pytest.raises(Exception, match=r"signed|signature"):
            await theirs.result(timeout=5)


async def test_what_is_fanned_out_is_what_was_planned(client: Client, works: Works) -> None:
    await client.pause("default")
    run = await client.enqueue(listed, 3)
    plan = f"{flow_key('rota', run.id)}:plan"
    # Another program changes the plan: for the items to be other jobs, with other arguments.
    await client.redis.hset(plan, mapping={"1:task": "done", "1:argument": "what", "1:options": "{}"})
    await client.resume("default")
    assert await run.result(timeout=30) == [0, 1, 2]
    assert RAN == []

    # Another program asks the worker to fan out something of its own.
    forged = b'{"v":1,"f":"_each","t":null,"a":[],"k":{},"et":1}'
    await client.redis.set(f"{JOB}f.0.each", forged)
    await client.redis.zadd("arq:queue:default", {"f.0.each": 1})
    letter = await until_in(client.handle("default", "f.0.each"), State.DEAD)
    assert letter.reason == "unsigned"


async def test_what_is_left_of_a_flow_that_died_is_stopped(client: Client) -> None:
    failing = pipeline(numbers, each(double))
    run = await client.enqueue(failing.options(tenant="acme"), 4)
    with pytest.raises(JobFailed, match="not one"):
        await run.result(timeout=30)

    async def is_quiet() -> bool:
        counts = await client.counts("default")
        return not counts[State.WAITING] and not counts[State.ACTIVE]

    await until(is_quiet)
    reasons = {info.reason for info in await client.jobs("default", State.DEAD)}
    assert reasons == {"failed"}
    assert await run.retry() == "retried"
