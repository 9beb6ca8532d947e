"""The screen of keys."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rota.client.bulk.actions import Actions
from rota.model.access.keys import AccessKey, Scope, make
from rota.wire.access import AccessRecords
from tests.integration.api.pages.trips import counting
from tests.integration.api.pages.visiting import OWN, Seen, entered, page, sent
from tests.integration.api.serving import Api


async def test_a_key_is_made_shown_once_and_revoked(api: Api) -> None:
    await entered(api, "admin")
    fields: dict[str, Any] = {"name": "the shop", "scope": ["read", "enqueue"], "tenant": "acme"}
    answer = await api.http.post("/ui/keys", data=fields, headers=OWN)
    (text,) = re.findall(r"<pre>(rota_\w+)</pre>", answer.text)
    assert "hx-get" not in answer.text, "what is shown once is not replaced"
    assert answer.headers["cache-control"] == "no-store"
    shown = await page(api, "/keys")
    assert text not in shown
    assert "the shop" in shown
    me = await api.http.get("/me", headers={"Authorization": f"Bearer {text}"})
    assert (me.json()["scopes"], me.json()["tenant"]) == (["enqueue", "read"], "acme")
    key_id = text.split("_")[1]
    assert (await sent(api, "/keys/revoke", key=key_id)).status_code == 303
    await page(api, "/keys")
    assert key_id not in await page(api, "/keys"), "what happened is said once"
    assert (await sent(api, "/keys/revoke", key=key_id)).status_code == 404
    assert "choose at least one scope" in (await sent(api, "/keys", name="x")).text
    actions = await Actions(api.client.redis, "rota").page()
    assert [(one.action, one.target) for one in actions] == [
        ("revoke_key", {"key": key_id}),
        ("make_key", {"key": key_id}),
    ]
    assert text not in str(actions)


async def test_a_key_ends_and_is_bound_as_the_form_says(api: Api) -> None:
    await entered(api, "admin")
    bounds = {"expires": "90d", "rate": "100/h", "burst": "10", "most_jobs": "5000"}
    await sent(api, "/keys", name="bound", scope="read", **bounds)
    found = await _records(api)
    (key,) = [one for one in found if one.name == "bound"]
    assert key.expires
    assert abs(key.expires - datetime.now(UTC) - timedelta(days=90)) < timedelta(minutes=5)
    assert (str(key.rate), key.rate and key.rate.burst, key.most_jobs) == ("100/h", 10, 5000)
    shown = Seen(await page(api, "/keys"))
    assert "100/h, 10 at once" in shown.cells("Requests")
    assert "5,000" in shown.text


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ("expires", "soon", "how long it lasts is 'soon'"),
        ("expires", "99999999999d", "how long it lasts"),
        ("rate", "often", "not written as 100/s"),
        ("most_jobs", "-1", "not a whole number"),
        ("burst", "5", "goes with a rate"),
        ("tenant", "a b", "tenant"),
    ],
)
async def test_what_no_key_can_have_is_refused_and_what_was_typed_stays(
    api: Api, field: str, value: str, why: str
) -> None:
    await entered(api, "admin")
    answer = await sent(api, "/keys", name="the shop", scope="operate", **{field: value})
    assert answer.status_code == 422
    assert why in Seen(answer.text).text
    assert 'value="the shop"' in answer.text
    assert 'value="operate" checked' in answer.text
    assert len(await _records(api)) == 1, "that of the visitor alone"


async def test_a_form_that_a_browser_sends_again_makes_no_other_key(api: Api) -> None:
    await entered(api, "admin")
    (once,) = re.findall(r'name="once" value="([^"]+)"', await page(api, "/keys"))
    assert "rota_" in (await sent(api, "/keys", name="x", scope="read", once=once)).text
    again = await sent(api, "/keys", name="x", scope="read", once=once)
    assert again.status_code == 303
    assert "no other key was made" in await page(api, "/keys")
    assert len(await _records(api)) == 2


async def test_a_key_that_has_expired_says_so(api: Api) -> None:
    await entered(api, "admin")
    _, old = make(frozenset({Scope.READ}), "old", life=timedelta(seconds=-1))
    await AccessRecords(api.client.redis, "rota").put({old.id: old.write()})
    assert any("expired" in one for one in Seen(await page(api, "/keys")).cells("Expires"))


async def test_keys_are_for_administrators_alone(api: Api) -> None:
    await entered(api, "operate")
    await page(api, "/keys", 403)
    assert (await sent(api, "/keys", name="x", scope="admin")).status_code == 403
    assert 'href="/ui/keys"' not in await page(api, "/")


async def test_it_takes_two_round_trips(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await entered(api, "admin")
    monkeypatch.setattr("rota.api.access.TRUST", 0.0)
    async with counting(monkeypatch) as trips:
        await page(api, "/keys")
    assert trips.count <= 2


async def _records(api: Api) -> list[AccessKey]:
    found = await AccessRecords(api.client.redis, "rota").all()
    return [key for key in (AccessKey.read(key_id, raw) for key_id, raw in found.items()) if key]
