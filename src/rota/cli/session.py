"""What the commands about jobs share: the settings of a queue that there is, and a client for one action."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from rota.app import compose as composition
from rota.cli import screen
from rota.client.client import Client
from rota.errors import UnknownQueue
from rota.model.registry import discover
from rota.settings.load import Settings, load


def serving(queue: str) -> Settings:
    """Return the settings. Raises UnknownQueue for a queue that neither a setting nor a job names."""
    settings = load()
    known = settings.served_queues(discover(settings.jobs_package, settings.default_queue).queues)
    if queue not in known:
        raise UnknownQueue(queue, known)
    return settings


def with_client(settings: Settings, act: Callable[[Client], Coroutine[Any, Any, None]]) -> None:
    """Run `act` with a client on the Redis of the settings, which is tried once."""

    async def go() -> None:
        async with await composition.connect_at_once(settings, tell=_tell) as client:
            await act(client)

    asyncio.run(go())


def _tell(sentence: str) -> None:
    screen.note(f"rota: warning: {sentence}")
