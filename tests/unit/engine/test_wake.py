"""The waker: what becomes of a token that arrives when this worker cannot use it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, cast

from rota.engine.link import QueueLink
from rota.engine.tokens import OwnTokens
from rota.engine.wake import BREATH, Waker
from rota.server.outage import Outage
from rota.wire.queue import QueueScripts
from tests.waiting import until


class Tokens:
    """A wake list, and what a waker needs beside: the scripts of a queue, and an engine."""

    def __init__(self) -> None:
        self.keys = self
        self.wake = "wake"
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


async def test_after_a_quiet_interval_the_engine_looks_by_itself() -> None:
    tokens = Tokens()
    tokens.list.put_nowait(False)
    async with waking(tokens):
        await until(lambda: tokens.looks)
    assert (tokens.looks, tokens.passed_on) == ([True], 0)


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
