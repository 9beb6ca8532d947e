"""What is it doing now: the stack of a running job, as a task, in a thread or in a child process."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest

from rota import (
    Client,
    Handle,
    JobNotFound,
    JobStack,
    NotRunning,
    QueueWorker,
    RotaError,
    Run,
    SyncClient,
    WorkerSilent,
    connect_sync,
    job,
)
from rota.app.resources import stack_teller
from rota.attempts.off_loop.threads import LoopThreads
from rota.cli.commands import hands
from rota.client.hands import stack as asking
from rota.server import connections
from rota.server.place import Server
from rota.server.target import RedisTarget
from rota.settings.load import load
from tests.counting import counts
from tests.integration.api.serving import answering
from tests.servers import RedisServer
from tests.waiting import until
from tests.workers import Works, at_work

#: Lets the handlers of a test go on.
FREE = threading.Event()
SECRET = "hunter2"


async def fetch(password: str) -> None:
    await asyncio.sleep(30)


@job
async def waits(run: Run) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(gathered())


async def gathered() -> None:
    await asyncio.gather(asyncio.create_task(fetch(SECRET)))


@job
async def lends(run: Run) -> None:
    await asyncio.to_thread(FREE.wait, 20)


@job
async def blocks(run: Run) -> None:
    FREE.wait(20)


@job
def works_in_a_thread(run: Run, depth: int) -> None:
    if depth:
        works_in_a_thread.handler(run, depth - 1)
    FREE.wait(20)


@pytest.fixture(autouse=True)
async def telling(works: Works, server: RedisServer) -> AsyncIterator[None]:
    """Run the service of a worker process that tells where jobs are."""
    FREE.clear()
    teller = asyncio.create_task(stack_teller(Server(RedisTarget.from_url(server.url)), works.workers).run())
    yield
    FREE.set()
    teller.cancel()
    with suppress(asyncio.CancelledError):
        await teller


async def stack_at(client: Client, handle: Handle[Any], function: str) -> JobStack:
    """Ask for the stack of a job, once it has come to a function."""

    async def found() -> JobStack | None:
        with suppress(NotRunning):
            stack = await client.stack(handle.queue, handle.id)
            return stack if any(function in one.function for one in stack.frames) else None
        return None

    stack: JobStack = await until(found, f"the job is at {function}")
    return stack


async def test_a_task_that_waits(client: Client) -> None:
    handle = await client.enqueue(waits)
    stack = await stack_at(client, handle, "fetch")
    assert (stack.where, stack.blocks, stack.note) == ("task", False, "")
    assert [one.function for one in stack.frames] == ["waits", "gathered", "fetch", "sleep"]
    assert stack.frames[2].code == "await asyncio.sleep(30)"
    assert 'test_47_stack.py", line ' in stack.text
    assert SECRET not in stack.text
    assert stack.seconds < 30
    assert (stack.task, stack.worker.rpartition("-")[0] != "") == ("waits", True)
    assert await handle.cancel() == "requested"


async def test_a_task_that_blocks_the_event_loop(client: Client, server: RedisServer) -> None:
    patient = await client.enqueue(waits)
    await stack_at(client, patient, "fetch")
    handle = await client.enqueue(blocks)

    def ask(other: SyncClient) -> tuple[JobStack, JobStack]:
        try:
            while not (stack := _asked(other, handle)) or not stack.blocks:
                pass
            return stack, other.stack(patient.queue, patient.id)
        finally:
            FREE.set()

    with connect_sync(load({"REDIS_URL": server.url})) as other:
        stack, waiting = await asyncio.to_thread(ask, other)
    assert [one.function for one in stack.frames][:2] == ["blocks", "Event.wait"]
    assert (stack.where, stack.state) == ("task", "a task that keeps the event loop busy, at")
    assert "fetch" in [one.function for one in waiting.frames]
    assert waiting.note.startswith("the event loop is blocked by something else, at ")
    await handle.result(10)
    await patient.cancel()


def _asked(client: SyncClient, handle: Handle[Any]) -> JobStack | None:
    with suppress(NotRunning):
        return client.stack(handle.queue, handle.id)
    return None


async def test_a_task_that_waits_for_a_thread_of_asyncios(client: Client) -> None:
    asyncio.get_running_loop().set_default_executor(LoopThreads())  # as a worker process does
    handle = await client.enqueue(lends)
    stack = await stack_at(client, handle, "wait")
    assert (stack.where, stack.frames[0].function) == ("thread", "lends")
    assert [one.function for one in stack.frames][1:] == ["to_thread", "Event.wait", "Condition.wait"]
    FREE.set()
    await handle.result(10)


async def test_a_thread_and_of_many_frames_the_first_and_the_last(client: Client) -> None:
    handle = await client.enqueue(works_in_a_thread, 100)
    stack = await stack_at(client, handle, "wait")
    assert (stack.where, len(stack.frames), stack.left_out > 50) == ("thread", 40, True)
    assert stack.frames[0].function == "works_in_a_thread"
    assert f"… {stack.left_out} more frames …" in stack.text
    assert len(stack.text) < 65_536
    FREE.set()
    await handle.result(10)


async def test_a_child_process_that_never_leaves_c_code(client: Client) -> None:
    handle = await client.enqueue(counts)
    stack = await stack_at(client, handle, "counts")
    assert stack.where == "process"
    assert [(one.function, one.code) for one in stack.frames] == [
        ("counts", "return sum(itertools.repeat(1, 10**12))")
    ]
    await handle.cancel()
    await client.wait(handle.queue, handle.id, 10)


async def arqs_function(ctx: dict[str, Any]) -> None:
    await fetch(SECRET)


async def test_a_function_of_arq_on_a_queue_worker(client: Client, server: RedisServer) -> None:
    async with (
        connections.async_client(RedisTarget.from_url(server.url)) as arq,
        at_work(
            QueueWorker([arqs_function], redis_pool=arq, queue_name="arq:queue:plain", handle_signals=False)
        ),
    ):
        await arq.enqueue_job("arqs_function", _job_id="a", _queue_name="arq:queue:plain")
        stack = await stack_at(client, client.handle("plain", "a"), "fetch")
    assert [one.function for one in stack.frames] == ["arqs_function", "fetch", "sleep"]


async def test_only_a_job_that_runs_has_one(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(JobNotFound):
        await client.stack("default", "none")
    later = await client.enqueue(waits.options(delay=60))
    with pytest.raises(NotRunning, match=r"is delayed; only a job that runs"):
        await client.stack(later.queue, later.id)
    # A stock worker has it, and then one of ours that does not answer.
    await client.redis.set(f"arq:in-progress:{later.id}", "1")
    with pytest.raises(NotRunning, match=r"a worker of arq's own"):
        await client.stack(later.queue, later.id)
    monkeypatch.setattr(asking, "PATIENCE", 0.1)
    await client.redis.hset("arq:queue:default:runs", later.id, "host-1-abc:0:7:1 1 1 0 0")
    with pytest.raises(
        WorkerSilent, match=r"the worker host-1-abc, which runs .* did not answer within 0\.1 s"
    ):
        await client.stack(later.queue, later.id)
    assert 0 < await client.redis.pttl("arq:stack:host-1-abc") <= 6000


async def test_a_job_that_has_just_ended(client: Client, works: Works) -> None:
    handle = await client.enqueue(waits)
    await stack_at(client, handle, "fetch")
    (worker,) = works.workers
    assert worker.engine is not None
    execution = worker.engine.executions.pop(handle.id)
    with pytest.raises(NotRunning, match="has just ended"):
        await client.stack(handle.queue, handle.id)
    worker.engine.executions[handle.id] = execution
    await handle.cancel()


async def test_the_command_line_finds_the_queue_and_prints_the_calls(
    client: Client,
    server: RedisServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("REDIS_URL", server.url)
    monkeypatch.setenv("JOBS_PACKAGE", __name__)
    handle = await client.enqueue(waits)
    await stack_at(client, handle, "fetch")
    capsys.readouterr()
    await asyncio.to_thread(hands.stack, handle.id)
    said = capsys.readouterr().out
    assert f"default:waits {handle.id}, for " in said
    assert "a task, which waits in:" in said
    assert "\n    await asyncio.sleep(30)\n" in said
    await asyncio.to_thread(hands.stack, handle.id, queue="default", as_json=True)
    assert json.loads(capsys.readouterr().out)["where"] == "task"
    with pytest.raises(JobNotFound):
        await asyncio.to_thread(hands.stack, "none")
    with pytest.raises(RotaError, match="queue"):
        await asyncio.to_thread(hands.stack, "none", queue="No Queue")
    await handle.cancel()


async def test_the_api_answers_and_says_why_where_it_cannot(
    client: Client, server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = await client.enqueue(waits)
    await stack_at(client, handle, "fetch")
    async with answering(server.url, waits, works=False) as api:
        found = (await api.http.get(f"/jobs/default/{handle.id}/stack")).json()
        assert (found["name"], found["where"], found["state"]) == (
            "default:waits",
            "task",
            "a task, which waits in",
        )
        assert found["frames"][2]["function"] == "fetch"
        monkeypatch.setattr(asking, "PATIENCE", 0.1)
        await client.redis.hset("arq:queue:default:runs", handle.id, "host-1-abc:0:7:1 1 1 0 0")
        silent = await api.http.get(f"/jobs/default/{handle.id}/stack")
        assert (silent.status_code, silent.json()["type"]) == (504, "urn:rota:problem:worker-silent")
        later = await client.enqueue(waits.options(delay=60))
        waiting = await api.http.get(f"/jobs/default/{later.id}/stack")
        assert (waiting.status_code, waiting.json()["type"]) == (409, "urn:rota:problem:wrong-state")
