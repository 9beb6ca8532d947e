"""The waker: what becomes of a token that arrives when this worker cannot use it. And the role of the watcher."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from rota.engine import wake
from rota.engine.link import QueueLink
from rota.engine.tokens import OwnTokens
from rota.engine.wake import BREATH, Waker, Watcher
from rota.server.outage import Outage
from rota.wire.queue import QueueScripts
from tests.servers import RedisServer
from tests.unit.wire.lua.beds import KEYS, real_bed
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


async def test_a_watcher_keeps_its_role_by_one_command_and_takes_it_again_where_it_was_lost(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wake, "ROLE_EVERY", 0.02)
    async with real_bed(server) as bed:
        watcher = Watcher(QueueLink(bed.worker("w").scripts, bed.redis, Outage("email")))
        watching = asyncio.create_task(watcher.run())
        try:
            start = bed.commands()["getex"]
            await until(lambda: bed.commands()["getex"] > start, "it keeps its role, once it listens")
            before = bed.commands()
            await until(lambda: bed.commands()["getex"] >= before["getex"] + 5, "it keeps it again and again")
            assert bed.commands()["evalsha"] == before["evalsha"], "without a script"
            bed.looking.delete(KEYS.watcher)
            await until(lambda: bed.looking.get(KEYS.watcher) == b"w", "it takes the role again")
            assert watcher.holds
            bed.looking.set(KEYS.watcher, "v")
            await until(lambda: not watcher.holds, "the role is another's")
            assert bed.looking.get(KEYS.watcher) == b"v"
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
