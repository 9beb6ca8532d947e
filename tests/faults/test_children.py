"""Handlers in threads and child processes: timeouts, deaths, and what a worker that ends leaves behind."""

import contextlib
import os
import signal
import time

import psutil
import pytest

from rota import Client, JobCancelled, JobFailed, State
from tests.faults.fleet import Fleet, records
from tests.faults.jobs_for_faults.in_processes import (
    compute,
    deaf_to_signals,
    die,
    end,
    report_from_process,
    run_program,
)
from tests.faults.jobs_for_faults.in_threads import (
    STARTS,
    end_another,
    end_another_in_process,
    end_another_on_loop,
    listen,
    nap,
    report_from_thread,
)
from tests.faults.jobs_for_faults.on_loop import work
from tests.processes import gone
from tests.waiting import until

SLOTS = 20


async def test_as_many_threads_run_at_once_as_there_are_slots(fleet: Fleet, client: Client) -> None:
    await fleet.start(queue_concurrency=SLOTS)
    handles = await client.enqueue_many(nap.call(seconds=1.5) for _ in range(SLOTS))
    await fleet.all_ended(handle.id for handle in handles)
    last_start = max(entry.at for entry in fleet.ledger.entries("start"))
    assert last_start < min(entry.at for entry in fleet.ledger.entries("end"))


async def test_a_thread_past_its_timeout_is_told_and_its_slot_is_free_when_it_stops(
    fleet: Fleet, client: Client
) -> None:
    (worker,) = await fleet.start(queue_concurrency=1)
    handle = await client.enqueue(listen.options(timeout=0.3, max_attempts=1), seconds=60)
    with pytest.raises(JobFailed, match=r"longer than 0\.3 s"):
        await handle.result(20)
    info = await handle.status()
    assert (info.state, info.reason) == (State.DEAD, "timeout")
    assert fleet.ledger.times("stopped") == {handle.id: 1}
    after = await client.enqueue(work, seconds=0)
    await after.result(10)
    assert worker.alive


async def test_a_thread_that_ignores_its_timeout_is_settled_without_and_the_process_drains_and_recycles(
    fleet: Fleet, client: Client
) -> None:
    (worker,) = await fleet.start()
    deaf = await client.enqueue(nap.options(timeout=0.3, max_attempts=1), seconds=60)
    neighbour = await client.enqueue(work, seconds=6.5)
    started_at = time.monotonic()
    with pytest.raises(JobFailed, match=r"longer than 0\.3 s"):
        await deaf.result(20)
    assert time.monotonic() - started_at > 4
    assert (await deaf.status()).reason == "timeout"
    assert await worker.ended() == 75
    assert worker.says("thread.stuck")
    assert fleet.ledger.times("end") == {neighbour.id: 1}
    assert await records(client, "completed") == {neighbour.id: 1}


async def test_a_process_job_past_its_timeout_is_killed_and_its_neighbours_do_not_notice(
    fleet: Fleet, client: Client
) -> None:
    (worker,) = await fleet.start(backoff_base=0.1)
    neighbours = [await client.enqueue(compute, seconds=3) for _ in range(2)]
    await until(lambda: len(fleet.ledger.entries("start")) == 2, "the neighbours run")
    slow = await client.enqueue(compute.options(timeout=0.5, max_attempts=2), seconds=60)
    with pytest.raises(JobFailed, match=r"longer than 0\.5 s"):
        await slow.result(20)
    info = await slow.status()
    assert (info.state, info.reason, info.attempts) == (State.DEAD, "timeout", 2)
    killed = {entry.pid for entry in fleet.ledger.entries("start") if entry.id == slow.id}
    await until(lambda: all(map(gone, killed)), "the children of both attempts are gone")
    pids = {await handle.result(20) for handle in neighbours}
    assert not pids & killed
    assert not fleet.ledger.twice("start") - {slow.id}
    assert worker.alive


async def test_a_running_process_job_is_killed_when_a_person_cancels_it(fleet: Fleet, client: Client) -> None:
    await fleet.start()
    handle = await client.enqueue(compute, seconds=60)
    await until(lambda: fleet.ledger.entries("start"), "it runs")
    assert await handle.cancel() == "requested"
    with pytest.raises(JobCancelled):
        await handle.result(10)
    (entry,) = fleet.ledger.entries("start")
    await until(lambda: gone(entry.pid), "the child is gone")


async def test_a_process_job_whose_child_dies_fails_and_is_tried_again(fleet: Fleet, client: Client) -> None:
    (worker,) = await fleet.start(backoff_base=0.1)
    left = await client.enqueue(die, how="exit")
    killed = await client.enqueue(die, how="kill")
    assert [await left.result(20), await killed.result(20)] == [2, 2]
    said = {event["job_id"]: event["error"] for event in worker.events("job.retried")}
    assert "ended with exit status 3" in said[left.id]
    assert "ended by signal 9" in said[killed.id]
    assert not await records(client, "lost")


async def test_a_process_job_whose_child_dies_each_time_is_a_dead_letter(
    fleet: Fleet, client: Client
) -> None:
    await fleet.start(backoff_base=0.05, max_attempts=2)
    handle = await client.enqueue(compute, seconds=60)
    for attempt in (1, 2):
        await until(lambda: len(fleet.ledger.entries("start")) == attempt, f"attempt {attempt}")  # noqa: B023 - awaited here
        os.kill(fleet.ledger.entries("start")[-1].pid, signal.SIGKILL)
    with pytest.raises(JobFailed, match="ended by signal 9"):
        await handle.result(10)
    info = await handle.status()
    assert (info.state, info.reason, info.attempts) == (State.DEAD, "failed", 2)


