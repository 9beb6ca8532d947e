"""The screens of webhooks: who is told, what was sent, and what is done about it."""

import re
from typing import Any

import pytest

from rota.client.bulk.actions import Actions
from rota.client.webhooks.records import WebhookRecords
from rota.model.webhooks.subscription import Subscription
from tests.integration.api.pages.trips import counting
from tests.integration.api.pages.visiting import MARKUP, Seen, entered, page, sent
from tests.integration.api.serving import Api

URL = "https://hooks.example.com/rota"


async def made(api: Api) -> Subscription:
    return await api.client.webhooks.make(URL, description="the shop")


async def deliver(api: Api, hook: Subscription, *states: str, body: bytes = b'{"type":"job.dead"}') -> None:
    """Write down that messages were sent, one of each state, a second apart."""
    deliveries = WebhookRecords(api.client.redis, "rota").of(hook.id)
    for number, state in enumerate(states):
        message, at = f"msg_{number}", 1_796_000_000_000 + number * 1000
        await deliveries.add({message: body}, at, "email")
        if state != "pending":
            status = 200 if state == "delivered" else 503
            await deliveries.note(
                message, state, 2, at, status=status, error=f"the receiver answers {status}"
            )


async def test_a_webhook_is_made_switched_off_and_deleted(api: Api) -> None:
    assert "422" in str(await sent(api, "/webhooks", url="http://127.0.0.1/"))
    answer = await sent(api, "/webhooks", url=URL, events="job.dead")
    (secret,) = re.findall(r"<pre>(whsec_\S+)</pre>", answer.text)
    (made_one,) = await api.client.webhooks.all()
    assert made_one.events == ("job.dead",)
    path = f"/webhooks/{made_one.id}"
    assert secret not in await page(api, path)
    await sent(api, f"{path}/off", reason="it is being moved")
    assert "Switched off" in await page(api, path)
    await sent(api, f"{path}/on")
    assert "Switched off" not in await page(api, path)
    (other,) = re.findall(r"<pre>(whsec_\S+)</pre>", (await sent(api, f"{path}/rotate")).text)
    assert other != secret
    assert (await sent(api, f"{path}/explode")).status_code == 404
    assert (await sent(api, f"{path}/send", message="none")).status_code == 404
    await sent(api, f"{path}/delete")
    await page(api, path, 404)
    done = await Actions(api.client.redis, "rota").page()
    assert [one.action for one in done] == [
        "delete_webhook",
        "rotate_webhook",
        "on_webhook",
        "off_webhook",
        "make_webhook",
    ]
    assert done[3].detail == {"reason": "it is being moved"}
    assert secret not in str(done)


async def test_a_form_that_a_browser_sends_again_makes_and_changes_nothing(api: Api) -> None:
    (once,) = re.findall(r'name="once" value="([^"]+)"', await page(api, "/webhooks"))
    answer = await sent(api, "/webhooks", url=URL, once=once)
    assert answer.headers["cache-control"] == "no-store"
    again = await sent(api, "/webhooks", url=URL, once=once)
    assert again.status_code == 303
    (hook,) = await api.client.webhooks.all()
    path = f"/webhooks/{hook.id}"
    assert "was sent before" in await page(api, path)
    (once,) = re.findall(r'name="once" value="([^"]+)"', await page(api, path))
    await sent(api, f"{path}/rotate", once=once)
    rotated = await api.client.webhooks.get(hook.id)
    assert (await sent(api, f"{path}/rotate", once=once)).status_code == 303
    assert (await api.client.webhooks.get(hook.id)).secret == rotated.secret


async def test_what_was_sent_is_counted_and_chosen_by_its_state(api: Api) -> None:
    hook = await made(api)
    path = f"/webhooks/{hook.id}"
    assert "Nothing was sent yet" in await page(api, path)
    await deliver(api, hook, "delivered", "failed", "retrying", "pending", "failed")
    shown = Seen(await page(api, path))
    assert shown.cells("State") == ["failed", "pending", "retrying", "failed", "delivered"]
    assert shown.cells("Answer") == ["503", "\N{EN DASH}", "503", "503", "200"]
    assert "33.3 of 100" in shown.text
    listed = Seen(await page(api, "/webhooks"))
    assert [listed.cells(name) for name in ("Arrived", "Given up")] == [["1"], ["2"]]
    assert f"/ui{path}?state=failed" in listed.links
    assert Seen(await page(api, f"{path}?state=failed")).cells("State") == ["failed"] * 2
    assert "Nothing that was sent is delivered" not in await page(api, f"{path}?state=delivered")


async def test_there_is_a_page_of_older_messages_in_each_state(api: Api) -> None:
    hook = await made(api)
    await deliver(api, hook, *["delivered", "failed"] * 60)
    for query, most in (("", 120), ("?state=failed", 60)):
        seen: list[str] = []
        path = f"/webhooks/{hook.id}{query}"
        while path:
            shown = Seen(await page(api, path))
            seen += [one for one in shown.links if "/messages/" in one]
            path = next((one.removeprefix("/ui") for one in shown.links if "skip=" in one), "")
        assert len(seen) == len(set(seen)) == most


async def test_a_message_is_shown_as_it_is_sent_but_for_its_signature(api: Api) -> None:
    hook = await made(api)
    await deliver(api, hook, "retrying", body=b'{"type":"job.dead","data":{"id":12345678901234567890}}')
    path = f"/webhooks/{hook.id}/messages/msg_0"
    shown = await page(api, path)
    assert "&#34;id&#34;: 12345678901234567890" in shown
    for told in ("webhook-id", "1796000000", "v1,***", "the receiver answers 503", f"{hook.id}-msg_0"):
        assert told in shown, told
    assert hook.secret not in shown
    answer = await sent(api, f"/webhooks/{hook.id}/send", message="msg_0")
    assert answer.headers["location"] == f"/ui{path}"
    assert "pending" in await page(api, path)
    assert await api.client.counts("email"), "its job is put"
    (done,) = await Actions(api.client.redis, "rota").page()
    assert done.target == {"webhook": hook.id, "message": "msg_0"}
    await deliver(api, hook, "pending", "retrying", body=b"x" * 70_000)
    long = await page(api, f"/webhooks/{hook.id}/messages/msg_1")
    assert 65_536 <= long.count("x") < 66_500, "it is cut"
    await page(api, f"/webhooks/{hook.id}/messages/none", 404)
    await page(api, "/webhooks/wh_0000000000000000/messages/msg_0", 404)


async def test_what_others_have_written_stays_text(api: Api) -> None:
    hook = await made(api)
    await deliver(api, hook, "failed", body=MARKUP.encode())
    await api.client.redis.hset(f"rota:webhook:{hook.id}:msg_0", "error", MARKUP)
    for path in (f"/webhooks/{hook.id}", f"/webhooks/{hook.id}/messages/msg_0"):
        assert MARKUP not in await page(api, path)


async def test_it_takes_three_round_trips_however_many_there_are(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    await entered(api, "read")
    monkeypatch.setattr("rota.api.access.TRUST", 0.0)
    for _ in range(10):
        hook = await made(api)
    await deliver(api, hook, *["failed"] * 60)
    own: Any = f"/webhooks/{hook.id}"
    for path in ("/webhooks", own, f"{own}?state=failed", f"{own}/messages/msg_1"):
        async with counting(monkeypatch) as trips:
            await page(api, path)
        assert trips.count <= 3, path
