"""Webhooks: receivers are told of the ends of jobs, signed, once each, and again until they have taken it."""

import base64
import json
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from standardwebhooks import Webhook

from rota import Client, Run, State, job
from rota.client.webhooks import deliveries as records
from rota.client.webhooks import webhooks as managing
from rota.errors import FetchRefused, UnknownWebhook, WebhookRefused
from rota.model.webhooks.subscription import Subscription
from rota.services.webhooks import dispatcher
from rota.services.webhooks.dispatcher import Place
from rota.wire.claims import ms_of
from tests.receivers import Receiver, Request
from tests.servers import RedisServer
from tests.waiting import until, until_empty, until_in
from tests.webhooks import HERE, dispatcher_on, dispatching, until_delivery
from tests.workers import serving, standing


@job
async def pay(run: Run, order: int = 1) -> int:
    return order


@job(max_attempts=1)
async def fail(run: Run) -> None:
    raise RuntimeError("no such order")


@job(queue="other")
async def other(run: Run) -> None: ...


@pytest.fixture
async def client(server: RedisServer) -> AsyncIterator[Client]:
    async with serving(server.url, pay, fail, other, **HERE) as works, dispatching(server.url):
        yield works.client


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver


async def told(receiver: Receiver, count: int = 1) -> Request:
    """Wait until the receiver has had this number of requests, and return the last."""
    await until(lambda: len(receiver.requests) >= count, f"the receiver is told {count} times")
    return receiver.requests[count - 1]


def is_signed(request: Request, *secrets: str) -> bool:
    """Tell whether a receiver with any of these secrets takes a request, by the reference implementation."""
    for secret in secrets:
        Webhook(secret).verify(request.body, request.headers)
    return True


async def test_a_receiver_is_told_of_the_end_of_a_job(client: Client, receiver: Receiver) -> None:
    hook = await client.webhooks.make(receiver.url, description="the shop")
    handle = await client.enqueue(pay, 7)
    request = await told(receiver)
    assert is_signed(request, hook.secret)
    assert request.headers["content-type"] == "application/json"
    body = json.loads(request.body)
    assert body["type"] == "job.completed"
    assert body["data"] == {
        **{"id": handle.id, "queue": "default", "name": "default:pay", "tenant": None, "state": "completed"},
        **{"attempt": 1, "reason": None, "error": None},
    }
    delivery = await until_delivery(client, hook.id, "delivered")
    assert (delivery.id, delivery.status, delivery.attempts) == (request.headers["webhook-id"], 200, 1)
    assert (await client.webhooks.counts(hook.id)).delivered == 1
    # The job of the delivery is nothing that anybody is told of.
    await client.enqueue(fail)
    failed = json.loads((await told(receiver, 2)).body)
    assert (failed["type"], failed["data"]["error"]) == (
        "job.dead",
        {"type": "RuntimeError", "message": "no such order"},
    )
    assert len(receiver.requests) == 2


async def test_each_is_told_of_what_it_chose_and_of_nothing_before_its_time(
    client: Client, receiver: Receiver
) -> None:
    await (await client.enqueue(pay)).result(timeout=10)
    by_tenant = await client.webhooks.make(receiver.url + "/tenant", tenant="acme")
    by_queue = await client.webhooks.make(receiver.url + "/queue", queues=["other"])
    by_name = await client.webhooks.make(receiver.url + "/name", jobs=["default:fail"])
    by_kind = await client.webhooks.make(receiver.url + "/kind", events=["job.cancelled", "job.dead"])
    chosen = await client.webhooks.make(receiver.url + "/chosen", chosen_only=True, jobs=["default:pay"])
    foreign = await client.webhooks.make(receiver.url + "/foreign", tenant="third", chosen_only=True)
    await (await client.enqueue(pay)).result(timeout=10)
    await client.enqueue(other)
    await client.enqueue(fail)
    await client.enqueue(pay.options(tenant="other"))
    await client.enqueue(pay.options(tenant="acme"))
    await client.enqueue(pay.options(webhook=foreign.id))
    await client.enqueue_by_name("default:fail", webhook=chosen.id)
    await told(receiver, 7)
    for hook in (by_tenant, by_queue, by_name, by_kind, chosen):
        await until_delivery(client, hook.id, "delivered")
    paths = {one.line.split()[1]: json.loads(one.body) for one in receiver.requests}
    assert sorted(paths) == ["/hook/chosen", "/hook/kind", "/hook/name", "/hook/queue", "/hook/tenant"]
    assert paths["/hook/chosen"]["data"]["state"] == "dead"
    assert paths["/hook/tenant"]["data"]["tenant"] == "acme"
    assert [one.id for one in await client.webhooks.all(tenant="acme")] == [by_tenant.id]
    with pytest.raises(UnknownWebhook):
        await client.webhooks.get(by_queue.id, tenant="acme")


