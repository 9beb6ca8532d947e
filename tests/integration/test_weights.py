"""Weights on a real Redis: what starts when several queues have a backlog and the slots of the process are few."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import pytest

from rota import Client, Job, Run, job
from tests.servers import RedisServer
from tests.waiting import until
from tests.workers import serving


@dataclass
class Order:
    """The queues of the jobs in the order in which they started, and how many ran at once."""

    starts: list[str] = field(default_factory=list)
    running: dict[str, int] = field(default_factory=lambda: {"heavy": 0, "light": 0})
    most: dict[str, int] = field(default_factory=lambda: {"heavy": 0, "light": 0, "all": 0})
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    async def pass_through(self, run: Run, seconds: float) -> None:
        self.starts.append(run.queue)
        self.running[run.queue] += 1
        self.most[run.queue] = max(self.most[run.queue], self.running[run.queue])
        self.most["all"] = max(self.most["all"], sum(self.running.values()))
        try:
            await (self.gate.wait() if seconds < 0 else asyncio.sleep(seconds))
        finally:
            self.running[run.queue] -= 1


@asynccontextmanager
async def lifespan() -> AsyncIterator[Order]:
    yield Order()


@job(queue="heavy")
async def heavy(run: Run, seconds: float = 0.0) -> None:
    await run.deps.pass_through(run, seconds)


@job(queue="light")
async def light(run: Run, seconds: float = 0.0) -> None:
    await run.deps.pass_through(run, seconds)


def works(server: RedisServer, slots: int, weights: Sequence[float], **variables: str) -> Any:
    own = {"WORKER_CONCURRENCY": str(slots), "QUEUES__HEAVY__WEIGHT": str(weights[0])}
    return serving(
        server.url,
        package=__name__,
        **{**own, "QUEUES__LIGHT__WEIGHT": str(weights[1]), **variables},
    )


async def fill(client: Client, counts: Mapping[Job[Any, Any], int], seconds: Iterator[float]) -> None:
    for one, count in counts.items():
        await client.enqueue_many(one.call(seconds=next(seconds)) for _ in range(count))


def stray(starts: Sequence[str], part: float) -> float:
    """Return how far the starts of `heavy` are from their `part`, in jobs, over the worst stretch."""
    drift = list(accumulate((1 if queue == "heavy" else 0) - part for queue in starts))
    return max(drift) - min(drift)


def always(seconds: float) -> Iterator[float]:
    while True:
        yield seconds


def anything() -> Iterator[float]:
    chance = random.Random(1)
    while True:
        yield chance.choice([0.0, 0.001, 0.004])


@pytest.mark.parametrize("slots", [1, 4, 20])
@pytest.mark.parametrize("seconds", [always(0.0), always(0.003), anything()], ids=["empty", "even", "uneven"])
async def test_starts_are_in_the_proportion_of_the_weights(
    server: RedisServer, slots: int, seconds: Iterator[float]
) -> None:
    async with works(server, slots, (3, 1), QUEUE_CONCURRENCY="20") as at:
        await fill(at.client, {light: 250, heavy: 700}, seconds)
        order: Order = at.deps
        begun = len(order.starts)
        await until(lambda: len(order.starts) >= begun + 850)
    both = order.starts[order.starts.index("heavy") :][:800]
    assert stray(both, 0.75) <= slots + 1
    assert order.most["all"] <= slots


@pytest.mark.parametrize("slots", [1, 4])
async def test_the_lightest_has_its_turn_too(server: RedisServer, slots: int) -> None:
    async with works(server, slots, (100, 1)) as at:
        # Nothing more starts before both queues have their backlog.
        await fill(at.client, {heavy: slots}, always(-1))
        await until(lambda: at.deps.running["heavy"] == slots)
        await fill(at.client, {heavy: 900, light: 20}, always(0.0))
        at.deps.gate.set()
        await until(lambda: len(at.deps.starts) == slots + 920)
    assert at.deps.starts[slots : slots + 850].count("light") >= 6


async def test_an_idle_neighbour_s_slots_are_used_in_full(server: RedisServer) -> None:
    async with works(server, 4, (1, 100)) as at:
        await fill(at.client, {heavy: 10}, always(-1))
        await until(lambda: at.deps.running["heavy"] == 4)
        at.deps.gate.set()
        await until(lambda: len(at.deps.starts) == 10)


async def test_slots_that_a_queue_cannot_use_are_the_others(server: RedisServer) -> None:
    async with works(server, 6, (100, 1), QUEUES__HEAVY__CONCURRENCY="2") as at:
        await fill(at.client, {heavy: 10, light: 10}, always(-1))
        await until(lambda: at.deps.running == {"heavy": 2, "light": 4})


async def test_a_queue_that_was_idle_has_no_credit(server: RedisServer) -> None:
    async with works(server, 2, (1, 1)) as at:
        await fill(at.client, {heavy: 600}, always(0.002))
        await until(lambda: len(at.deps.starts) >= 300)
        await fill(at.client, {light: 200}, always(0.002))
        await until(lambda: at.deps.starts.count("light") >= 60)
        starts = list(at.deps.starts)  # of two queues that are being stopped, one has the slots to itself
    assert stray(starts[starts.index("light") :], 0.5) <= 3


async def test_a_queue_hears_of_work_while_another_has_all_slots(server: RedisServer) -> None:
    async with works(server, 1, (1, 1)) as at:
        await fill(at.client, {heavy: 1000}, always(0.01))
        await until(lambda: len(at.deps.starts) >= 20)
        handle = await at.client.enqueue(light)
        before = len(at.deps.starts)
        await handle.result(timeout=10)
        assert at.deps.starts.index("light") - before < 50


async def test_what_one_process_has_no_slot_for_another_takes_at_once(server: RedisServer) -> None:
    async with works(server, 1, (1, 1)) as full, works(server, 1, (1, 1)) as idle:
        await fill(full.client, {heavy: 2}, always(-1))
        await until(lambda: full.deps.running["heavy"] == idle.deps.running["heavy"] == 1)
        idle.deps.gate.set()
        await until(lambda: idle.deps.running["heavy"] == 0)
        begun = asyncio.get_running_loop().time()
        for _ in range(5):
            await (await full.client.enqueue(light)).result(timeout=10)
        assert asyncio.get_running_loop().time() - begun < 2.5
        assert idle.deps.starts.count("light") == 5
        full.deps.gate.set()


async def test_a_full_process_does_not_keep_redis_busy(server: RedisServer) -> None:
    async with works(server, 1, (1, 1)) as at:
        await fill(at.client, {heavy: 1}, always(-1))
        await until(lambda: at.deps.running["heavy"] == 1)
        await fill(at.client, {heavy: 3, light: 3}, always(-1))
        redis = at.client.redis
        before = (await redis.info("stats"))["total_commands_processed"]
        await asyncio.sleep(1)  # the time that is measured
        assert (await redis.info("stats"))["total_commands_processed"] - before < 60
        at.deps.gate.set()
