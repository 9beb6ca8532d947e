"""The screens of webhooks."""

import re

from tests.integration.api.pages.visiting import page, sent
from tests.integration.api.serving import Api


async def test_a_webhook_is_made_switched_off_and_deleted(api: Api) -> None:
    assert "422" in str(await sent(api, "/webhooks", url="http://127.0.0.1/"))
    answer = await sent(api, "/webhooks", url="https://hooks.example.com/rota", events="job.dead")
    (secret,) = re.findall(r"<pre>(whsec_\S+)</pre>", answer.text)
    (made_one,) = await api.client.webhooks.all()
    assert made_one.events == ("job.dead",)
    path = f"/webhooks/{made_one.id}"
    assert secret not in await page(api, path)
    await sent(api, f"{path}/off")
    assert "Switched off" in await page(api, path)
    await sent(api, f"{path}/on")
    assert "Switched off" not in await page(api, path)
    (other,) = re.findall(r"<pre>(whsec_\S+)</pre>", (await sent(api, f"{path}/rotate")).text)
    assert other != secret
    assert (await sent(api, f"{path}/explode")).status_code == 404
    assert (await sent(api, f"{path}/send", message="none")).status_code == 404
    await sent(api, f"{path}/delete")
    await page(api, path, 404)
