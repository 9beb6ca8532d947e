"""Webhooks as an application manages them: make one, change it, give it a new secret, see what was delivered."""

import asyncio
import re
import secrets
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Any, TypedDict, Unpack

from rota.client.webhooks.deliveries import Counts, Delivery
from rota.client.webhooks.records import WebhookRecords
from rota.errors import JobExists, UnknownWebhook, WebhookRefused
from rota.model.job import Call
from rota.model.webhooks.destinations import Allowed, check_url
from rota.model.webhooks.job import delivery_on
from rota.model.webhooks.signing import new_secret
from rota.model.webhooks.subscription import (
    KINDS,
    LONGEST_DESCRIPTION,
    MOST_CHOSEN,
    Subscription,
    check_choice,
)
from rota.names import WEBHOOK
from rota.server.faults import explained

#: The most webhooks of a deployment: each event is held against all of them.
MOST = 500
#: How long a secret that another one replaces signs beside it, in seconds.
OVERLAP = 86_400.0
_MESSAGE = re.compile(r"msg_[0-9_]{1,60}", re.ASCII)
#: How often a job that runs is looked at again, to be made due once it waits, and the pause between, in seconds.
_TRIES, _PAUSE = 20, 0.05


class WebhookFields(TypedDict, total=False):
    """The fields of a webhook beside its URL; Subscription says what each means."""

    description: str
    events: Iterable[str]
    queues: Iterable[str]
    jobs: Iterable[str]
    chosen_only: bool


