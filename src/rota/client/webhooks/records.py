"""Webhooks as they lie in Redis, which the leader and the jobs that deliver read too, and how one is switched off."""

from collections.abc import Iterable
from typing import Any

from rota.client.webhooks.deliveries import Counts, Deliveries
from rota.model.webhooks.subscription import Subscription
from rota.server.faults import explained
from rota.wire.claims import ms_of
from rota.wire.keys import webhooks_key


class WebhookRecords:
    """The records of one deployment's webhooks.

    :param redis: an asyncio client.
    """

    def __init__(self, redis: Any, namespace: str) -> None:
        self._redis = redis
        self._namespace = namespace
        self._key = webhooks_key(namespace)
        self._off = f"{self._key}:off"

    async def all(self, *, tenant: str | None = None) -> list[Subscription]:
        """Return the webhooks, or those of one tenant, in the order in which they were made. Raises ServerError."""
        async with explained(self._redis):
            pipe = self._redis.pipeline(transaction=False)
            pipe.hgetall(self._key)
            pipe.hgetall(self._off)
            found, off = await pipe.execute()
        read = (
            Subscription.read(one.decode("utf-8", "replace"), raw, off.get(one)) for one, raw in found.items()
        )
        mine = (one for one in read if one is not None and tenant in (None, one.tenant))
        return sorted(mine, key=lambda one: (one.created_ms, one.id))

    async def counts_of(self, webhooks: Iterable[str]) -> dict[str, Counts]:
        """Return what became of all that was to be sent to each webhook, by their ids. Raises ServerError."""
        ids = list(webhooks)
        pipe = self._redis.pipeline(transaction=False)
        for one in ids:
            pipe.hgetall(self.of(one).counts_key)
        async with explained(self._redis):
            found = await pipe.execute() if ids else ()
        return {one: Counts.read(raw) for one, raw in zip(ids, found, strict=True)}

    async def find(self, webhook: str) -> Subscription | None:
        """Return one webhook; None where there is none. Raises what redis-py raises."""
        pipe = self._redis.pipeline(transaction=False)
        pipe.hget(self._key, webhook)
        pipe.hget(self._off, webhook)
        raw, off = await pipe.execute()
        return Subscription.read(webhook, raw, off)

    async def switch_off(self, webhook: str, why: str) -> None:
        """Send nothing to a webhook until it is switched on again. Raises what redis-py raises."""
        await self._redis.hset(self._off, webhook, f"{await self.now_ms()} {why}")

    def of(self, webhook: str) -> Deliveries:
        """Return the records of what was sent to one webhook. Their methods raise what redis-py raises."""
        return Deliveries(self._redis, self._namespace, webhook)

    async def now_ms(self) -> int:
        """Return the time of the server, by which what happens is dated. Raises what redis-py raises."""
        return ms_of(await self._redis.time())
