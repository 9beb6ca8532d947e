"""A first job: a function with `@job` in front of it, enqueued from anywhere, run by a worker.

`client` enqueues; behind it, in these stories, a worker of the same file's jobs is running on a real Redis.
"""

import pytest

from rota import Client, InvalidPayload, JobNotFound, Run, State, job


@job
async def greet(run: Run, name: str, times: int = 1) -> str:
    return " ".join([f"Hello, {name}!"] * times)


async def test_a_job_is_enqueued_and_its_result_awaited(client: Client) -> None:
    handle = await client.enqueue(greet, "Ann", times=2)
    assert await handle.result(timeout=10) == "Hello, Ann! Hello, Ann!"


async def test_everything_about_a_job_can_be_looked_up(client: Client) -> None:
    handle = await client.enqueue(greet, "Ann")
    await handle.result(timeout=10)
    info = await handle.status()
    assert info.state is State.COMPLETED
    assert (info.queue, info.task, info.attempts) == ("default", "greet", 1)
    assert info.payload == {"name": "Ann"}
    assert info.started_at is not None
    assert info.finished_at is not None
    assert info.started_at <= info.finished_at


async def test_wrong_arguments_are_refused_before_anything_is_sent(client: Client) -> None:
    with pytest.raises(InvalidPayload, match="times"):
        # A type checker says so too.
        await client.enqueue(greet, "Ann", times="often")  # type: ignore[arg-type]
    assert await client.jobs("default") == []


async def test_many_jobs_are_enqueued_at_once(client: Client) -> None:
    handles = await client.enqueue_many(greet.call(name) for name in ("Ann", "Bob", "Cem"))
    assert [await handle.result(timeout=10) for handle in handles] == [
        "Hello, Ann!",
        "Hello, Bob!",
        "Hello, Cem!",
    ]


async def test_a_caller_without_the_code_enqueues_by_name(client: Client) -> None:
    handle = await client.enqueue_by_name("default:greet", {"name": "Ann"})
    assert await handle.result(timeout=10) == "Hello, Ann!"


async def test_wrong_arguments_by_name_are_found_by_the_worker_and_never_retried(client: Client) -> None:
    handle = await client.enqueue_by_name("greet", {"name": 7})
    info = await client.wait(handle.queue, handle.id, timeout=10)
    assert (info.state, info.reason) == (State.DEAD, "invalid")
    assert "name" in str(info.error)


async def test_a_job_that_was_never_enqueued_is_not_found(client: Client) -> None:
    with pytest.raises(JobNotFound):
        await client.handle("default", "no-such-id").status()


async def test_a_handler_is_a_function_that_a_unit_test_can_call() -> None:
    assert await greet(Run(id="1", job="greet", queue="default"), "Ann") == "Hello, Ann!"
