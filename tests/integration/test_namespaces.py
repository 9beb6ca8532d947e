"""An application and its workers may have namespaces of their own: flows go on where they lie."""

import contextlib
from collections.abc import AsyncIterator

import pytest

from rota import BatchInfo, Client, JobFailed, Run, State, each, job, pipeline
from rota.app.connect import client_of
from rota.server import connections
from rota.server.target import RedisTarget
from rota.settings.load import load
from tests.servers import RedisServer
from tests.waiting import until
from tests.workers import serving


@job
async def numbers(run: Run, upto: int) -> list[int]:
    return list(range(upto))


@job
async def double(run: Run, number: int) -> int:
    return number * 2


@job
async def inner(run: Run, number: int) -> int:
    return number + 1


@job(max_attempts=1)
async def fragile(run: Run, number: int) -> int:
    if number:
        raise ValueError("not this one")
    return number


@job
async def total(run: Run, numbers: list[int]) -> int:
    return sum(numbers)


@job
async def tell(run: Run) -> str:
    assert run.batch is not None
    return f"{run.batch.completed} of {run.batch.total}"


JOBS = (numbers, double, inner, fragile, total, tell)


@contextlib.asynccontextmanager
async def elsewhere(url: str, namespace: str = "team-a") -> AsyncIterator[Client]:
    """Yield the client of an application that has another namespace than the workers."""
    settings = load({"REDIS_URL": url, "NAMESPACE": namespace})
    async with client_of(settings, connections.async_client(RedisTarget.from_url(url))) as client:
        yield client


async def test_a_pipeline_of_another_namespace_comes_to_its_end(server: RedisServer) -> None:
    async with serving(server.url, *JOBS), elsewhere(server.url) as client:
        flow = await client.enqueue(pipeline(numbers, each(double), total), upto=4)
        assert await flow.result(10) == 12
        nested = await client.enqueue(pipeline(numbers, each(pipeline(double, inner)), total), upto=3)
        assert await nested.result(10) == 9


async def test_a_pipeline_of_another_namespace_dies_and_is_swept(server: RedisServer) -> None:
    async with serving(server.url, *JOBS) as works, elsewhere(server.url) as client:
        flow = await client.enqueue(pipeline(numbers, each(fragile), total), upto=3)
        with pytest.raises(JobFailed):
            await flow.result(10)
        assert (await flow.status()).state is State.DEAD
        await until(lambda: _is_quiet(works.client), "nothing of it waits or runs")


async def test_a_batch_of_another_namespace_calls_back(server: RedisServer) -> None:
    async with serving(server.url, *JOBS) as works, elsewhere(server.url) as client:
        batch = await client.batch([double.call(1), double.call(2)], on_finished=tell.call())
        done: BatchInfo = await batch.wait(10)
        assert done.completed == 2
        told = works.client.handle("default", f"{batch.id}.0.finished", tell)
        assert await told.result(10) == "2 of 2"


async def _is_quiet(client: Client) -> bool:
    counts = await client.counts("default")
    return counts[State.WAITING] + counts[State.ACTIVE] + counts[State.DELAYED] == 0