class Webhooks(WebhookRecords):
    """The webhooks of one deployment. Its methods raise ServerError for a fault of Redis.

    :param redis: an asyncio client.
    :param allowed: where receivers may be beside public addresses.
    :param enqueue: puts jobs, to send messages again.
    """

    def __init__(
        self,
        redis: Any,
        namespace: str,
        allowed: Allowed,
        enqueue: Callable[[Iterable[Call[Any]]], Awaitable[Any]],
    ) -> None:
        super().__init__(redis, namespace)
        self._allowed = allowed
        self._enqueue = enqueue

    async def make(
        self, url: str, *, tenant: str | None = None, **fields: Unpack[WebhookFields]
    ) -> Subscription:
        """Make a webhook, whose secret is seen in what this returns. Raises FetchRefused, WebhookRefused."""
        made = self._checked(
            Subscription(id=f"wh_{secrets.token_hex(8)}", url=url, tenant=tenant), {**fields}
        )
        async with explained(self._redis):
            if len(await self._redis.hkeys(self._key)) >= MOST:
                raise WebhookRefused(f"there are {MOST} webhooks, and no more are taken; delete one first")
            now = await self.now_ms()
            made = replace(made, secret=new_secret(), created_ms=now, since_ms=now)
            await self._redis.hset(self._key, made.id, made.write())
        return made

    async def get(self, webhook: str, *, tenant: str | None = None) -> Subscription:
        """Return one webhook. Raises UnknownWebhook, also for one of another tenant."""
        found = None
        if WEBHOOK.fullmatch(webhook):
            async with explained(self._redis):
                found = await self.find(webhook)
        if found is None or tenant not in (None, found.tenant):
            raise UnknownWebhook(webhook)
        return found

    async def change(
        self,
        webhook: str,
        *,
        tenant: str | None = None,
        url: str | None = None,
        on: bool | None = None,
        **fields: Unpack[WebhookFields],
    ) -> Subscription:
        """Change a webhook, and with `on` switch it on or off. Raises UnknownWebhook, FetchRefused, WebhookRefused."""
        found = self._checked(
            await self.get(webhook, tenant=tenant), {**fields, **({} if url is None else {"url": url})}
        )
        async with explained(self._redis):
            if on is True and found.off:
                found = replace(found, since_ms=await self.now_ms())
            await self._redis.hset(self._key, webhook, found.write())
            if on is True:
                await self._redis.hdel(self._off, webhook)
            elif on is False and not found.off:
                await self.switch_off(webhook, "it was switched off by hand")
        return await self.get(webhook, tenant=tenant)

    async def rotate(
        self, webhook: str, *, tenant: str | None = None, overlap: float = OVERLAP
    ) -> Subscription:
        """Give a webhook another secret; the one before signs too for `overlap` seconds. Raises UnknownWebhook."""
        found = await self.get(webhook, tenant=tenant)
        async with explained(self._redis):
            rotated = found.rotated(await self.now_ms(), round(overlap * 1000))
            await self._redis.hset(self._key, webhook, rotated.write())
        return rotated

    async def remove(self, webhook: str, *, tenant: str | None = None) -> None:
        """Delete a webhook; what waits for it is not sent. Raises UnknownWebhook."""
        await self.get(webhook, tenant=tenant)
        async with explained(self._redis):
            await self._redis.hdel(self._key, webhook)
            await self._redis.hdel(self._off, webhook)
            await self.of(webhook).forget()

    # What was sent

    async def deliveries(
        self, webhook: str, *, tenant: str | None = None, skip: int = 0, limit: int = 50
    ) -> list[Delivery]:
        """Return what was sent to a webhook, the newest first. Raises UnknownWebhook."""
        await self.get(webhook, tenant=tenant)
        async with explained(self._redis):
            return await self.of(webhook).page(skip=skip, limit=limit)

    async def send_again(self, webhook: str, message: str, *, tenant: str | None = None) -> Delivery:
        """Send a message now, whether or not it has arrived. Raises UnknownWebhook, WebhookRefused where it is off."""
        hook = await self.get(webhook, tenant=tenant)
        if hook.off:
            raise WebhookRefused(f"the webhook is switched off: {hook.off}; switch it on first")
        if not _MESSAGE.fullmatch(message):
            raise UnknownWebhook(webhook, message)
        async with explained(self._redis):
            delivery = await self.of(webhook).one(message)
            if delivery is None:
                raise UnknownWebhook(webhook, message)
            await self.of(webhook).reopen(message, await self.now_ms())
        await self._put_now(delivery_on(delivery.queue, webhook, message).call(webhook, message))
        return replace(delivery, state="pending")

    async def _put_now(self, call: Call[Any]) -> None:
        """Put the job of a message, or make it due that waits for its next attempt. One that runs sends it anyway."""
        job = call.job.options(on_taken="debounce", delay=0.001)
        for _ in range(_TRIES):
            try:
                await self._enqueue([replace(call, job=job)])
            except JobExists:
                # It may have written down that it failed, and is about to wait.
                await asyncio.sleep(_PAUSE)
            else:
                return

    async def counts(self, webhook: str) -> Counts:
        """Return what became of all that was to be sent to a webhook."""
        async with explained(self._redis):
            return await self.of(webhook).counts()

    def _checked(self, webhook: Subscription, fields: dict[str, Any]) -> Subscription:
        """Return a webhook with these fields. Raises FetchRefused for its URL, WebhookRefused for another."""
        for name in ("events", "queues", "jobs"):
            if name in fields:
                fields[name] = tuple(dict.fromkeys(fields[name]))
                if len(fields[name]) > MOST_CHOSEN:
                    raise WebhookRefused(f"{name} names {len(fields[name])}; at most {MOST_CHOSEN} are taken")
        changed = replace(webhook, **fields)
        check_url(changed.url, self._allowed)
        if len(changed.description) > LONGEST_DESCRIPTION:
            raise WebhookRefused(f"the description is longer than {LONGEST_DESCRIPTION} characters")
        if not changed.events:
            raise WebhookRefused(f"events is empty; choose from: {', '.join(KINDS)}")
        try:
            check_choice("kind of message", changed.events, KINDS)
        except ValueError as error:
            raise WebhookRefused(str(error)) from None
        return changed