async def test_what_has_not_arrived_is_sent_again_under_the_same_id(
    client: Client, receiver: Receiver
) -> None:
    receiver.answers = ["500", "302 Location: http://127.0.0.1:1/", "200"]
    hook = await client.webhooks.make(receiver.url)
    await client.enqueue(pay)
    first = await until_delivery(client, hook.id, "retrying")
    assert (first.status, first.error) == (500, "the receiver answers 500")
    delayed = await until_in(client.handle("default", f"default:{hook.id}-{first.id}"), State.DELAYED)
    assert delayed.due_at is not None
    assert first.last is not None
    assert delayed.state is State.DELAYED
    assert 3 < (delayed.due_at - first.last).total_seconds() < 7
    # By hand, at once; and once more after it has arrived.
    for state, count in (("retrying", 2), ("delivered", 3), ("delivered", 4)):
        await client.webhooks.send_again(hook.id, first.id)
        await told(receiver, count)
        await until_delivery(client, hook.id, state)
    assert {one.headers["webhook-id"] for one in receiver.requests} == {first.id}
    assert {one.body for one in receiver.requests} == {first.body}
    assert len(await client.webhooks.deliveries(hook.id)) == 1


async def test_a_receiver_that_asks_for_time_gets_it(client: Client, receiver: Receiver) -> None:
    receiver.answers = ["429 Retry-After: 3600", "503 Retry-After: 1"]
    hook = await client.webhooks.make(receiver.url)
    # Never less than the policy's own wait.
    for count, least, most in ((1, 3500, 3700), (2, 4, 3000)):
        await client.enqueue(pay)
        await told(receiver, count)
        found = await until_delivery(client, hook.id, "retrying")
        delayed = await until_in(client.handle("default", f"default:{hook.id}-{found.id}"), State.DELAYED)
        assert delayed.due_at is not None
        assert found.last is not None
        assert least < (delayed.due_at - found.last).total_seconds() < most


