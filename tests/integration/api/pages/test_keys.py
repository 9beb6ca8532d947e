"""The screen of keys."""

import re
from typing import Any

from rota.client.bulk.actions import Actions
from tests.integration.api.pages.visiting import OWN, entered, page, sent
from tests.integration.api.serving import Api


async def test_a_key_is_made_shown_once_and_revoked(api: Api) -> None:
    await entered(api, "admin")
    fields: dict[str, Any] = {"name": "the shop", "scope": ["read", "enqueue"], "tenant": "acme"}
    answer = await api.http.post("/ui/keys", data=fields, headers=OWN)
    (text,) = re.findall(r"<pre>(rota_\w+)</pre>", answer.text)
    assert "hx-get" not in answer.text, "what is shown once is not replaced"
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
    assert text not in str(await Actions(api.client.redis, "rota").page())


async def test_keys_are_for_administrators_alone(api: Api) -> None:
    await entered(api, "operate")
    await page(api, "/keys", 403)
    assert (await sent(api, "/keys", name="x", scope="admin")).status_code == 403
    assert 'href="/ui/keys"' not in await page(api, "/")
