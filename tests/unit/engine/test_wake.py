"""The waker: what becomes of a token that arrives when this worker cannot use it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, cast

from rota.engine.link import QueueLink
from rota.engine.tokens import OwnTokens
from rota.engine.wake import BREATH, Poller, Waker
from rota.server.outage import Outage
from rota.wire.queue import QueueScripts
from tests.servers import RedisServer
from tests.unit.wire.lua.beds import KEYS, real_bed
from tests.waiting import until


class Tokens:
    """A wake list, and what a waker needs beside: the scripts of a queue, and an engine."""

    def __init__(self) -> None:
        self.keys = self
        self.wake, self.queue = "wake", "queue"
        self.passed_on = 0
        self.looks: list[bool] = []
        self.has_free_slot = True
        self.held_back = False
        self.list: asyncio.Queue[bool] = asyncio.Queue()
        self.faults: list[Exception] = []

    async def execute_command(self, *_: Any) -> Any:
        if self.faults:
            raise self.faults.pop()
        return ("wake", "1") if await self.list.get() else None

    async def nudge(self, redis: object, horizon: float) -> None:
        self.passed_on += 1
        self.list.put_nowait(True)

    async def ready(self) -> None:
        await asyncio.sleep(0)

    def look(self, polled: bool = False) -> None:
        self.looks.append(polled)


@contextlib.asynccontextmanager
async def waking(tokens: Tokens) -> AsyncIterator[None]:
    link = QueueLink(cast(QueueScripts, tokens), tokens, Outage("email"))
    waker = Waker(link, OwnTokens(tokens), tokens)
    task = asyncio.create_task(waker.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_token_that_can_be_used_is() -> None:
    tokens = Tokens()
    tokens.list.put_nowait(True)
    async with waking(tokens):
        await until(lambda: tokens.looks)
    assert (tokens.looks, tokens.passed_on) == ([False], 0)


async def test_a_wait_that_ends_without_a_token_begins_again() -> None:
    tokens = Tokens()
    tokens.list.put_nowait(False)
    tokens.list.put_nowait(True)
    async with waking(tokens):
        await until(lambda: tokens.looks)
    assert (tokens.looks, tokens.passed_on) == ([False], 0)


@contextlib.asynccontextmanager
async def running(poller: Poller) -> AsyncIterator[None]:
    task = asyncio.create_task(poller.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_the_engine_looks_by_itself_where_something_is_in_the_queue(server: RedisServer) -> None:
    engine = Tokens()
    async with real_bed(server) as bed:
        link = QueueLink(bed.worker("w").scripts, bed.redis, Outage("email"))
        async with running(Poller(link, engine, 0.02)):
            start = bed.commands()
            await until(lambda: bed.commands()["exists"] >= start["exists"] + 5, "it looks again and again")
            assert engine.looks == []
            assert bed.commands()["evalsha"] == start["evalsha"], "an empty queue costs no script"
            bed.looking.zadd(KEYS.queue, {"stranger": 1})
            await until(lambda: engine.looks)
    assert set(engine.looks) == {True}


async def test_a_look_that_fails_is_repeated_at_once_and_sees_the_end_of_the_outage() -> None:
    engine, outage = Tokens(), Outage("email")
    engine.faults = [ConnectionError("cut off"), ConnectionError("cut off")]
    link = QueueLink(cast(QueueScripts, engine), engine, outage)
    async with running(Poller(link, engine, 0.02)):
        await until(lambda: outage.ongoing)
        engine.list.put_nowait(False)
        await until(lambda: not outage.ongoing, "an empty queue is an answer, too")
    assert (engine.looks, engine.faults) == ([], [])


async def test_without_a_slot_of_its_own_it_passes_the_token_on() -> None:
    tokens = Tokens()
    tokens.has_free_slot = False
    tokens.list.put_nowait(True)
    async with waking(tokens):
        await until(lambda: tokens.passed_on)
    assert tokens.looks == []


async def test_held_back_by_other_queues_it_remembers_the_work_and_passes_the_token_on() -> None:
    tokens = Tokens()
    tokens.held_back = True
    tokens.list.put_nowait(True)
    async with waking(tokens):
        await until(lambda: tokens.passed_on)
        assert (tokens.looks, tokens.passed_on) == ([False], 1)


async def test_a_token_that_nobody_can_use_does_not_go_round_in_a_hurry() -> None:
    tokens = Tokens()
    tokens.held_back = True
    tokens.list.put_nowait(True)
    async with waking(tokens):
        await asyncio.sleep(BREATH * 3.5)
    assert 1 <= tokens.passed_on <= 5


async def test_a_fault_is_waited_out() -> None:
    tokens = Tokens()
    tokens.faults = [ConnectionError("cut off")]
    tokens.list.put_nowait(True)
    async with waking(tokens):
        await until(lambda: tokens.looks)
    assert tokens.looks == [False]
