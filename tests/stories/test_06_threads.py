"""Plain functions: `def` instead of `async def`, which runs in a thread, where blocking delays no other job."""

import threading
import time

from rota import Client, Run, State, job
from tests.waiting import until_in


@job
def resize(run: Run, picture: str) -> str:
    run.progress(10, "reading")
    return f"{picture} on {threading.current_thread().name}"


@job
async def answer(run: Run) -> str:
    return "at once"


@job(timeout=300)
def compress(run: Run) -> None:
    # Nothing can stop a thread from outside: it has to look for itself.
    while not run.cancelled:
        time.sleep(0.01)
    raise InterruptedError("told to stop")


async def test_a_plain_function_runs_in_a_thread(client: Client) -> None:
    handle = await client.enqueue(resize, "cat.png")
    assert (await handle.result(timeout=10)).startswith("cat.png on rota-job")


async def test_a_blocking_function_delays_no_other_job(client: Client) -> None:
    blocking = await client.enqueue(compress)
    handle = await client.enqueue(answer)
    assert await handle.result(timeout=10) == "at once"
    assert (await blocking.status()).state in (State.WAITING, State.ACTIVE)
    await blocking.cancel()


async def test_a_thread_that_looks_at_cancelled_ends_when_its_job_is_cancelled(client: Client) -> None:
    handle = await client.enqueue(compress)
    await until_in(handle, State.ACTIVE)
    assert await handle.cancel() == "requested"
    assert (await client.wait(handle.queue, handle.id, timeout=10)).state is State.CANCELLED
