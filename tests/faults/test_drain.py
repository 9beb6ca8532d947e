"""Signals to stop: what runs finishes, what cannot finish in time goes back unspent, and the process says 0."""

import asyncio
import contextlib
import os
import pty
import signal
import time
from collections.abc import Iterator
from typing import Any

from rota import Client, Handle, State
from tests.faults.fleet import Fleet, records, sized
from tests.faults.jobs_for_faults.in_processes import compute
from tests.faults.jobs_for_faults.in_threads import listen, nap
from tests.faults.jobs_for_faults.on_loop import work
from tests.processes import Worker, gone
from tests.waiting import until

SLOTS = 20


async def running(fleet: Fleet, worker: Worker, count: int) -> None:
    await until(lambda: len(fleet.ledger.running(worker.pid)) == count, f"{count} jobs run in {worker.pid}")


async def test_sigterm_lets_running_jobs_finish_and_takes_no_new_ones(fleet: Fleet, client: Client) -> None:
    seconds = sized(10, 2)
    (worker,) = await fleet.start(queue_concurrency=SLOTS)
    handles = await client.enqueue_many(work.call(seconds=seconds) for _ in range(2 * SLOTS))
    await running(fleet, worker, SLOTS)
    worker.send(signal.SIGTERM)
    told_at = time.monotonic()
    assert await worker.ended() == 0
    assert time.monotonic() - told_at < seconds + 3

    first = {handle.id for handle in handles[:SLOTS]}
    assert fleet.ledger.times("start") == dict.fromkeys(first, 1)
    assert fleet.ledger.times("end") == dict.fromkeys(first, 1)
    assert await records(client, "completed") == dict.fromkeys(first, 1)
    assert (await client.counts("default"))[State.WAITING] == SLOTS


async def test_jobs_that_cannot_finish_in_time_run_elsewhere_at_once_and_unspent(
    fleet: Fleet, client: Client
) -> None:
    (worker,) = await fleet.start(drain_timeout=0.5)
    handles = await client.enqueue_many(work.call(seconds=60) for _ in range(5))
    await running(fleet, worker, 5)
    (other,) = await fleet.start()
    worker.send(signal.SIGTERM)
    assert await worker.ended() == 0
    ended_at = time.monotonic()
    await running(fleet, other, 5)

    resumed = [entry for entry in fleet.ledger.entries("start") if entry.pid == other.pid]
    assert max(entry.at for entry in resumed) - ended_at < 2
    assert {entry.attempt for entry in resumed} == {1}
    assert await records(client, "interrupted") == {handle.id: 1 for handle in handles}
    assert not await records(client, "lost")
    assert worker.says("worker.drain_timeout")


async def test_a_worker_that_is_killed_while_it_drains_makes_no_suspects(
    fleet: Fleet, client: Client
) -> None:
    (worker,) = await fleet.start(lease=2)
    handles = await client.enqueue_many(work.call(seconds=60) for _ in range(3))
    await running(fleet, worker, 3)
    worker.send(signal.SIGTERM)

    async def has_said_so() -> bool:
        return bool(await client.redis.keys("arq:queue:default:step:*:stop"))

    await until(has_said_so, "the worker has said that it stops")
    worker.send(signal.SIGKILL)
    (other,) = await fleet.start(lease=2, drain_timeout=0)
    await running(fleet, other, 3)
    entries = await client.redis.hgetall("arq:queue:default:runs")
    assert {raw.decode() for raw in entries} == {handle.id for handle in handles}
    assert {raw.split()[3] for raw in entries.values()} == {b"0"}
    assert await records(client, "lost") == {handle.id: 1 for handle in handles}


async def test_a_second_signal_does_not_wait(fleet: Fleet, client: Client) -> None:
    (worker,) = await fleet.start(drain_timeout=60)
    handle = await client.enqueue(work, seconds=60)
    await running(fleet, worker, 1)
    worker.send(signal.SIGTERM)
    await until(lambda: worker.says("worker.draining"), "it drains")
    await asyncio.sleep(0.3)  # a worker that did not wait would have ended by now
    assert worker.alive
    worker.send(signal.SIGTERM)
    assert await worker.ended(10) == 0
    assert worker.says("worker.hurried")
    info = await handle.status()
    assert (info.state, info.attempts) == ("waiting", 0)


