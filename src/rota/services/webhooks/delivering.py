"""Delivers one message to one webhook, as a job of rota's own that every worker has."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from rota.client.webhooks.deliveries import Delivery
from rota.client.webhooks.records import WebhookRecords
from rota.errors import Cancel, DeliveryFailed, FetchFailed, FetchRefused, Retry, Snooze
from rota.model.job import Job
from rota.model.run import Run
from rota.model.webhooks.destinations import NOTHING, Allowed
from rota.model.webhooks.job import BACKOFF, delivery_job
from rota.model.webhooks.signing import PLAIN_HEADERS, signed_headers
from rota.model.webhooks.subscription import Subscription
from rota.process.outbound.fetching import Answer, send
from rota.server.outage import FAULTS
from rota.settings.settings import Settings

logger = logging.getLogger("rota.webhooks")

#: A receiver answers so that wants no more messages, ever.
_GONE = 410
#: A job whose call to Redis failed runs again after this many seconds; the attempt is not spent.
_PAUSE = 1.0

Sender = Callable[..., Awaitable[Answer]]


class Courier:
    """The worker's part in webhooks.

    :param redis: returns the worker's connection, once there is one.
    :param send: sends a request, as `rota.process.outbound.fetching` does.
    """

    def __init__(self, redis: Callable[[], Any], settings: Settings, send: Sender = send) -> None:
        self._redis = redis
        self._namespace = settings.namespace
        self._allowed: Allowed = settings.webhook_allow or NOTHING
        self._send = send

    @property
    def builtin(self) -> tuple[Job[Any, Any], ...]:
        """The jobs that the worker of every queue has beside its own."""
        return (delivery_job(self.deliver),)

    async def deliver(self, run: Run, webhook: str, message: str) -> int:
        """Send a message, and return what the receiver has answered. Raises what `_Attempt` raises."""
        webhooks = WebhookRecords(self._redis(), self._namespace)
        try:
            return await _Attempt(webhooks, run, webhook, message).make(self._send, self._allowed)
        except FAULTS as error:
            raise Snooze(_PAUSE) from error


class _Attempt:
    """One attempt to deliver a message."""

    def __init__(self, webhooks: WebhookRecords, run: Run, webhook: str, message: str) -> None:
        self._webhooks = webhooks
        self._deliveries = webhooks.of(webhook)
        self._run = run
        self._webhook = webhook
        self._message = message

    async def make(self, send: Sender, allowed: Allowed) -> int:
        """Send the message unless it has arrived already.

        Raises Cancel where it is not to be sent any more, FetchRefused where it may not be; else, for another attempt,
        FetchFailed, DeliveryFailed or Retry.
        """
        hook, delivery = await self._found()
        if delivery.state == "delivered":
            return delivery.status or 0  # put twice, as by two leaders
        now = await self._webhooks.now_ms()
        signed = signed_headers(hook.secrets_at(now), self._message, now // 1000, delivery.body)
        try:
            answer = await send(
                "POST",
                hook.url,
                allowed=allowed,
                headers=PLAIN_HEADERS | signed,
                body=delivery.body,
            )
        except FetchRefused as error:
            await self._note("failed", error=error.reason)
            raise
        except FetchFailed as error:
            await self._note(self._after_failure, error=error.reason)
            raise
        await self._judge(answer)
        return answer.status

    async def _found(self) -> tuple[Subscription, Delivery]:
        hook = await self._webhooks.find(self._webhook)
        if hook is None:
            raise Cancel("the webhook was deleted")
        delivery = await self._deliveries.one(self._message)
        if delivery is None:
            raise Cancel("the message is not kept any more")
        if hook.off:
            await self._note("failed", error=f"the webhook is switched off: {hook.off}")
            raise Cancel("the webhook is switched off")
        return hook, delivery

    async def _judge(self, answer: Answer) -> None:
        """Write down what the receiver has said. Raises Cancel, Retry or DeliveryFailed where it has not taken it."""
        said = f"the receiver answers {answer.status}"
        if answer.is_success:
            await self._note("delivered", status=answer.status)
            return
        if answer.status == _GONE:
            await self._webhooks.switch_off(self._webhook, said)
            await self._note("failed", status=answer.status, error=said)
            logger.warning("webhook.switched_off", extra={"webhook": self._webhook, "reason": said})
            raise Cancel(f"{said}, so the webhook is switched off")
        await self._note(self._after_failure, status=answer.status, error=said)
        if answer.retry_after is not None:
            # Never sooner than by its own policy: a receiver that asks for a second each time is not to use all up.
            raise Retry(max(answer.retry_after, BACKOFF.delay(self._run.attempt)), said)
        raise DeliveryFailed(self._webhook, said)

    @property
    def _after_failure(self) -> str:
        return "retrying" if self._run.attempt < self._run.max_attempts else "failed"

    async def _note(self, state: str, *, status: int | None = None, error: str = "") -> None:
        now = await self._webhooks.now_ms()
        await self._deliveries.note(self._message, state, self._run.attempt, now, status=status, error=error)
