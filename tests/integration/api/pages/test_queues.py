"""The screens of queues and schedules: what they show, and pausing and resuming."""

from tests.integration.api.pages.visiting import page, sent
from tests.integration.api.serving import Api


async def test_a_queue_and_a_schedule_are_paused_and_resumed(api: Api) -> None:
    await sent(api, "/queues/email/pause")
    assert "Paused since" in await page(api, "/queues/email")
    await sent(api, "/queues/email/resume")
    assert "Paused since" not in await page(api, "/queues/email")
    assert (await sent(api, "/schedules/none/run")).status_code == 404
