"""The waker: what becomes of a token that arrives when this worker cannot use it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, cast

from rota.engine.wake import Waker
from rota.server.outage import Outage
from rota.wire.queue import QueueScripts


class Tokens:
    """A wake list, and the part of a protocol that a waker needs."""

    def __init__(self) -> None:
        self.keys = self
        self.wake = "wake"
        self.passed_on = 0
        self.looks: list[bool] = []
        self.free = True
        self.held_back = False
        self.list: asyncio.Queue[bool] = asyncio.Queue()

    async def execute_command(self, *_: Any) -> Any:
        await self.list.get()
        return ("wake", "1")

    async def nudge(self, redis: object, horizon: float) -> None:
        self.passed_on += 1
        self.list.put_nowait(True)

    async def ready(self) -> None:
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def waking(tokens: Tokens) -> AsyncIterator[Tokens]:
    waker = Waker(
        cast(QueueScripts, tokens),
        tokens,
        ready=tokens.ready,
        free=lambda: tokens.free,
        held_back=lambda: tokens.held_back,
        wake=tokens.looks.append,
        outage=Outage("email"),
    )
    task = asyncio.create_task(waker.run())
    try:
        yield tokens
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def after(seconds: float, tokens: Tokens) -> Tokens:
    async with waking(tokens):
        tokens.list.put_nowait(True)
        await asyncio.sleep(seconds)
    return tokens


async def test_a_token_that_can_be_used_is() -> None:
    tokens = await after(0.02, Tokens())
    assert (tokens.looks, tokens.passed_on) == ([False], 0)


async def test_without_a_slot_of_its_own_it_passes_the_token_on() -> None:
    tokens = Tokens()
    tokens.free = False
    assert (await after(0.02, tokens)).passed_on > 0
    assert tokens.looks == []


async def test_held_back_by_other_queues_it_remembers_the_work_and_passes_the_token_on() -> None:
    tokens = Tokens()
    tokens.held_back = True
    tokens = await after(0.02, tokens)
    assert (tokens.looks, tokens.passed_on) == ([False], 1)


async def test_a_token_that_nobody_can_use_does_not_go_round_in_a_hurry() -> None:
    tokens = Tokens()
    tokens.held_back = True
    assert (await after(0.35, tokens)).passed_on <= 5