async def test_threads_that_listen_stop_and_processes_are_killed_when_time_is_up(
    fleet: Fleet, client: Client
) -> None:
    (worker,) = await fleet.start(drain_timeout=0.3)
    handles: list[Handle[Any]] = [
        await client.enqueue(compute, seconds=60),
        await client.enqueue(listen, seconds=60),
    ]
    await until(lambda: len(fleet.ledger.entries("start")) == 2, "they run")
    child = next(entry.pid for entry in fleet.ledger.entries("start") if entry.id == handles[0].id)
    worker.send(signal.SIGTERM)
    assert await worker.ended() == 0
    assert gone(child)
    assert fleet.ledger.times("stopped") == {handles[1].id: 1}
    for handle in handles:
        info = await handle.status()
        assert (info.state, info.attempts) == (State.WAITING, 0)


async def test_an_interrupt_of_the_terminal_lets_a_process_job_finish(fleet: Fleet, client: Client) -> None:
    (worker,) = await fleet.start()
    handle = await client.enqueue(compute, seconds=1.5)
    await until(lambda: fleet.ledger.entries("start"), "it runs")
    worker.send(signal.SIGINT, group=True)
    assert await worker.ended() == 0
    assert fleet.ledger.times("end") == {handle.id: 1}


async def test_a_thread_that_does_not_listen_cannot_hold_up_the_end(fleet: Fleet, client: Client) -> None:
    (worker,) = await fleet.start(drain_timeout=0.3)
    handle = await client.enqueue(nap, seconds=60)
    await until(lambda: fleet.ledger.entries("start"), "it runs")
    worker.send(signal.SIGTERM)
    assert await worker.ended(20) == 0
    info = await handle.status()
    assert (info.state, info.attempts) == ("waiting", 0)
    assert not await records(client, "lost")


async def test_a_closed_terminal_drains_and_says_so_more_than_once_without_hurry(
    fleet: Fleet, client: Client
) -> None:
    (worker,) = await fleet.start()
    handles: list[Handle[Any]] = [
        await client.enqueue(work, seconds=1),
        await client.enqueue(compute, seconds=1),
    ]
    await until(lambda: len(fleet.ledger.entries("start")) == 2, "they run")
    for signum in (signal.SIGHUP, signal.SIGCONT, signal.SIGHUP, signal.SIGTERM):
        worker.send(signum, group=True)
    assert await worker.ended() == 0
    assert fleet.ledger.times("end") == {handle.id: 1 for handle in handles}
    assert len(worker.events("worker.draining")) == 1
    assert not worker.says("worker.hurried")


async def test_a_worker_whose_terminal_is_gone_finishes_what_it_runs_though_it_cannot_write(
    fleet: Fleet, client: Client
) -> None:
    screen, terminal = pty.openpty()
    worker = fleet.on_terminal(os.ttyname(terminal))
    os.close(terminal)
    handle = await client.enqueue(work, seconds=1)
    await until(lambda: fleet.ledger.entries("start"), "it runs")
    os.close(screen)
    assert await worker.ended() == 0
    assert fleet.ledger.times("end") == {handle.id: 1}
    assert await records(client, "completed") == {handle.id: 1}


async def test_a_worker_that_was_started_to_outlast_its_terminal_does(fleet: Fleet, client: Client) -> None:
    with ignoring(signal.SIGHUP):
        (worker,) = await fleet.start()
    worker.send(signal.SIGHUP)
    await (await client.enqueue(work, seconds=0)).result(10)
    assert worker.alive
    assert not worker.says("worker.draining")


@contextlib.contextmanager
def ignoring(signum: signal.Signals) -> Iterator[None]:
    """Let the programs that a block starts ignore `signum`, as nohup does."""
    before = signal.signal(signum, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signum, before)
