"""The production stack: five workers share the work, and lose none of it when they stop, die, hang, or lose Redis."""

import re
import time
from collections import Counter

import pytest

from tests.container.stack import Event, Stack, wait_until

WORKERS = 5
SLOTS = 4
LEASE = 5.0
#: A job that still runs when a busy machine has seen that it was started, seconds.
LONG = 12.0


@pytest.fixture
def five(stack: Stack) -> Stack:
    """Return the stack with its five workers running, whatever an earlier test has done to it."""
    stack.up(WORKERS)
    wait_until(lambda: len(stack.ids("worker")) == WORKERS, "five workers run")
    return stack


def short(containers: list[str]) -> set[str]:
    """Containers as they call themselves: by host name."""
    return {container[:12] for container in containers}


def workload(events: list[Event]) -> Counter[str]:
    """Count the jobs that each container started."""
    return Counter(event.container for event in events if event.type == "started")


def running_jobs(stack: Stack, count: int) -> set[str]:
    """Enqueue long jobs, wait until each of them runs, and return their ids."""
    ids = stack.enqueue(count, LONG)
    wait_until(lambda: stack.counted(ids, "started") == once(ids), "each of the jobs runs")
    return ids


def busiest(stack: Stack, ids: set[str]) -> tuple[str, set[str]]:
    """Find the container that runs the most of these jobs, and the jobs that it runs."""
    events = stack.events(ids)
    ((name, _),) = workload(events).most_common(1)
    (container,) = (one for one in stack.ids("worker") if one.startswith(name))
    return container, {event.id for event in events if event.container == name}


def once(ids: set[str]) -> Counter[str]:
    return Counter(dict.fromkeys(ids, 1))


def test_five_workers_come_up_and_are_all_healthy(five: Stack) -> None:
    containers = five.ids("worker")
    wait_until(lambda: {five.health(one) for one in containers} == {"healthy"}, "all are healthy")
    (redis,) = five.ids("redis")
    assert five.health(redis) == "healthy"


def test_two_hundred_jobs_are_shared_by_all_five(five: Stack, facts: list[str]) -> None:
    ids = five.enqueue(200, 0.3)
    five.finish(ids)
    events = five.events(ids)
    shares = workload(events)
    facts.append(f"200 jobs over five workers: {sorted(shares.values())}")
    assert shares.keys() == short(five.ids("worker"))
    assert min(shares.values()) >= 10
    assert five.counted(ids, "started") == five.counted(ids, "completed") == once(ids)


def test_a_job_in_a_process_of_its_own_runs_in_a_confined_container(five: Stack) -> None:
    command = ("rota", "enqueue", "reports:data_processing", '{"rows": 1000}', "--wait", "60")
    said = five.compose("exec", "-T", "worker", *command)
    assert re.search(r"rows\W+1000\b", said), said


def test_the_jobs_of_a_killed_worker_run_again_on_others(five: Stack, facts: list[str]) -> None:
    # Half of all slots: the others have room for what this one leaves behind.
    ids = running_jobs(five, WORKERS * SLOTS // 2)
    victim, hit = busiest(five, ids)
    five.engine.docker("kill", "--signal", "KILL", victim)
    killed = time.monotonic()
    wait_until(lambda: five.counted(ids, "started") == once(ids) + once(hit), "its jobs run again")
    facts.append(f"killed worker: jobs ran again after {time.monotonic() - killed:.1f} s, lease {LEASE:g} s")
    five.finish(ids)
    assert five.counted(ids, "lost") == once(hit)
    assert five.counted(ids, "started") == once(ids) + once(hit)
    assert five.counted(ids, "completed") == once(ids)
    assert victim not in five.ids("worker")


def test_a_worker_that_crashes_is_started_again(five: Stack) -> None:
    victim = five.ids("worker")[-1]
    five.crash(victim)
    wait_until(lambda: five.inspect(victim)["RestartCount"] == 1, "it was started again")
    wait_until(lambda: five.health(victim) == "healthy", "it is healthy again")


def test_a_frozen_worker_becomes_unhealthy_while_others_do_its_jobs(five: Stack) -> None:
    ids = running_jobs(five, WORKERS * SLOTS // 2)
    frozen, hit = busiest(five, ids)
    five.probe("freeze", container=frozen)
    try:
        five.finish(ids)
        assert five.counted(ids, "lost") == once(hit)
        wait_until(lambda: five.health(frozen) == "unhealthy", "it is unhealthy")
    finally:
        five.probe("thaw", container=frozen)
    wait_until(lambda: five.health(frozen) == "healthy", "it is healthy again")
    # What it held was done by others: what it brings now comes too late, and changes nothing.
    assert five.counted(ids, "completed") == once(ids)


def test_a_restart_of_redis_leaves_the_workers_running_and_loses_nothing(five: Stack) -> None:
    before = {one: five.state(one)["StartedAt"] for one in five.ids("worker")}
    ids = five.enqueue(60, 0.5)
    wait_until(lambda: five.counted(ids, "completed").total() > 0, "some of them have run")
    five.compose("restart", "redis")
    five.finish(ids)
    assert five.counted(ids, "completed") == once(ids)
    assert {one: five.state(one)["StartedAt"] for one in five.ids("worker")} == before


def test_stop_lets_running_jobs_finish_and_starts_no_other(five: Stack, facts: list[str]) -> None:
    running = running_jobs(five, WORKERS * SLOTS)
    waiting = five.enqueue(10, 0.1)
    began = time.monotonic()
    five.compose("stop")
    facts.append(f"stop with twenty jobs of 12 s under way took {time.monotonic() - began:.1f} s")
    stopped = [*five.ids("worker", stopped=True), *five.ids("redis", stopped=True)]
    assert len(stopped) == WORKERS + 1
    assert {(five.state(one)["Status"], five.state(one)["ExitCode"]) for one in stopped} == {("exited", 0)}
    five.up(WORKERS)
    five.finish(waiting)
    events = five.events(running | waiting)
    assert [event for event in events if event.type in ("interrupted", "lost", "retried")] == []
    for kind in ("started", "completed"):
        assert five.counted(running | waiting, kind) == once(running | waiting)
    last_of_running = max(event.at for event in events if event.id in running)
    assert all(
        event.at >= last_of_running for event in events if event.id in waiting and event.type == "started"
    )
