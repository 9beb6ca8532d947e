"""Handlers that do not behave: each way to leave one, in each kind of handler, costs its attempt and nothing else."""

from typing import Any

from rota import Client, Job, State
from tests.faults.fleet import Fleet, records
from tests.faults.jobs_for_faults.on_loop import work
from tests.faults.jobs_for_faults.that_misbehave import (
    RAISES,
    raise_in_group,
    raise_in_process,
    raise_in_task,
    raise_in_thread,
    raise_on_loop,
)

RAISING: tuple[Job[Any, Any], ...] = (
    raise_on_loop,
    raise_in_task,
    raise_in_group,
    raise_in_thread,
    raise_in_process,
)
#: A GeneratorExit closes whatever awaits the task, as the end of a loop does.
CASES = [(one, how) for one in RAISING for how in RAISES if (one, how) != (raise_in_task, "generator-exit")]


async def test_whatever_a_handler_raises_is_an_ordinary_failure(fleet: Fleet, client: Client) -> None:
    (worker,) = await fleet.start(queue_concurrency=4)
    cases = {(one.name, how): await client.enqueue(one, how=how) for one, how in CASES}
    for case, handle in cases.items():
        await client.wait("default", handle.id, 20)
        info = await handle.status()
        assert (info.state, info.reason, info.attempts) == (State.DEAD, "failed", 1), case
        assert info.error is not None, case
        assert "that_misbehave.py" in (info.error.traceback or ""), case
    assert await records(client, "dead") == {handle.id: 1 for handle in cases.values()}
    assert {event["job_id"] for event in worker.events("job.dead")} == {
        handle.id for handle in cases.values()
    }
    after = await client.enqueue_many(work.call(seconds=0.1) for _ in range(4))
    await fleet.all_ended(handle.id for handle in after)
    assert not await records(client, "lost")
    assert worker.alive
