"""Webhooks: a receiver is told when a job has ended, by a signed request that is sent until it has arrived."""

import json
from collections.abc import AsyncIterator

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from rota import Client, Run, job
from tests.receivers import Receiver
from tests.servers import RedisServer
from tests.waiting import until
from tests.webhooks import HERE, dispatching, until_delivery


@job
async def pay(run: Run, order: int) -> str:
    return "paid"


@pytest.fixture
def variables() -> dict[str, str]:
    """Let messages go to this machine, where the story's receiver is; otherwise they go to public addresses alone."""
    return HERE


@pytest.fixture
async def receiver(server: RedisServer) -> AsyncIterator[Receiver]:
    """Run a receiver, and what the worker that leads does for it."""
    async with Receiver() as receiver, dispatching(server.url):
        yield receiver


async def test_a_receiver_is_told_and_knows_who_tells_it(client: Client, receiver: Receiver) -> None:
    webhook = await client.webhooks.make(receiver.url, jobs=["default:pay"])
    handle = await client.enqueue(pay, order=7)
    await until(lambda: receiver.requests, "the receiver is told")
    (request,) = receiver.requests
    # In the receiver: the secret was shown when the webhook was made.
    Webhook(webhook.secret).verify(request.body, request.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(webhook.secret).verify(request.body + b" ", request.headers)
    told = json.loads(request.body)
    assert (told["type"], told["data"]["id"], told["data"]["name"]) == (
        "job.completed",
        handle.id,
        "default:pay",
    )


async def test_a_message_is_sent_until_it_has_arrived(client: Client, receiver: Receiver) -> None:
    receiver.answers = ["503", "204"]
    receiver.body = b""
    webhook = await client.webhooks.make(receiver.url)
    await client.enqueue(pay, order=7)
    # The next attempt would be after five seconds. By hand it is now.
    delivery = await until_delivery(client, webhook.id, "retrying")
    await client.webhooks.send_again(webhook.id, delivery.id)
    assert (await until_delivery(client, webhook.id, "delivered")).status == 204
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 1