async def test_children_end_with_a_worker_that_is_killed(fleet: Fleet, client: Client) -> None:
    (worker,) = await fleet.start()
    await client.enqueue_many(compute.call(seconds=60) for _ in range(2))
    await until(lambda: len(fleet.ledger.entries("start")) == 2, "two children work")
    children = {child.pid for child in psutil.Process(worker.pid).children(recursive=True)}
    assert {entry.pid for entry in fleet.ledger.entries("start")} <= children
    worker.kill()
    await until(lambda: all(map(gone, children)), "no orphans are left", 10)


async def test_a_child_ignores_what_is_sent_to_all_and_ends_with_its_worker(
    fleet: Fleet, client: Client
) -> None:
    (worker,) = await fleet.start()
    programs = await (await client.enqueue(deaf_to_signals)).result(20)
    assert programs == [-signal.SIGINT, -signal.SIGTERM, -signal.SIGHUP], "the programs that it starts do not"
    child = await (await client.enqueue(compute, seconds=0.1)).result(20)
    assert not gone(child)
    worker.send(signal.SIGTERM)
    assert await worker.ended() == 0
    assert gone(child)


@pytest.mark.parametrize("how", ["timeout", "cancel", "shutdown", "kill"])
async def test_what_a_process_job_has_started_ends_with_it(fleet: Fleet, client: Client, how: str) -> None:
    (worker,) = await fleet.start(drain_timeout=0.2)
    # Longer than a child process takes to start on a busy machine.
    timeout = 5 if how == "timeout" else 60
    handle = await client.enqueue(run_program.options(timeout=timeout), then="wait")
    programs = await started_programs(fleet, worker.pid, 2)
    match how:
        case "cancel":
            await handle.cancel()
        case "shutdown":
            worker.send(signal.SIGTERM)
        case "kill":
            worker.kill()
    await until(lambda: all(map(gone, programs)), "nothing of it is left", 15)


async def test_a_process_job_that_dies_is_noticed_at_once_though_one_that_it_forked_lives(
    fleet: Fleet, client: Client
) -> None:
    (worker,) = await fleet.start()
    handle = await client.enqueue(run_program, then="die")
    with pytest.raises(JobFailed, match="ended with exit status 3"):
        await handle.result(20)
    (forked,) = fleet.ledger.entries("forked")
    await until(lambda: gone(forked.pid), "and what it forked is gone")
    assert worker.alive


async def started_programs(fleet: Fleet, pid: int, count: int) -> set[int]:
    """Wait until `count` shells sleep below the process `pid`; return all processes below it."""

    def sleeping() -> bool:
        return sum("sleep" in name for name in names(pid).values()) == count

    await until(sleeping, "the programs run")
    return set(names(pid))


def names(pid: int) -> dict[int, str]:
    """Return the names of all processes below `pid`."""
    found = {}
    for one in psutil.Process(pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            found[one.pid] = one.name()
    return found


async def test_progress_arrives_from_threads_and_processes(fleet: Fleet, client: Client) -> None:
    (worker,) = await fleet.start()
    reports = {
        (await client.enqueue(report_from_thread)).id: (40, "from a thread"),
        (await client.enqueue(report_from_process)).id: (60, "from a process"),
    }
    for job_id, report in reports.items():
        await until(lambda: shows(client, job_id, report), "it is seen while the job runs")  # noqa: B023 - awaited here

    def logged() -> dict[str, tuple[int, str]]:
        return {event["job_id"]: (event["percent"], event["text"]) for event in worker.events("job.progress")}

    # The worker logs it when Redis has answered, which may be after a reader has seen it.
    await until(lambda: logged() == reports, "it is logged")
    assert await records(client, "progress") == dict.fromkeys(reports, 1)


async def shows(client: Client, job_id: str, report: tuple[float, str]) -> bool:
    info = await client.status("default", job_id)
    return info.state is State.ACTIVE and (info.percent, info.message) == report


async def test_signals_and_retry_rules_hold_in_a_process_as_on_the_loop(fleet: Fleet, client: Client) -> None:
    await fleet.start(backoff_base=0.05, max_attempts=3)
    cases = {
        how: await client.enqueue(end, first=how)
        for how in ("retry", "snooze", "cancel", "key", "value", "lookup")
    }
    assert await cases["retry"].result(20) == 2
    assert await cases["snooze"].result(20) == 1, "a snooze spends no attempt"
    assert await cases["lookup"].result(20) == 2, "retry_on, by its base class"
    with pytest.raises(JobCancelled):
        await cases["cancel"].result(20)
    with pytest.raises(JobFailed, match="KeyError"):
        await cases["key"].result(20)
    with pytest.raises(JobFailed, match="ValueError: wrong"):
        await cases["value"].result(20)
    # give_up_on, and what retry_on does not name: no second attempt.
    assert fleet.ledger.times("start")[cases["key"].id] == 1
    assert fleet.ledger.times("start")[cases["value"].id] == 1
    error = (await cases["value"].status()).error
    assert error is not None
    assert error.traceback
    assert 'raise ValueError("wrong")' in error.traceback


async def test_a_handler_ends_the_processes_that_it_starts_and_its_worker_does_not_notice(
    fleet: Fleet, client: Client
) -> None:
    (worker,) = await fleet.start()
    starters = (end_another, end_another_on_loop, end_another_in_process)
    handles = {
        (one.name, how): await client.enqueue(one.options(timeout=10), how=how)
        for one in starters
        for how in STARTS
    }
    for case, handle in handles.items():
        assert await handle.result(20) == -signal.SIGTERM, case
    assert not worker.says("worker.draining")
    await (await client.enqueue(work, seconds=0)).result(10)
