"""A burst: how many more jobs it may start, and when it is over."""

import asyncio
from typing import cast

import pytest

from rota.engine.contract import Contract
from rota.engine.engine import Engine
from rota.server.outage import Outage
from rota.worker.arq_burst import Burst
from rota.worker.stopping import StoppableWorker
from tests.waiting import until


class Worker:
    """A worker, its queue and its engine, as a burst sees them."""

    def __init__(self, *, burst: bool = True, most: int = -1, queued: int = 0) -> None:
        self.burst, self.max_burst_jobs = burst, most
        self.jobs_complete = self.jobs_retried = self.jobs_failed = self.running = 0
        self.poll_delay_s = 0.01
        self.stopping = False
        self.queue_name = "arq:queue:email"
        self.queued = queued
        self.near = 0
        self.faults: list[Exception] = []
        self.pool = self
        self.busy = self.wants_slot = False
        self.looks = 0
        self.change = asyncio.Event()
        self.has_finished = False

    async def zcard(self, key: str) -> int:
        if self.faults:
            raise self.faults.pop()
        return self.queued

    async def heart_beat(self) -> None:
        if self.near:
            self.queued, self.near = self.queued + self.near, 0

    async def changed(self) -> None:
        await self.change.wait()

    def look(self) -> None:
        self.looks += 1

    async def finished(self) -> None:
        self.has_finished = True

    def its_burst(self) -> Burst:
        return Burst(cast(StoppableWorker, self), cast(Contract, self), Outage("email"))

    def started(self) -> "asyncio.Task[None]":
        return asyncio.create_task(self.its_burst().over(cast(Engine, self)))


@pytest.mark.parametrize(
    ("burst", "most", "started", "budget"),
    [
        (False, 5, 0, None),
        (True, -1, 9, None),
        (True, 5, 0, 5),
        (True, 5, 3, 2),
        (True, 5, 7, 0),
        (True, 0, 0, 0),
    ],
)
async def test_the_budget_is_what_is_left_of_the_most(
    burst: bool, most: int, started: int, budget: int | None
) -> None:
    worker = Worker(burst=burst, most=most)
    worker.jobs_complete = started
    assert worker.its_burst().budget() == budget


async def test_jobs_that_run_are_of_the_budget_whatever_becomes_of_them() -> None:
    worker = Worker(most=10)
    worker.jobs_complete, worker.jobs_retried, worker.jobs_failed, worker.running = 1, 2, 3, 4
    assert worker.its_burst().budget() == 0


async def test_it_is_over_when_the_queue_is_empty_and_the_contract_has_finished() -> None:
    worker = Worker()
    await asyncio.wait_for(worker.started(), 10)
    assert worker.has_finished


async def test_deferred_jobs_are_waited_for() -> None:
    worker = Worker(queued=1)
    task = worker.started()
    await until(lambda: worker.looks > 1)
    assert not task.done()
    worker.queued = 0
    await asyncio.wait_for(task, 10)


async def test_a_tick_that_is_near_is_enqueued_and_waited_for() -> None:
    worker = Worker()
    worker.near = 1
    task = worker.started()
    await until(lambda: worker.looks > 1)
    assert not task.done()
    worker.queued = 0
    await asyncio.wait_for(task, 10)


async def test_what_runs_is_waited_for_even_if_the_queue_is_empty() -> None:
    worker = Worker()
    worker.busy = True
    task = worker.started()
    await asyncio.sleep(0.05)
    assert not task.done()
    worker.busy = False
    worker.change.set()
    await asyncio.wait_for(task, 10)


async def test_it_is_over_when_enough_jobs_were_run_or_the_worker_is_stopped() -> None:
    enough, stopped = Worker(most=1, queued=9), Worker(queued=9)
    enough.jobs_complete = 1
    stopped.stopping = True
    for worker in (enough, stopped):
        await asyncio.wait_for(worker.started(), 10)


async def test_a_server_that_does_not_answer_is_waited_for() -> None:
    worker = Worker()
    worker.faults = [ConnectionError("cut off")]
    await asyncio.wait_for(worker.started(), 10)
    assert worker.faults == []
