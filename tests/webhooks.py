"""The leader's part in webhooks, for tests: makes messages of events, on the server of a client."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from rota import Client
from rota.client.webhooks.deliveries import Delivery
from rota.server import connections
from rota.server.target import RedisTarget
from rota.services.webhooks import dispatcher
from rota.services.webhooks.dispatcher import Dispatcher
from rota.settings.load import load
from tests.waiting import until
from tests.workers import Term

#: What lets messages go to receivers on this machine.
HERE = {"WEBHOOK_ALLOW": "127.0.0.0/8"}


def dispatcher_on(url: str, queue: str = "default", **variables: str) -> Dispatcher:
    """Return the service of a leader on the server at `url`."""
    settings = load({"REDIS_URL": url, **HERE, **variables})
    return Dispatcher(lambda: connections.async_client(RedisTarget.from_url(url)), settings, queue, Term())


@contextlib.asynccontextmanager
async def dispatching(url: str, queue: str = "default", **variables: str) -> AsyncIterator[None]:
    """Make messages of events while a block lasts, without the pauses that spare an idle server."""
    before = dispatcher.EVERY, dispatcher.SELDOM, dispatcher.TRUST
    dispatcher.EVERY, dispatcher.SELDOM, dispatcher.TRUST = 0.01, 0.01, 0.0
    running = asyncio.create_task(dispatcher_on(url, queue, **variables).run())
    try:
        yield
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        dispatcher.EVERY, dispatcher.SELDOM, dispatcher.TRUST = before


async def until_delivery(client: Client, webhook: str, state: str, number: int = 0) -> Delivery:
    """Wait until a message to a webhook, the newest unless `number` says another, is in a state, and return it."""

    async def look() -> Any:
        found = await client.webhooks.deliveries(webhook)
        return found[number] if len(found) > number and found[number].state == state else None

    found: Delivery = await until(look, f"a message to {webhook} is {state}")
    return found
