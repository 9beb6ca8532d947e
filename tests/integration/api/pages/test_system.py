"""The screen of the system itself."""

from tests.integration.api.pages.visiting import page
from tests.integration.api.serving import Api


async def test_the_system_page_says_what_redis_lacks(api: Api) -> None:
    shown = await page(api, "/system")
    assert "keeps no append-only file" in shown
    assert "No worker leads" in shown