async def test_a_receiver_that_is_gone_is_switched_off(
    client: Client, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.answers = ["410", "200"]
    hook = await client.webhooks.make(receiver.url)
    await client.enqueue(pay)
    await until_delivery(client, hook.id, "failed")
    off = await client.webhooks.get(hook.id)
    assert (off.off, off.off_ms > 0) == ("the receiver answers 410", True)
    assert "webhook.switched_off" in caplog.messages
    await (await client.enqueue(pay)).result(timeout=10)
    with pytest.raises(WebhookRefused, match="switched off"):
        await client.webhooks.send_again(hook.id, "msg_1")
    assert (await client.webhooks.change(hook.id, on=True)).off == ""
    await client.enqueue(pay)
    await until_delivery(client, hook.id, "delivered")
    # Of what ended while it was off it is not told.
    assert len(receiver.requests) == 2


async def test_while_a_secret_is_replaced_both_are_good(client: Client, receiver: Receiver) -> None:
    first = await client.webhooks.make(receiver.url)
    second = await client.webhooks.rotate(first.id)
    await client.enqueue(pay)
    request = await told(receiver)
    assert is_signed(request, first.secret, second.secret)
    await client.webhooks.rotate(first.id, overlap=0)
    await client.enqueue(pay)
    assert len((await told(receiver, 2)).headers["webhook-signature"].split()) == 1


async def test_what_is_dispatched_twice_is_sent_once(server: RedisServer, receiver: Receiver) -> None:
    async with serving(server.url, pay, **HERE) as works:
        client = works.client
        hook = await client.webhooks.make(receiver.url)
        await (await client.enqueue(pay)).result(timeout=10)
        # As by a leader that died before its place moved, and by one beside it: before the message arrives, and after.
        for _ in range(3):
            await dispatcher_on(server.url).look(client.redis, Place())
            await until_delivery(client, hook.id, "delivered")
            await until_empty(client)
        assert len(await client.webhooks.deliveries(hook.id)) == 1
    assert len(receiver.requests) == 1


async def test_what_the_stream_lost_is_counted_and_told(
    server: RedisServer, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(server.url, pay, **HERE) as works:
        client, redis, own = works.client, works.client.redis, dispatcher_on(server.url)
        before = await redis.xadd("rota:events", {"e": "[]"})

        async def is_past() -> bool:
            return ms_of(await redis.time()) > int(before.partition(b"-")[0])

        # Of an entry of the webhook's own millisecond nobody knows which was first.
        await until(is_past)
        await client.webhooks.make(receiver.url)
        # What was before its time is nothing that is lost.
        await redis.xadd("rota:events", {"e": "[]"})
        place, _ = await own.look(client.redis, Place("1-1", 7))
        assert "webhooks.lost" not in caplog.messages
        for number in range(4):
            await redis.xadd("rota:events", {"e": f"[{number}"})
        await redis.xtrim("rota:events", maxlen=1, approximate=False)
        after, _ = await own.look(client.redis, place)
        assert (await own.look(client.redis, after))[0] == after
    (lost,) = (one for one in caplog.records if one.message == "webhooks.lost")
    assert lost.__dict__["entries"] == 3
    assert after.added == 6


async def test_messages_that_do_not_arrive_are_bounded(
    client: Client, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(records, "MOST_OPEN", 2)
    receiver.answers = ["503"]
    hook = await client.webhooks.make(receiver.url)
    for _ in range(4):
        await (await client.enqueue(pay)).result(timeout=10)
    counts = await until(lambda: _dropped(client, hook), "messages are dropped")
    assert counts >= 1
    assert "webhook.dropped" in caplog.messages
    await client.webhooks.remove(hook.id)
    assert [key async for key in client.redis.scan_iter("rota:webhooks*")] == [b"rota:webhooks:cursor"]
    with pytest.raises(UnknownWebhook):
        await client.webhooks.deliveries(hook.id)


async def _dropped(client: Client, hook: Subscription) -> int:
    return (await client.webhooks.counts(hook.id)).dropped


async def test_a_receiver_inside_the_network_is_not_reached(
    server: RedisServer, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(server.url, pay) as works, dispatching(server.url):
        with pytest.raises(FetchRefused):
            await works.client.webhooks.make(receiver.url)
        # As where the name of a receiver has another address than when it was made.
        hook = replace(await works.client.webhooks.make("https://example.com/"), url=receiver.url)
        await works.client.redis.hset("rota:webhooks", hook.id, hook.write())
        await works.client.enqueue(pay)
        delivery = await until_delivery(works.client, hook.id, "failed")
        assert "no public address" in delivery.error
        await until_in(works.client.handle("default", f"default:{hook.id}-{delivery.id}"), State.DEAD)
    assert receiver.connections == 0


async def test_the_worker_that_leads_makes_the_messages_on_their_own_queue(
    server: RedisServer, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "SELDOM", 0.01)
    # Signed, as every job is then.
    key = base64.b64encode(b"k" * 32).decode()
    variables = {
        **HERE,
        "PAYLOAD_KEYS": f"one:{key}",
        "PAYLOAD_SIGNING": "required",
        "WEBHOOK_QUEUE": "hooks",
    }
    async with (
        serving(server.url, other, **variables) as works,
        standing(server.url, __name__, **variables),
    ):
        hook = await works.client.webhooks.make(receiver.url)
        await works.client.enqueue(other)
        delivery = await until_delivery(works.client, hook.id, "delivered")
        await works.client.webhooks.send_again(hook.id, delivery.id)
        await told(receiver, 2)
    assert delivery.queue == "hooks"


async def test_a_server_that_refuses_ends_nothing_and_is_told_once(
    client: Client, receiver: Receiver, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    await client.redis.set("rota:webhooks", "another program's")
    await until(lambda: "webhooks.refused" in caplog.messages, "the dispatcher says so")
    await client.redis.delete("rota:webhooks")
    hook = await client.webhooks.make(receiver.url)
    await client.enqueue(pay)
    await until_delivery(client, hook.id, "delivered")
    assert caplog.messages.count("webhooks.refused") == 1


async def test_a_webhook_that_cannot_be_is_refused(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    for url in ("", "ftp://example.com", "https://user:pass@example.com/", "https://10.0.0.1/"):
        with pytest.raises(FetchRefused):
            await client.webhooks.make(url)
    with pytest.raises(WebhookRefused, match="no kind of message"):
        await client.webhooks.make("https://example.com", events=["job.started"])
    with pytest.raises(WebhookRefused, match="events is empty"):
        await client.webhooks.make("https://example.com", events=[])
    with pytest.raises(WebhookRefused, match="at most 100"):
        await client.webhooks.make("https://example.com", jobs=map(str, range(101)))
    with pytest.raises(WebhookRefused, match="longer"):
        await client.webhooks.make("https://example.com", description="x" * 201)
    monkeypatch.setattr(managing, "MOST", 1)
    hook = await client.webhooks.make("https://example.com")
    with pytest.raises(WebhookRefused, match="no more"):
        await client.webhooks.make("https://example.com")
    assert hook.secret not in repr(hook)
    for call in (
        client.webhooks.get,
        client.webhooks.rotate,
        client.webhooks.remove,
        client.webhooks.deliveries,
    ):
        with pytest.raises(UnknownWebhook):
            await call("wh_none")
    with pytest.raises(UnknownWebhook, match="no message"):
        await client.webhooks.send_again(hook.id, "msg_none")
