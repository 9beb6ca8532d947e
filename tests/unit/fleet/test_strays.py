"""Strays: found while something is on them, logged once, and not looked for where that is forbidden."""

import asyncio
import logging
from typing import Any

import pytest
from arq.connections import ArqRedis
from redis.exceptions import NoPermissionError

from rota.fleet import strays
from rota.fleet.strays import Strays
from tests.waiting import until


async def test_what_nothing_names_is_a_stray_while_something_is_on_it(
    redis: ArqRedis, caplog: pytest.LogCaptureFixture
) -> None:
    await redis.zadd("arq:queue:email", {"a": 1})
    await redis.zadd("arq:queue:emial", {"b": 1})
    found = Strays(redis, ["email"])
    for _ in range(2):
        await found.look()
        assert found.queues == ("emial",)
    assert [record.message for record in caplog.records] == ["queue.stray"]
    await redis.delete("arq:queue:emial")
    await found.look()
    assert found.queues == ()


async def test_as_many_are_shown_as_prometheus_bears(
    redis: ArqRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strays, "MOST", 2)
    for name in "dabc":
        await redis.zadd(f"arq:queue:{name}", {"a": 1})
    found = Strays(redis, [])
    await found.look()
    assert found.queues == ("a", "b")


class Forbidding:
    """A server whose user may not look at keys."""

    def __init__(self) -> None:
        self.asked = 0

    async def scan(self, *_: Any, **__: Any) -> Any:
        self.asked += 1
        raise NoPermissionError("this user has no permissions to run the 'scan' command")


async def test_a_search_that_is_forbidden_is_said_once_and_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    server = Forbidding()
    running = asyncio.create_task(Strays(server, [], every=0.001).run())
    await until(lambda: server.asked > 2)
    running.cancel()
    assert [record.message for record in caplog.records] == ["queue.strays_unseen"]
