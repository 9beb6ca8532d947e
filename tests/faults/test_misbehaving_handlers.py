"""Handlers that do not behave: each way to leave one, in each kind of handler, costs its attempt and nothing else."""

import signal
import time
from typing import Any

import pytest

from rota import Client, Job, State
from tests.faults.fleet import FULL, Fleet, records
from tests.faults.jobs_for_faults.on_loop import work
from tests.faults.jobs_for_faults.that_misbehave import (
    RAISES,
    leave_task,
    raise_in_group,
    raise_in_process,
    raise_in_task,
    raise_in_thread,
    raise_on_loop,
    sleep_in_thread,
    swallow,
)
from tests.waiting import until

RAISING: tuple[Job[Any, Any], ...] = (
    raise_on_loop,
    raise_in_task,
    raise_in_group,
    raise_in_thread,
    raise_in_process,
)
CASES = [(one, how) for one in RAISING for how in RAISES]


async def test_whatever_a_handler_raises_is_an_ordinary_failure(fleet: Fleet, client: Client) -> None:
    (worker,) = await fleet.start(queue_concurrency=4)
    cases = {(one.name, how): await client.enqueue(one, how=how) for one, how in CASES}
    for case, handle in cases.items():
        await client.wait("default", handle.id, 20)
        info = await handle.status()
        assert (info.state, info.reason, info.attempts) == (State.DEAD, "failed", 1), case
        assert info.error is not None, case
        # A GeneratorExit closes what awaits the task, and so the frames that it would show.
        place = "GeneratorExit" if case[1] == "generator-exit" else "that_misbehave.py"
        assert place in (info.error.traceback or ""), case
    assert await records(client, "dead") == {handle.id: 1 for handle in cases.values()}
    assert {event["job_id"] for event in worker.events("job.dead")} == {
        handle.id for handle in cases.values()
    }
    after = await client.enqueue_many(work.call(seconds=0.1) for _ in range(4))
    await fleet.all_ended(handle.id for handle in after)
    assert not await records(client, "lost")
    assert worker.alive


async def running(fleet: Fleet, count: int) -> None:
    await until(lambda: len(fleet.ledger.entries("start")) == count, f"{count} jobs run")


async def test_handlers_that_ignore_their_timeout_or_their_cancel_are_left_behind_and_the_process_is_recycled(
    fleet: Fleet, client: Client
) -> None:
    (worker,) = await fleet.start()
    late = await client.enqueue(swallow.options(timeout=0.3))
    in_thread = await client.enqueue(sleep_in_thread.options(timeout=0.3))
    unwanted = await client.enqueue(swallow)
    await running(fleet, 3)
    await unwanted.cancel()
    assert await worker.ended(20) == 75
    for handle in (late, in_thread):
        info = await handle.status()
        assert (info.state, info.reason) == (State.DEAD, "timeout")
    assert (await unwanted.status()).state is State.CANCELLED
    assert await records(client, "dead", "cancelled") == {one.id: 1 for one in (late, in_thread, unwanted)}
    assert {event["job_id"] for event in worker.events("handler.stuck")} == {late.id, unwanted.id}
    assert [event["job_id"] for event in worker.events("thread.stuck")] == [in_thread.id]


@pytest.mark.parametrize("signals", [1, 2] if FULL else [1])
async def test_nothing_that_handlers_leave_holds_up_the_end_of_a_drain(
    fleet: Fleet, client: Client, signals: int
) -> None:
    (worker,) = await fleet.start(drain_timeout=0.3 if signals == 1 else 60)
    handles = [await client.enqueue(one) for one in (swallow, leave_task, sleep_in_thread)]
    await running(fleet, len(handles))
    worker.send(signal.SIGTERM)
    await until(lambda: worker.says("worker.draining"), "it drains")
    told_at = time.monotonic()
    for _ in range(signals - 1):
        worker.send(signal.SIGTERM)
    assert await worker.ended(20) == 0
    assert time.monotonic() - told_at < 10
    for handle in handles:
        info = await handle.status()
        assert (info.state, info.attempts) == (State.WAITING, 0)
    assert await records(client, "interrupted") == {handle.id: 1 for handle in handles}
    assert worker.says("handler.stuck")
    assert worker.says("thread.stuck")
    assert "_ignore" in str(worker.events("worker.left_running")[0]["tasks"])
