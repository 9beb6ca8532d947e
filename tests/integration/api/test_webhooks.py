"""Webhooks over HTTP: made, changed, rotated, deleted; what was sent to each; and a tenant's are its own."""

from collections.abc import AsyncIterator

import pytest
from standardwebhooks import Webhook

from rota import Run, job
from rota.api.cursors import cursor_of
from rota.model.access.keys import Scope, make
from rota.wire.access import AccessRecords
from tests.integration.api.serving import Api, answering
from tests.receivers import Receiver
from tests.servers import RedisServer
from tests.waiting import until
from tests.webhooks import HERE, dispatching, until_delivery

URL = "https://example.com/hook"


@job
async def work(run: Run) -> str:
    return "done"


@pytest.fixture
async def api(server: RedisServer) -> AsyncIterator[Api]:
    async with answering(server.url, work, WEBHOOK_ALLOW=HERE["WEBHOOK_ALLOW"]) as found:
        yield found


async def key_of(api: Api, tenant: str | None = None) -> dict[str, str]:
    """Make a key, of a tenant's if there is one, and return the header that shows it."""
    text, key = make(frozenset({Scope.OPERATE, Scope.ENQUEUE}), tenant=tenant)
    await AccessRecords(api.client.redis, "rota").put({key.id: key.write()})
    return {"Authorization": f"Bearer {text}"}


async def test_a_receiver_is_told_and_what_was_sent_is_listed_and_sent_again(
    api: Api, server: RedisServer
) -> None:
    async with Receiver() as receiver, dispatching(server.url):
        made = await api.post("/webhooks", {"url": receiver.url, "chosen_only": True, "description": "shop"})
        assert made.status_code == 201
        hook = made.json()
        await api.post("/jobs/work")
        enqueued = await api.post("/jobs/work", {"options": {"webhook": hook["id"]}})
        delivery = await until_delivery(api.client, hook["id"], "delivered")
        rotated = (await api.post(f"/webhooks/{hook['id']}/rotate")).json()
        path = f"/webhooks/{hook['id']}/deliveries"
        assert (await api.post(f"{path}/{delivery.id}/retry")).status_code == 202
        await until(lambda: len(receiver.requests) == 2, "the message is sent again")
        await until_delivery(api.client, hook["id"], "delivered")
        (shown,) = (await api.http.get(path)).json()["items"]
    first, second = receiver.requests
    Webhook(hook["secret"]).verify(first.body, first.headers)
    for secret in (hook["secret"], rotated["secret"]):
        Webhook(secret).verify(second.body, second.headers)
    assert (shown["id"], shown["state"], shown["status"]) == (first.headers["webhook-id"], "delivered", 200)
    assert shown["body"]["data"]["id"] == enqueued.json()["id"]
    found = (await api.http.get(f"/webhooks/{hook['id']}")).json()
    assert found["counts"] == {"delivered": 2, "failed": 0, "dropped": 0}
    assert "secret" not in found
    assert hook["secret"] not in (await api.http.get("/webhooks")).text


async def test_a_webhook_is_changed_switched_off_and_on_and_deleted(api: Api) -> None:
    hook = (await api.post("/webhooks", {"url": URL, "queues": ["default"]})).json()
    path = f"/webhooks/{hook['id']}"
    assert hook["events"] == ["job.completed", "job.dead", "job.cancelled"]
    changed = await api.http.patch(path, json={"events": ["job.dead"], "queues": [], "enabled": False})
    body = changed.json()
    assert (body["url"], body["events"], body["queues"], body["enabled"]) == (URL, ["job.dead"], [], False)
    assert body["off"]["reason"] == "it was switched off by hand"
    assert (await api.http.patch(path, json={"enabled": True})).json()["off"] is None
    assert (await api.http.delete(path)).status_code == 204
    for method, place in (("GET", path), ("PATCH", path), ("DELETE", path), ("GET", f"{path}/deliveries")):
        answer = await api.http.request(method, place, json={} if method == "PATCH" else None)
        assert (answer.status_code, answer.json()["type"]) == (404, "urn:rota:problem:no-such-webhook")


