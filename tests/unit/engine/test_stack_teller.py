"""The thread that tells where jobs are ends with its service, whenever that ends."""

import asyncio
import contextlib
import threading
from typing import Any

from redis import Redis

from rota.engine.stacks.teller import StackTeller
from tests.servers import RedisServer


def tellers() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == "rota-stacks"]


async def test_no_thread_is_left_of_a_service_that_ends_as_it_begins(server: RedisServer) -> None:
    before = tellers()
    executions: dict[str, Any] = {"worker": {}}
    for pause in (0.0, 0.0, 0.0, 0.001, 0.002, 0.005, 0.01, 0.05):
        teller = StackTeller(lambda: Redis.from_url(server.url), lambda: executions)
        task = asyncio.create_task(teller.run())
        await asyncio.sleep(pause)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert [one for one in tellers() if one not in before] == []
