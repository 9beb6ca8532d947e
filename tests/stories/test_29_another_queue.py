"""One enqueue may put a job on another queue than its own: `job.options(queue="bulk")`.

Each worker process knows all jobs, so the job runs wherever a worker serves that queue, with the settings of the queue
and its own policy. Its limits are counted together with those on its own queue.
"""

import asyncio

import pytest

from rota import Client, JobFailed, Run, State, at_most, job, pipeline
from tests.servers import RedisServer
from tests.waiting import until
from tests.workers import serving

running: list[str] = []


@job(queue="email")
async def greet(run: Run, name: str) -> str:
    return f"{run.queue}: Hello, {name}"


@job(queue="bulk", name="greet")
async def greet_many(run: Run, name: str) -> str:
    return f"bulk's own: {name}"


@job(queue="email", process=True)
def count(run: Run, text: str) -> int:
    return len(text)


@job(queue="email", max_attempts=1)
async def fail_once(run: Run, path: str) -> str:
    """Fail for as long as nobody has written the file."""
    with open(path) as file:
        return run.queue + file.read()


@job(queue="email", concurrency=at_most(1, key="who"))
async def alone(run: Run, who: str) -> int:
    running.append(run.queue)
    await asyncio.sleep(0.05)
    most = len(running)
    running.remove(run.queue)
    return most


@job(queue="email")
async def exclaim(run: Run, text: str) -> str:
    return f"{run.queue}: {text}!"


async def test_a_job_runs_on_the_queue_that_its_enqueue_names(client: Client) -> None:
    handle = await client.enqueue(greet.options(queue="bulk", id="a"), "Ann")
    assert (handle.queue, handle.id) == ("bulk", "bulk:a")
    assert await handle.result(timeout=20) == "bulk: Hello, Ann"
    assert (await greet.options(queue="bulk").handle(client, "a").status()).state is State.COMPLETED
    assert await (await client.enqueue(greet, "Ann")).result(timeout=20) == "email: Hello, Ann"
    assert await (await client.enqueue(greet_many, "Ann")).result(timeout=20) == "bulk's own: Ann"
    assert await (await client.enqueue(count.options(queue="bulk"), "four")).result(timeout=30) == 4


async def test_by_name_too(client: Client) -> None:
    handle = await client.enqueue_by_name("email:greet", {"name": "Ann"}, queue="bulk")
    assert await handle.result(timeout=20) == "bulk: Hello, Ann"


async def test_in_bulk_in_batches_and_in_pipelines(client: Client) -> None:
    elsewhere = greet.options(queue="bulk")
    many = await client.enqueue_many([elsewhere.call("Ann"), greet.call("Bob")])
    assert [await one.result(timeout=20) for one in many] == ["bulk: Hello, Ann", "email: Hello, Bob"]
    batch = await client.batch(
        [elsewhere.call("Ann")], on_finished=exclaim.options(queue="bulk").call("over")
    )
    assert (await batch.wait(timeout=20)).completed == 1
    run = await client.enqueue(pipeline(greet, exclaim.options(queue="bulk")), "Ann")
    assert await run.result(timeout=20) == "bulk: email: Hello, Ann!"


async def test_a_dead_letter_comes_back_to_the_queue_on_which_it_died(
    client: Client, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("once") / "file"
    handle = await client.enqueue(fail_once.options(queue="bulk"), str(path))
    with pytest.raises(JobFailed):
        await handle.result(timeout=20)
    path.write_text("!")
    again = await client.retry("bulk", handle.id)
    assert await again.result(timeout=20) == "bulk!"


async def test_its_limits_are_those_of_its_own_queue(client: Client) -> None:
    calls = [alone.options(**one).call("ann") for one in ({}, {"queue": "bulk"}) for _ in range(4)]  # type: ignore[arg-type]
    handles = await client.enqueue_many(calls)
    assert [await one.result(timeout=60) for one in handles] == [1] * 8


async def test_a_worker_that_does_not_have_it_leaves_it_to_one_that_does(
    server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(server.url, greet_many, UNKNOWN_DELAY="0.1") as works:
        handle = await works.client.enqueue(greet.options(queue="bulk"), "Ann")
        # The other job of that name is not taken for it.
        await until(lambda: "job.unknown" in caplog.messages, "the worker says that it does not know the job")
    async with serving(server.url, greet, greet_many) as works:
        assert await greet_many.handle(works.client, handle.id).result(timeout=20) == "bulk: Hello, Ann"


def test_a_name_that_is_no_queue_s_is_refused() -> None:
    with pytest.raises(ValueError, match="queue"):
        greet.options(queue="No queue")