async def test_lists_of_deliveries_have_pages(api: Api) -> None:
    hook = (await api.post("/webhooks", {"url": URL})).json()
    messages = {f"msg_{number}": b"{}" for number in range(5)}
    records = api.client.webhooks.of(hook["id"])
    for at, (message, body) in enumerate(messages.items()):
        await records.add({message: body}, 1_700_000_000_000 + at, "default")
    path, found = f"/webhooks/{hook['id']}/deliveries?limit=2", []
    page = (await api.http.get(path)).json()
    while True:
        found += [one["id"] for one in page["items"]]
        if page["next"] is None:
            break
        page = (await api.http.get(path, params={"limit": 2, "cursor": page["next"]})).json()
    assert found == list(reversed(messages))
    for cursor in ("x", *(cursor_of({"webhook": hook["id"]}, place) for place in (-1, "1", 10**6))):
        assert (await api.http.get(path, params={"cursor": cursor})).status_code == 422, cursor


async def test_a_tenant_has_webhooks_of_its_own(api: Api) -> None:
    acme, other, operator = await key_of(api, "acme"), await key_of(api, "other"), await key_of(api)
    own = (await api.http.post("/webhooks", json={"url": URL}, headers=acme)).json()
    assert own["tenant"] == "acme"
    given = await api.http.post("/webhooks", json={"url": URL, "tenant": "acme"}, headers=operator)
    everybodys = (await api.http.post("/webhooks", json={"url": URL}, headers=operator)).json()
    assert given.json()["tenant"] == "acme"
    assert everybodys["tenant"] is None
    seen = {
        name: {one["id"] for one in (await api.http.get("/webhooks", headers=key)).json()["items"]}
        for name, key in (("acme", acme), ("other", other), ("all", operator))
    }
    assert seen == {
        "acme": {own["id"], given.json()["id"]},
        "other": set(),
        "all": {own["id"], given.json()["id"], everybodys["id"]},
    }
    for foreign in (own["id"], everybodys["id"]):
        await api.client.webhooks.of(foreign).add({"msg_1": b"{}"}, 1_700_000_000_000, "default")
        for method, path in (
            ("GET", ""),
            ("PATCH", ""),
            ("DELETE", ""),
            ("POST", "/rotate"),
            ("GET", "/deliveries"),
            ("POST", "/deliveries/msg_1/retry"),
        ):
            answer = await api.http.request(method, f"/webhooks/{foreign}{path}", json={}, headers=other)
            assert answer.status_code == 404, (method, path)
    assert (
        await api.http.post("/webhooks", json={"url": URL, "tenant": "acme"}, headers=other)
    ).status_code == 422


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({}, "/url"),
        ({"url": 7}, "/url"),
        ({"url": URL, "events": ["job.started"]}, "/events/0"),
        ({"url": URL, "events": []}, "/events"),
        ({"url": URL, "queues": ["A b"]}, "/queues/0"),
        ({"url": URL, "jobs": [""]}, "/jobs/0"),
        ({"url": URL, "tenant": "a b"}, "/tenant"),
        ({"url": URL, "description": "x" * 201}, "/description"),
        ({"url": URL, "secret": "mine"}, "/secret"),
    ],
)
async def test_a_body_that_is_no_webhook_is_refused_with_the_place(
    api: Api, body: object, place: str
) -> None:
    answer = await api.post("/webhooks", body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == place


async def test_a_url_that_nothing_may_be_sent_to_is_refused(api: Api) -> None:
    for url in (
        "https://10.0.0.1/",
        "https://a:b@example.com/",
        "https://169.254.169.254/",
        "x",
    ):
        answer = await api.post("/webhooks", {"url": url})
        assert (answer.status_code, answer.json()["type"]) == (422, "urn:rota:problem:url-refused"), url


async def test_a_job_cannot_name_a_webhook_that_is_not_there(api: Api) -> None:
    for webhook in ("wh_0123456789abcdef", "https://example.com/", "wh_ p=9"):
        for body in (
            {"options": {"webhook": webhook}},
            {"jobs": [{"name": "work", "options": {"webhook": webhook}}]},
        ):
            answer = await api.post("/jobs" if "jobs" in body else "/jobs/work", body)
            assert answer.status_code == 422, webhook
            assert "webhook" in answer.json()["errors"][0]["pointer"]
